"""What a label frame must not do: ask about a time that its features have seen, or carry the answer beside them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from feature_repo.stores.join import micros
from feature_repo.warehouse import state
from feature_repo.warehouse.mapping import read as mappings
from feature_repo.warehouse.mapping.model import ColumnMap
from feature_repo.warehouse.mapping.shape import Place, dotted
from feature_repo.warehouse.quality.classes import entries
from motherlode import names
from motherlode.errors import DataError
from motherlode.settings import Settings

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Late:
    """A column that is known only after the outcome.

    Attributes:
        table, column: canonical table, and the column of the company's own.
        where: the line of the mapping that says so.
    """

    table: str
    column: str
    where: str


def check_windows(labels: pl.DataFrame, window_start: str | None = None) -> None:
    """Check that no label is measured over a time that its features have seen.

    A label's features see what happened before its `event_timestamp`; so its window starts there or later.

    Args:
        labels: with `event_timestamp`; naive times are UTC.
        window_start: a column that says when the window starts; `label_start`, where there is one, is looked at too.

    Raises:
        DataError: a window starts before its features end, starts never, or ends before it starts or by the time that
            its features end: naming the first such row, from 1, its times, and how many there are.
    """
    if window_start is not None:
        require(labels, window_start)
    if names.EVENT_TIMESTAMP not in labels.columns:
        return  # the join says so
    for start in dict.fromkeys([window_start or names.LABEL_START, names.LABEL_START]):
        if start in labels.columns:
            _check_start(labels, start)
    if names.LABEL_END in labels.columns:
        _check_end(labels)


def require(labels: pl.DataFrame, column: str) -> None:
    """Check that the labels have a column that was named.

    Raises:
        DataError: they lack it.
    """
    if column not in labels.columns:
        raise DataError(f"The labels have no column {column!r}; they have {', '.join(labels.columns)}.", "Name it.")


def _check_end(labels: pl.DataFrame) -> None:
    """A window that has ended when its features end is over a time that they have seen, whenever it started."""
    times = labels.select(
        _us(labels, names.EVENT_TIMESTAMP).alias("features"), _us(labels, names.LABEL_END).alias("end")
    )
    _refuse(
        times,
        pl.col("end") <= pl.col("features"),
        f"ends at {names.LABEL_END} {{end}}, when its features end at event_timestamp {{features}} or before",
        "The features have seen the answer: set event_timestamp back to the window's start.",
    )


def _check_start(labels: pl.DataFrame, start: str) -> None:
    ends = names.LABEL_END in labels.columns
    times = labels.select(
        _us(labels, names.EVENT_TIMESTAMP).alias("features"),
        _us(labels, start).alias("start"),
        (_us(labels, names.LABEL_END) if ends else pl.lit(None, pl.Int64)).alias("end"),
    )
    _refuse(times, pl.col("start").is_null(), f"has no {start}", "Say when each label's window starts.")
    _refuse(
        times,
        pl.col("start") < pl.col("features"),
        f"is measured from {start} {{start}} on, before its features end at event_timestamp {{features}}",
        "The features have seen part of the answer: let the window start at event_timestamp or later, "
        "or set event_timestamp back to the window's start.",
    )
    _refuse(
        times,
        pl.col("end") < pl.col("start"),
        f"ends at {names.LABEL_END} {{end}}, before {start} {{start}}",
        "Correct its window.",
    )


def check_columns(settings: Settings, labels: pl.DataFrame, label: str) -> None:
    """Check that no column of the labels, but the label itself, is one that is known only after the outcome.

    Args:
        settings: whose warehouse: its mapping says which columns are `after_outcome`.
        labels: which.
        label: the column that is predicted.

    Raises:
        DataError: there is one, naming it and the line of the mapping.
    """
    carried = set(labels.columns) - {label}
    for late in after_outcome(settings):
        if late.column in carried:
            raise DataError(
                f"The labels carry {late.column!r}, which is known only after the outcome: {late.where} says "
                f"after_outcome of {late.table}.{late.column}.",
                f"Leave it out; or, where it is what is predicted, make it the label: label={late.column!r} of "
                f"`training_frame`, the column {names.LABEL!r} in a file.",
            )


def after_outcome(settings: Settings) -> list[Late]:
    """The columns that the mapping of the newest load declares `after_outcome`; none where nothing was loaded.

    Raises:
        DataError: that mapping cannot be read.
    """
    digest = state.read(settings).mapping
    path = settings.home / "lineage" / f"{digest}.yaml"
    if not digest or not path.is_file():
        return []
    project = mappings.read(path)
    return [
        Late(table, name, f"line {_line(project.places.lines, table, number, name)} of the mapping")
        for table in project.mapping.tables
        for number, entry in enumerate(entries(project.mapping, table))
        for name, column in entry.columns.items()
        if isinstance(column, ColumnMap) and column.after_outcome
    ]


def _line(lines: Mapping[Place, int], table: str, number: int, column: str) -> int | str:
    places: tuple[Place, ...] = (
        ("tables", table, "columns", column, "after_outcome"),
        ("tables", table, number, "columns", column, "after_outcome"),
    )
    return next((lines[place] for place in places if place in lines), dotted(places[0]))


def _refuse(times: pl.DataFrame, wrong: pl.Expr, problem: str, remedy: str) -> None:
    found = times.with_row_index("row", 1).filter(wrong)
    if found.is_empty():
        return
    row = found.row(0, named=True)
    told = problem.format(**{name: _shown(value) for name, value in row.items() if name != "row"})
    more = f" And {found.height - 1:,} more." if found.height > 1 else ""
    raise DataError(f"Row {row['row']:,} of {times.height:,} labels {told}.{more}", remedy)


def _us(labels: pl.DataFrame, column: str) -> pl.Expr:
    try:
        return micros(column, labels.schema[column])
    except TypeError as error:
        raise DataError(f"The labels: {error}", "Give timestamps.") from error


def _shown(us: int | None) -> str:
    return "never" if us is None else (_EPOCH + timedelta(microseconds=us)).isoformat()
