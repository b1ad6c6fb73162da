"""`motherlode evaluate`: a bundle's figures beside their baselines."""

from itertools import groupby
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from motherlode import bundle, bundles, names
from motherlode.cli import options
from motherlode.manifest import REPORT, Manifest
from motherlode.settings import Settings

_TITLES: Final = {
    names.SEGMENTS: "Segments",
    names.RESPONSE: "Campaign response: will this household redeem?",
    names.INACTIVE_28D: "Inactivity: no purchase in the next 28 days?",
    names.USER_TOWER: "Recommendations: the next basket",
}


@click.command()
@click.argument("version", required=False)
@options.home
def evaluate(version: str | None, home: Path | None) -> None:
    """Print the quality of a bundle's models on the held-out part; the current bundle by default."""
    settings = Settings.from_env(home=home)
    folder = bundles.current(settings.models) if version is None else settings.models / version
    console = Console()
    manifest = bundle.read_manifest(folder)
    show(console, manifest)
    console.print(f"Report: {folder / REPORT}", soft_wrap=True)


def show(console: Console, manifest: Manifest) -> None:
    """Print the models' quality beside their baselines, and the segments."""
    table = Table(title=f"Model quality, bundle {manifest.version}, on the held-out part")
    table.add_column("")
    table.add_column("model", justify="right")
    table.add_column("baseline", justify="right")
    table.add_column("")
    for model, rows in groupby(manifest.quality, key=lambda row: row.model):
        table.add_section()
        table.add_row(f"[bold]{_TITLES.get(model, model)}[/]")
        for row in rows:
            value = f"{row.value:.4f}" if row.spread is None else f"{row.value:.4f} ± {row.spread:.4f}"
            colour = "yellow" if not row.wins else "dim" if row.close else "green"
            verdict = f"[{colour}]{row.verdict}[/]"
            what = row.metric if row.higher_is_better else f"{row.metric} (lower is better)"
            label = Padding(f"{what}\n[dim]against {row.baseline}[/]", (0, 0, 0, 2))
            table.add_row(label, value, f"{row.baseline_value:.4f}", verdict)
    console.print(table)
    for model, reason in manifest.left_out.items():
        console.print(f"No model for {model}: {reason}.", highlight=False)
    segments = Table(title="Segments")
    for heading in ("id", "customers", "share", "name and what sets it apart"):
        segments.add_column(heading, justify="left" if heading.startswith("name") else "right")
    for segment in manifest.segments:
        what = f"[bold]{segment.name}[/]\n[dim]{segment.description}[/]"
        segments.add_row(str(segment.id), f"{segment.customers:,}", f"{segment.share:.1%}", what)
    console.print(segments)
