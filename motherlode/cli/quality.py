"""`motherlode quality`: what is wrong with the data, and what it looks like."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from feature_repo.warehouse.quality import measurement, report
from feature_repo.warehouse.quality.finding import Finding
from feature_repo.warehouse.quality.measure import Quality, measure
from motherlode.cli import options
from motherlode.settings import Settings

_COLOURS: Final = {"fail": "bold red", "warn": "yellow"}


@click.command()
@click.option("--full", is_flag=True, help="Look at every row: exact figures, and each row against its table's schema.")
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write the report (quality/report.html in the state's folder by default).",
)
@options.home
def quality(full: bool, html: Path | None, home: Path | None) -> int:
    """Print every table's rows and every finding, and write the HTML report.

    Ends with 1 where something of severity fail stands.
    """
    settings, console = Settings.from_env(home=home), Console()
    with console.status("looking at every row" if full else "looking at the tables"):
        found = measure(settings, full=full)
        path = report.write(found, html or settings.home / measurement.FOLDER / report.PAGE)
    console.print(_tables(found))
    if found.refused_load:
        console.print(_findings(found.refused_load, "A later load was refused"))
    if found.findings:
        console.print(_findings(found.findings, "Findings"))
    else:
        console.print("Nothing was found wrong.")
    console.print(f"Report: {path}", markup=False, highlight=False, soft_wrap=True)
    return 1 if found.failed else 0


def _tables(found: Quality) -> Table:
    title = Text(f"Load {found.load} of {found.company}")
    table = Table(title=title, title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
    for heading in ("table", "landed", "excluded", "rejected", "merged", "integrated", "newest"):
        table.add_column(heading, justify="left" if heading == "table" else "right", no_wrap=True)
    for it in found.tables:
        rows = (it.landed, it.excluded, it.rejected, sum(it.merged.values()), it.rows)
        newest = "–" if it.newest is None else f"{it.newest:%Y-%m-%d}"
        table.add_row(it.name, *(f"{n:,}" for n in rows), newest)
    return table


def _findings(found: Sequence[Finding], title: str) -> Table:
    table = Table(title=Text(title), title_justify="left", show_lines=True)
    for heading in ("severity", "table"):
        table.add_column(heading, no_wrap=True)
    table.add_column("finding, value, remedy", overflow="fold")
    for it in found:
        # Text, not markup: a value may hold brackets.
        words = Text.assemble((it.what, "bold"), f": {it.value}\n", (it.remedy, "dim"))
        table.add_row(Text(it.severity, _COLOURS[it.severity]), Text(it.table), words)
    return table
