"""What sells: lists of the most bought items, overall and by customer segment, for whom nothing else is known."""

from collections.abc import Sequence
from typing import Final

import polars as pl

from motherlode import names
from motherlode.errors import DataError
from motherlode.manifest import Popular

SEGMENT: Final = "segment"
"""The column of the segments frame that holds a customer's segment id."""
HALF_LIFE_DAYS: Final = 120.0
"""Of a basket's weight, so that the lists follow the season."""
LENGTH: Final = 200
"""Items a list: enough for the longest answer after filters have taken their share."""

_DAY_US: Final = 86_400_000_000


def popular(
    transactions: pl.DataFrame,
    keys: Sequence[str],
    segments: pl.DataFrame,
    length: int = LENGTH,
    half_life_days: float = HALF_LIFE_DAYS,
) -> Popular:
    """Rank items by the baskets they were in, a basket's weight halving every `half_life_days`.

    Args:
        transactions: customer_id, basket_id, item_id and event_timestamp are read.
        keys: the item keys of the bundle's item table, in its order; other items are left out.
        segments: customer_id and `segment`, an integer; one row a customer. Customers without one count overall only.
        length: items a list at most.
        half_life_days: days, above 0.

    Returns:
        Lists of (row of `keys`, score): the score is the item's share of the weight of all baskets, 0 to 1. Ties go
        to the lower row. A segment whose customers bought nothing of `keys` has an empty list.

    Raises:
        DataError: a customer stands twice in `segments`.
    """
    if segments[names.CUSTOMER_ID].is_duplicated().any():
        twice = segments.filter(pl.col(names.CUSTOMER_ID).is_duplicated())[names.CUSTOMER_ID][0]
        raise DataError(f"Customer {twice!r} has two segments.", "Give one row a customer.")
    weighted = _weighted(transactions, half_life_days).join(
        segments.select(names.CUSTOMER_ID, SEGMENT), on=names.CUSTOMER_ID, how="left"
    )
    rows = _rows(keys)
    return Popular(
        overall=_ranked(weighted, rows, length),
        by_segment={
            int(segment): _ranked(weighted.filter(pl.col(SEGMENT) == segment), rows, length)
            for segment in segments[SEGMENT].drop_nulls().unique().sort()
        },
    )


def popularity(
    transactions: pl.DataFrame, keys: Sequence[str], half_life_days: float = HALF_LIFE_DAYS
) -> tuple[float, ...]:
    """How popular every item is: the score that `popular` ranks by, for all customers.

    Args:
        transactions, keys, half_life_days: as `popular`.

    Returns:
        One an item, in the keys' order: 0 to 1; 0 for an item that nobody bought.
    """
    found = dict(_ranked(_weighted(transactions, half_life_days), _rows(keys), len(keys)))
    return tuple(found.get(row, 0.0) for row in range(len(keys)))


def _rows(keys: Sequence[str]) -> pl.DataFrame:
    return pl.DataFrame(
        {names.ITEM_ID: list(keys), "row": range(len(keys))}, schema_overrides={names.ITEM_ID: pl.String}
    )


def _weighted(transactions: pl.DataFrame, half_life_days: float) -> pl.DataFrame:
    """Distinct (customer, basket, item) with the basket's `weight`, 1 for the newest basket."""
    age_days = (pl.col("at").max() - pl.col("at")) / _DAY_US
    return (
        transactions.group_by(names.CUSTOMER_ID, names.BASKET_ID, names.ITEM_ID)
        .agg(pl.col(names.EVENT_TIMESTAMP).dt.epoch("us").min().alias("at"))
        .with_columns(pl.col("at").min().over(names.CUSTOMER_ID, names.BASKET_ID))
        .with_columns((0.5 ** (age_days / half_life_days)).alias("weight"))
    )


def _ranked(weighted: pl.DataFrame, rows: pl.DataFrame, length: int) -> tuple[tuple[int, float], ...]:
    total = weighted.unique([names.CUSTOMER_ID, names.BASKET_ID])["weight"].sum()
    best = (
        weighted.join(rows, on=names.ITEM_ID)
        # Sorted first, so that the sum adds in one order and equal runs give equal bits.
        .sort("row", "at", names.BASKET_ID)
        .group_by("row", maintain_order=True)
        .agg(pl.col("weight").sum() / total)
        .sort(["weight", "row"], descending=[True, False])
        .head(length)
    )
    return tuple(best.iter_rows())
