"""`motherlode evaluate`: a bundle's figures beside their baselines."""

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from motherlode import bundle
from motherlode.bundle import Manifest
from motherlode.cli import options
from motherlode.settings import Settings


@click.command()
@click.argument("version", required=False)
@options.home
def evaluate(version: str | None, home: Path | None) -> None:
    """Print the quality of a bundle's models on the part that no tuning saw; the current bundle by default."""
    settings = Settings.from_env(home=home)
    folder = bundle.current(settings.models) if version is None else settings.models / version
    console = Console()
    manifest = bundle.read_manifest(folder)
    show(console, manifest)
    console.print(f"Report: {folder / bundle.REPORT}", soft_wrap=True)


def show(console: Console, manifest: Manifest) -> None:
    """Print the models' quality and the segments."""
    quality = Table(title=f"Model quality, bundle {manifest.version}")
    for heading in ("model", "metric", "value", "baseline", "its value", ""):
        quality.add_column(heading, justify="right" if "value" in heading else "left")
    for row in manifest.quality:
        value = f"{row.value:.4f}" if row.spread is None else f"{row.value:.4f} ± {row.spread:.4f}"
        verdict = "[green]better[/]" if row.wins else "[yellow]baseline wins[/]"
        quality.add_row(row.model, row.metric, value, row.baseline, f"{row.baseline_value:.4f}", verdict)
    console.print(quality)
    segments = Table(title="Segments")
    for heading in ("id", "share", "name", "what sets it apart"):
        segments.add_column(heading, justify="right" if heading in ("id", "share") else "left")
    for segment in manifest.segments:
        segments.add_row(str(segment.id), f"{segment.share:.1%}", segment.name, segment.description)
    console.print(segments)
