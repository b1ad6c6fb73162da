"""`motherlode ingest`: raw tables → warehouse."""

from pathlib import Path
from typing import get_args

import click
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from feature_repo.warehouse.lineage import Lineage
from feature_repo.warehouse.mapping.read import Project
from feature_repo.warehouse.pipeline import Rebuild, load
from motherlode.cli import options, project
from motherlode.cli.stages import Stages
from motherlode.lock import exclusive
from motherlode.settings import Settings


@click.command()
@project.mapping
@click.option(
    "--rebuild",
    type=click.Choice(get_args(Rebuild)),
    help="Make this layer and those above it anew from the one before.",
)
@options.home
def ingest(mapping: Path | None, rebuild: Rebuild | None, home: Path | None) -> int:
    """Land the company's files, clean them and integrate them. The same files twice change nothing.

    Ends with 1 while a file that was refused is there; the others are in all the same.
    """
    console = Console()
    settings = Settings.from_env(home=home, mapping=mapping)
    with exclusive(settings):
        lineage = into_warehouse(settings, project.find(settings), Stages(console), rebuild=rebuild)
    show(console, lineage)
    return 1 if lineage.refused else 0


def into_warehouse(settings: Settings, company: Project, stages: Stages, *, rebuild: Rebuild | None = None) -> Lineage:
    """The company's files → warehouse; what is still valid is kept."""
    with stages.flow("warehouse") as flow:
        return load(settings, company, on_step=flow, rebuild=rebuild)


def show(console: Console, lineage: Lineage) -> None:
    """Print what became of every input row, and every file that this load refused."""
    table = Table(title=f"Rows by table, {lineage.company}", box=SIMPLE, padding=(0, 1, 0, 0))
    for heading in ("table", "landed", "aside", "quarantine", "merged", "derived", "integrated"):
        table.add_column(heading, justify="left" if heading == "table" else "right", no_wrap=True)
    for row in lineage.tables:
        counts = (row.landed, row.excluded, row.quarantined, row.merged, row.derived, row.integrated)
        table.add_row(row.table, *(f"{n:,}" for n in counts))
    console.print(table)
    for file in lineage.refused:
        console.print(f"refused: {file.name}: {file.problem} {file.remedy}", markup=False, soft_wrap=True)
    if not lineage.changed:
        console.print("Nothing has changed since the last load.")
