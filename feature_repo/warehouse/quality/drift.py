"""What changed in a table since the load before: rows, null shares, and how its values are distributed."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import polars as pl

from feature_repo.warehouse.quality.finding import Finding, percent
from feature_repo.warehouse.quality.profile import LONGEST, Column, Table, counted, numbers
from motherlode import stability

MANY: Final = 500
"""Values on both sides below which chance moves a distribution as much as a change does."""
FEW: Final = 100
"""New rows below which a share of nulls says nothing."""
PSI: Final = 0.25
"""The population stability index from which a distribution counts as another (Siddiqi, Credit Risk Scorecards)."""
NULLS: Final = 0.1
"""The difference of null shares that is told."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A column before and now.

    Attributes:
        table, column: which.
        rows_new: how many new rows there are.
        null_before, null_new: shares, of the rows before and of the new ones.
        mean_before, mean_new: of numbers.
        shift: the means' difference in standard deviations of the rows before.
        psi: of the new rows against the rows before; None where too few are there, or nothing is kept of the column.
    """

    table: str
    column: str
    rows_new: int
    null_before: float
    null_new: float
    mean_before: float | None = None
    mean_new: float | None = None
    shift: float | None = None
    psi: float | None = None


def changes(before: Table, rows: pl.DataFrame, of: int) -> Iterator[Change]:
    """A change for each column of a table that both have.

    Times are left out, since they always move on, and columns that are filled in: the rows before have been, the new
    ones have not.

    Args:
        before: the table's figures at the load before.
        rows: the new rows, or a sample of them.
        of: how many new rows there are.
    """
    known = {column.name for column in before.columns}
    for column in before.columns:
        if f"{column.name}_missing" in known:
            continue
        if column.name in rows.columns and column.kind != "time" and len(rows) and column.rows:
            yield _change(before.name, column, rows[column.name], of)


def find(found: Sequence[Change]) -> Iterator[Finding]:
    """A finding for each column whose new rows are unlike those before."""
    for it in found:
        if emptied(it):
            value = f"{percent(it.null_before)} before, {percent(it.null_new)} of the new rows"
            remedy = "Check whether the source still fills the column."
            yield Finding("warn", it.table, f"{it.column}: the share without a value has changed", value, remedy)
        if moved(it):
            means = "" if it.mean_new is None else f", mean {it.mean_before:,.4g} before, {it.mean_new:,.4g} now"
            remedy = "Check units, codes and the file's completeness; a real change needs models trained anew."
            yield Finding(
                "warn", it.table, f"{it.column}: new rows are distributed otherwise", f"PSI {it.psi:.2f}{means}", remedy
            )


def emptied(change: Change) -> bool:
    """Whether so many new rows have a value, or have none, that it is no chance."""
    return change.rows_new >= FEW and abs(change.null_new - change.null_before) > NULLS


def moved(change: Change) -> bool:
    """Whether the new rows are distributed otherwise."""
    return change.psi is not None and change.psi > PSI


def _change(table: str, before: Column, values: pl.Series, rows: int) -> Change:
    filled = values.drop_nulls()
    told = Change(
        table=table,
        column=before.name,
        rows_new=rows,
        null_before=before.null_share,
        null_new=values.null_count() / len(values),
    )
    if before.kind in ("text", "boolean"):
        return msgspec.structs.replace(told, psi=_of_texts(before, filled))
    if before.kind != "number" or before.mean is None or not filled.dtype.is_numeric():
        return told
    array = numbers(filled)
    if not len(array):
        return told
    mean = float(array.mean())
    shift = (mean - before.mean) / before.deviation if before.deviation else None
    stable = None
    if min(len(array), sum(before.counts)) >= MANY:
        expected = (*before.counts, 0) if before.edges[0] == before.edges[-1] else before.counts
        stable = stability.of_counts(expected, counted(array, before.edges))
    return msgspec.structs.replace(told, mean_before=before.mean, mean_new=mean, shift=shift, psi=stable)


def _of_texts(before: Column, filled: pl.Series) -> float | None:
    """Over the most frequent values before, and all others together."""
    looked_at = round(before.looked_at * (1 - before.null_share))
    if not before.top or min(looked_at, len(filled)) < MANY:
        return None
    now = {value: int(rows) for value, rows in filled.cast(pl.String).str.slice(0, LONGEST).value_counts().iter_rows()}
    kept = [(it.rows, now.get(it.text, 0)) for it in before.top]
    rest = (max(looked_at - sum(a for a, _ in kept), 0), len(filled) - sum(b for _, b in kept))
    return stability.of_counts([a for a, _ in (*kept, rest)], [b for _, b in (*kept, rest)])
