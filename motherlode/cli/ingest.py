"""`motherlode ingest`: raw tables → warehouse."""

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from feature_repo.warehouse import Lineage
from motherlode.cli import options, pipeline
from motherlode.cli.lock import exclusive
from motherlode.cli.stages import Stages
from motherlode.settings import Settings


@click.command()
@options.home
def ingest(home: Path | None) -> None:
    """Land the demo's tables, clean them and integrate them. The same tables twice change nothing."""
    console = Console()
    settings = Settings.from_env(home=home)
    with exclusive(settings):
        lineage = pipeline.ingest(settings, Stages(console))
    show(console, lineage)


def show(console: Console, lineage: Lineage) -> None:
    """Print what became of every input row."""
    table = Table(title="Rows by table")
    for heading in ("table", "landed", "merged", "quarantined", "integrated"):
        table.add_column(heading, justify="left" if heading == "table" else "right")
    for row in lineage.tables:
        table.add_row(row.table, *(f"{n:,}" for n in (row.landed, row.merged, row.quarantined, row.integrated)))
    console.print(table)
