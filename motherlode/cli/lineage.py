"""`motherlode lineage`: which files are in which tables, by which mapping, and what became of their rows."""

from pathlib import Path

import click
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from feature_repo.warehouse import lineage as lineages
from feature_repo.warehouse.contract import TABLES
from feature_repo.warehouse.lineage import FileLineage, Lineage
from motherlode.cli import ingest, options
from motherlode.errors import DataError
from motherlode.settings import Settings


@click.command()
@click.argument("table", required=False)
@options.home
def lineage(table: str | None, home: Path | None) -> None:
    """Print every file's way into the warehouse, or into TABLE, and the loads that brought it there."""
    settings, console = Settings.from_env(home=home), Console()
    found = lineages.current(settings)
    known = [row.table for row in found.tables]
    if table is not None and table not in known:
        raise DataError(f"There is no table {table!r}.", f"Known: {', '.join(known)}.")
    console.print(_files([file for file in found.files if table in (None, file.table)]))
    ingest.show(console, Lineage(found.company, found.mapping, _tables(found, table), (), (), changed=True))
    console.print(_loads(found, table))
    mapping = settings.home / "lineage" / f"{found.mapping}.yaml"
    console.print(f"Mapping: {mapping}", soft_wrap=True, highlight=False)


def _tables(found: Lineage, table: str | None) -> tuple[lineages.TableLineage, ...]:
    return tuple(row for row in found.tables if table in (None, row.table))


def _files(files: list[FileLineage]) -> Table:
    printed = Table(title="Files", box=SIMPLE, padding=(0, 1, 0, 0))
    printed.add_column("file", overflow="fold", min_width=16)
    for heading in ("table", "landed"):
        printed.add_column(heading, no_wrap=True)
    for heading in ("rows", "aside", "quarantine", "clean"):
        printed.add_column(heading, justify="right", no_wrap=True)
    for file in files:
        name = file.name if file.status == "active" else f"{file.name} ({file.status})"
        counts = (file.landed, file.excluded, file.quarantined, file.clean)
        # Rows of a file that no table takes are in none of its columns.
        shown = [f"{n:,}" for n in counts] if file.table in TABLES else [f"{file.landed:,}", "", "", ""]
        printed.add_row(escape(name), file.table or "–", file.landed_at[:10], *shown)
    return printed


def _loads(found: Lineage, table: str | None) -> Table:
    printed = Table(title="Loads", box=SIMPLE)
    for heading in ("load", "at (UTC)", "mapping", "seconds", "files", "rows"):
        printed.add_column(heading, justify="left" if heading in ("at (UTC)", "mapping") else "right")
    for load in found.loads:
        rows = load.rows.get(table, 0) if table is not None else sum(load.rows.values())
        at = load.at.strftime("%Y-%m-%d %H:%M")
        printed.add_row(
            str(load.number), at, load.mapping[:8], f"{load.seconds:,.1f}", str(len(load.landed)), f"{rows:,}"
        )
    return printed
