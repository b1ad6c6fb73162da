"""A column's mean, median or mode among like rows, or else among all."""

from collections.abc import Sequence
from typing import Final

import polars as pl

_VALUE: Final = "_impute_value"


def take(known: pl.DataFrame, wanted: pl.DataFrame, column: str, by: str, within: Sequence[str]) -> pl.Series:
    """The statistic for each wanted row.

    Args:
        known: rows with a value in `column`; at least one.
        wanted: rows to find one for.
        column: what is found.
        by: `mean`, `median`, `mode`; of equally frequent values the smallest.
        within: columns; the statistic is taken among rows that are equal in them. Where a row has a null there, or no
            known row is like it, it is taken among all.

    Returns:
        In the order of `wanted`, of `column`'s type; means of integers are rounded.
    """
    dtype = known.schema[column]
    statistic = _statistic(pl.col(column), by, dtype)
    overall = known.select(statistic.alias(_VALUE)).item()
    if not within:
        return pl.Series([overall]).cast(dtype, strict=False).new_from_index(0, len(wanted))
    groups = known.group_by(within).agg(statistic.alias(_VALUE))
    found = wanted.select(within).join(groups, on=list(within), how="left", maintain_order="left")
    return found[_VALUE].fill_null(overall).cast(dtype)


def _statistic(value: pl.Expr, by: str, dtype: pl.DataType) -> pl.Expr:
    if by == "mode":
        return value.mode().sort().first()
    number = value.to_physical() if dtype.is_temporal() else value
    # Sorted, so that a sum of floats has one answer whatever the order of rows.
    result = number.sort().mean() if by == "mean" else number.median()
    return result if dtype.is_float() or dtype.is_decimal() else result.round().cast(pl.Int64)
