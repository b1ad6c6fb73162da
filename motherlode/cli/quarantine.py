"""`motherlode quarantine`: the rows that were kept out, why, and how they come back in."""

from collections.abc import Sequence
from pathlib import Path

import click
import polars as pl
from rich.console import Console
from rich.table import Table
from rich.text import Text

from feature_repo.warehouse import pipeline, tables
from feature_repo.warehouse import state as states
from feature_repo.warehouse.quality import gate
from feature_repo.warehouse.state import State
from motherlode import audit
from motherlode.cli import options, project
from motherlode.cli.stages import Stages
from motherlode.errors import DataError
from motherlode.lock import exclusive
from motherlode.settings import Settings

_KEY = ("table", "file", "rule", "column")
_ROW = ("table", "file", "line", "row")
_refused = click.option("--refused", is_flag=True, help="The rows of the last load, where it was refused.")
_table = click.option("--table", help="Only this table's rows.")
_rule = click.option("--rule", help="Only rows that this rule keeps out.")


@click.group(invoke_without_command=True)
@options.home
@click.pass_context
def quarantine(context: click.Context, home: Path | None) -> None:
    """List, show or release the rows that a rule or the mapping keeps out."""
    if context.invoked_subcommand is None:
        context.invoke(list_, home=home, refused=False)


@quarantine.command("list")
@_refused
@options.home
def list_(refused: bool, home: Path | None) -> None:
    """Count the rows by table, file, rule and column."""
    settings, console = Settings.from_env(home=home), Console()
    state = _state(settings, refused=refused)
    counted = _counted(settings, state)
    console.print(_printed(counted, f"{counted['rows'].sum():,} rows in quarantine"))
    for it in state.raw:
        if it.status == "refused":
            console.print(f"{it.name} was refused: {it.problem} {it.remedy}", markup=False, soft_wrap=True)
    if not refused and gate.refused(settings) is not None:
        console.print("The last load was refused; its rows: `motherlode quarantine list --refused`.", markup=False)


@quarantine.command()
@click.argument("table")
@_rule
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many rows.")
@_refused
@options.home
def show(table: str, rule: str | None, limit: int, refused: bool, home: Path | None) -> None:
    """Print TABLE's rows: file, line, column, value, rule and remedy."""
    settings = Settings.from_env(home=home)
    state = _state(settings, refused=refused)
    rows = _chosen(tables.quarantine_state(settings, state), table, rule)
    found = rows.sort("file", "line", "row").head(limit).collect(engine="streaming")
    if not found.height:
        known = ", ".join(_counted(settings, state)["table"].unique().sort()) or "none"
        by = "" if rule is None else f" by the rule {rule!r}"
        raise DataError(f"No row of {table!r} is in quarantine{by}.", f"Tables with rows in quarantine: {known}.")
    total = rows.select(pl.len()).collect(engine="streaming").item()
    columns = ("file", "line", "column", "value", "rule", "remedy")
    Console().print(_printed(found.select(columns), f"{found.height:,} of {total:,} rows of {table}"))


@quarantine.command()
@_table
@_rule
@project.mapping
@options.home
def release(table: str | None, rule: str | None, mapping: Path | None, home: Path | None) -> None:
    """Judge the quarantined files again, after the mapping was changed; tell what came in and what remains.

    The load takes in what else has changed, as `motherlode ingest` does; --table and --rule choose what is told.
    """
    settings, console = Settings.from_env(home=home, mapping=mapping), Console()
    with exclusive(settings):
        # Of a load that was refused, its rows wait too.
        held = _state(settings, refused=gate.refused(settings) is not None)
        kept_out = _chosen(tables.quarantine_state(settings, held), table, rule).select(*_ROW, "rule").collect()
        with Stages(console).flow("warehouse") as flow:
            pipeline.load(settings, project.find(settings), on_step=flow)
        after = states.read(settings)
        change = _change(kept_out, tables.quarantine_state(settings, after))
        left = {name: int(change[name].sum()) for name in ("before", "released", "remaining")}
        audit.record(settings, "release", table or "every table", rule=rule or "every rule", **left)
    console.print(_printed(change, f"{left['released']:,} of {left['before']:,} rows have left quarantine"))
    if held.mapping == after.mapping:
        console.print("The mapping has not changed since the last load; edit it, then release.", markup=False)


def _state(settings: Settings, *, refused: bool) -> State:
    state, held = states.read(settings), gate.refused(settings)
    if held is not None and (refused or not state.loads):
        return held.state
    if refused:
        raise DataError("The last load was not refused.", "Leave out --refused.")
    if not state.loads:
        raise DataError(f"Nothing was loaded into {settings.home}.", "Run `motherlode ingest`.")
    return state


def _chosen(rows: pl.LazyFrame, table: str | None, rule: str | None) -> pl.LazyFrame:
    if table is not None:
        rows = rows.filter(pl.col("table") == table)
    return rows if rule is None else rows.filter(pl.col("rule") == rule)


def _counted(settings: Settings, state: State) -> pl.DataFrame:
    rows = tables.quarantine_state(settings, state).group_by(_KEY).len("rows")
    return rows.sort("table", "rows", "file", "rule", descending=[False, True, False, False]).collect(
        engine="streaming"
    )


def _change(before: pl.DataFrame, after: pl.LazyFrame) -> pl.DataFrame:
    """By table and rule: rows that were kept out, those that no rule keeps out any more, and those that remain."""
    still = after.select(*_ROW, pl.lit(True).alias("still")).unique()
    return (
        before.lazy()
        .join(still, on=_ROW, how="left", nulls_equal=True)
        .group_by("table", "rule")
        .agg(
            pl.len().cast(pl.Int64).alias("before"),
            pl.col("still").is_null().sum().cast(pl.Int64).alias("released"),
            pl.col("still").is_not_null().sum().cast(pl.Int64).alias("remaining"),
        )
        .sort("table", "rule")
        .collect()
    )


def _printed(frame: pl.DataFrame, title: str) -> Table:
    table = Table(title=Text(title), title_justify="left")
    for name, dtype in frame.schema.items():
        table.add_column(name, justify="right" if dtype.is_numeric() else "left", overflow="fold")
    for row in frame.iter_rows():
        table.add_row(*map(Text, _cells(row)))
    return table


def _cells(row: Sequence[object]) -> list[str]:
    return ["–" if value is None else f"{value:,}" if isinstance(value, int) else str(value) for value in row]
