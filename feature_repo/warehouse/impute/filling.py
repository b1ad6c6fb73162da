"""Which rows a value may be learnt from, and the loop over months that keeps to it."""

from collections.abc import Mapping
from typing import Final

import polars as pl

from feature_repo.warehouse.impute import statistic, trees
from feature_repo.warehouse.mapping import expressions
from feature_repo.warehouse.mapping.model import Impute
from motherlode.errors import DataError

MISSING: Final = "_missing"
"""Suffix of the flag that keeps where a value was missing."""
MODEL_ROWS: Final = 200_000
"""Rows that a model is fitted on, at the most."""
_MONTH: Final = "_impute_month"
_ROW: Final = "_impute_row"
_VALUE: Final = "_impute_value"


def fill(
    frame: pl.DataFrame, specs: Mapping[str, Impute], time: str | None, past: pl.DataFrame | None = None
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Fill what is missing.

    With `time`, a row's value is learnt from rows of earlier calendar months (UTC) alone, `past` among them, so that no
    later row changes it; the first month stays null. Without `time` it is learnt from `past` and `frame`: the rows of a
    state are all known at once. Values that an earlier run filled in are never learnt from, and one column's
    filling sees none of another's. The answer of a row does not depend on the order of rows.

    Args:
        frame: the rows.
        specs: column → how it is imputed.
        time: the column that says when a row happened; None for a state. A row without a time stays as it is.
        past: rows before the frame's first month, with the same columns; their `<column>_missing` is heeded.

    Returns:
        `frame` with `<column>_missing` (Boolean) for every column of `specs`, true where the value was null, filled or
        not; and column → values filled in.

    Raises:
        DataError: a column that `specs` names is not there, or cannot be imputed in that way.
    """
    for column, spec in specs.items():
        _check(frame, column, spec)
    months = _months(frame, time)
    filled, counts = [], {}
    for column, spec in specs.items():
        values = frame[column] if frame[column].null_count() == 0 else _filled(frame, column, spec, months, past, time)
        filled.append(values.alias(column))
        counts[column] = frame[column].null_count() - values.null_count()
    flags = [frame[column].is_null().alias(column + MISSING) for column in specs]
    return frame.with_columns(*filled, *flags), counts


def _filled(
    frame: pl.DataFrame, column: str, spec: Impute, months: pl.Series, past: pl.DataFrame | None, time: str | None
) -> pl.Series:
    if spec.by == "rule":
        return frame.select(pl.coalesce(column, _rule(frame, column, spec))).to_series()
    inputs = [name for name in dict.fromkeys((*spec.within, *spec.using)) if name != column]
    rows = frame.select(column, *inputs, months.alias(_MONTH)).with_row_index(_ROW)
    earliest = months.min()
    before = [] if past is None else [_known(past, column, inputs, earliest, time)]
    known = pl.concat([rows.drop(_ROW), *before], how="vertical_relaxed").filter(pl.col(column).is_not_null())
    if known.schema[column].is_float():
        known = known.filter(pl.col(column).is_finite())
    lacking = rows.filter(pl.col(column).is_null() & pl.col(_MONTH).is_not_null())
    parts = [
        _learnt(known.filter(pl.col(_MONTH) < month) if time is not None else known, wanted, column, spec)
        for (month,), wanted in sorted(lacking.group_by(_MONTH), key=lambda part: part[0][0])
    ]
    if not parts:
        return frame[column]
    values = rows.select(_ROW, column).join(pl.concat(parts), on=_ROW, how="left", maintain_order="left")
    return values.select(pl.coalesce(column, _VALUE).cast(frame.schema[column])).to_series()


def _learnt(known: pl.DataFrame, wanted: pl.DataFrame, column: str, spec: Impute) -> pl.DataFrame:
    """`_ROW` and `_VALUE` of the wanted rows."""
    inputs = known.drop(_MONTH)
    if not len(known):
        values = pl.Series([None] * len(wanted), dtype=known.schema[column])
    elif spec.by == "model":
        values = trees.predict(ordered(inputs, MODEL_ROWS), wanted, column, spec.using)
    else:
        values = statistic.take(inputs, wanted, column, spec.by, spec.within)
    return wanted.select(_ROW, values.cast(known.schema[column]).alias(_VALUE))


def ordered(rows: pl.DataFrame, limit: int) -> pl.DataFrame:
    """The rows in one order whatever order they came in; of more than `limit`, every second, third, ... of them."""
    return rows.sort(rows.columns).gather_every(-(-len(rows) // limit) if rows.height > limit else 1)


def _months(frame: pl.DataFrame, time: str | None) -> pl.Series:
    """A number for each row's calendar month; 0 where there is no time column."""
    if time is None:
        return pl.zeros(len(frame), dtype=pl.Int32, eager=True)
    if time not in frame.columns:
        raise DataError(f"There is no column {time!r} to tell when a row happened.", _there(frame))
    clock = pl.col(time).dt.year() * 12 + pl.col(time).dt.month().cast(pl.Int32)
    return frame.select(clock).to_series()


def _known(past: pl.DataFrame, column: str, inputs: list[str], earliest: object, time: str | None) -> pl.DataFrame:
    """The past's columns without what was filled in, each row in a month before the frame's first."""
    absent = [name for name in (column, *inputs) if name not in past.columns]
    if absent:
        raise DataError(f"The past has no column {absent[0]!r}.", _there(past))
    observed = [
        pl.when(~pl.col(name + MISSING).fill_null(False)).then(pl.col(name)).alias(name)
        if name + MISSING in past.columns
        else pl.col(name)
        for name in (column, *inputs)
    ]
    first = pl.lit(earliest, pl.Int32)
    month = pl.lit(0, pl.Int32) if time is None else pl.min_horizontal(first - 1, _months(past, time))
    return past.select(*observed, month.fill_null(first - 1).alias(_MONTH))


def _rule(frame: pl.DataFrame, column: str, spec: Impute) -> pl.Expr:
    known = expressions.Known(dict(frame.schema), what="canonical columns")
    return expressions.build(str(spec.sql), known).value.cast(frame.schema[column], strict=False)


def _check(frame: pl.DataFrame, column: str, spec: Impute) -> None:
    for name in (column, *spec.within, *spec.using):
        if name not in frame.columns:
            raise DataError(f"Column {column!r} is imputed, and there is no column {name!r}.", _there(frame))
    dtype = frame.schema[column]
    if column + MISSING in frame.columns:
        raise DataError(f"Column {column + MISSING!r} is there before {column!r} is imputed.", "Give it another name.")
    if spec.by == "rule" and not spec.sql:
        raise DataError(f"Column {column!r} is imputed by a rule, and there is none.", "Give the expression as `sql`.")
    if spec.by == "model" and not spec.using:
        raise DataError(f"Column {column!r} is imputed by a model without inputs.", "Name its columns in `using`.")
    if spec.by == "model" and column in spec.using:
        raise DataError(f"Column {column!r} is imputed from itself.", "Leave it out of `using`.")
    if spec.by in ("mean", "median") and not (dtype.is_numeric() or dtype.is_temporal()):
        raise DataError(f"Column {column!r} is {dtype}: it has no {spec.by}.", "Use `mode`, `model` or `rule`.")
    if spec.by == "model" and dtype.is_temporal():
        raise DataError(f"Column {column!r} is {dtype}: no model predicts times.", "Use `median`, `mode` or `rule`.")


def _there(frame: pl.DataFrame) -> str:
    return f"There are {', '.join(frame.columns)}."
