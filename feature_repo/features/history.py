"""History: the latest items, and those bought most often.

Grain: customer × snapshot. An item counts once a basket, at its first line there; returns and lines without an item
are left out. `latest_items` are the `LENGTH` latest distinct items, newest first. `top_items` are the `LENGTH` with the
highest count, a basket's weight halving every `HALF_LIFE`, highest first; `top_weights` are those counts. Ties go by
`item_id`. Null for a customer who bought no item.
"""

from datetime import timedelta
from typing import Final

import polars as pl
from polars.lazyframe.group_by import LazyGroupBy

from feature_repo.features.frames import KEY, SNAPSHOT, Tables, finish, micros, population, purchases
from motherlode import names

FEATURES: Final[dict[str, pl.DataType]] = {
    "latest_items": pl.List(pl.String()),
    "top_items": pl.List(pl.String()),
    "top_weights": pl.List(pl.Float32()),
}

LENGTH: Final = 50
HALF_LIFE: Final = timedelta(days=120)

_PARTS: Final = 2**40
"""Weights are summed in whole parts of a basket, so that a sum comes out the same in any order."""
_HALVING: Final = 2**28
"""A standing is a whole number of 2^-28 halvings, so that equal histories tie."""
_ITEMS: Final = 2**26
"""An order is value · 2^26 + item: one number that ranks ties too, for up to 67 million items."""
_LN2: Final = 0.6931471805599453

_CUSTOMER: Final = "customer"
_ITEM: Final = "item"
_AT: Final = "at"
_NEXT: Final = "next"
_OTHER: Final = "other"
_BASKETS: Final = "baskets"
_LATEST: Final = "latest"
_TOP: Final = "top"
_RANK: Final = "rank"
_ROW: Final = (SNAPSHOT, _CUSTOMER)


def build(tables: Tables, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """The view `history`; see the module for units and sources."""
    bought = purchases(tables).filter(pl.col(names.ITEM_ID).is_not_null())
    items = _codes(bought, names.ITEM_ID, _ITEM, descending=True)
    customers = _codes(bought, names.CUSTOMER_ID, _CUSTOMER)
    times = _ordered(_times(bought, items, customers))
    latest = _best(times, _LATEST, snapshots, items).agg(pl.col(names.ITEM_ID).alias("latest_items"))
    top = _best(times, _TOP, snapshots, items).agg(
        pl.col(names.ITEM_ID).alias("top_items"), _weight().cast(pl.Float32).alias("top_weights")
    )
    lists = latest.join(top, on=_ROW, how="inner").join(customers, on=_CUSTOMER, how="inner")
    return finish(population(tables, snapshots).join(lists, on=KEY, how="left"), FEATURES)


def _codes(bought: pl.LazyFrame, column: str, code: str, *, descending: bool = False) -> pl.LazyFrame:
    """A text → its number in the alphabet, from 1: it joins and ranks faster.

    Items are numbered from the alphabet's end: of two that tie, the alphabet's first then ranks higher.
    """
    number = pl.col(column).rank("dense", descending=descending).cast(pl.Int64)
    return bought.select(pl.col(column).unique()).with_columns(number.alias(code))


def _times(bought: pl.LazyFrame, items: pl.LazyFrame, customers: pl.LazyFrame) -> pl.LazyFrame:
    """When each customer bought each item, in how many baskets: customer, item, at (microseconds), baskets."""
    return (
        bought.group_by(names.CUSTOMER_ID, names.ITEM_ID, names.BASKET_ID)
        .agg(pl.col(names.EVENT_TIMESTAMP).min())
        .join(items, on=names.ITEM_ID, how="inner")
        .join(customers, on=names.CUSTOMER_ID, how="inner")
        .group_by(_CUSTOMER, _ITEM, micros(pl.col(names.EVENT_TIMESTAMP)).alias(_AT))
        .agg(pl.len().cast(pl.Int64).alias(_BASKETS))
    )


def _ordered(times: pl.LazyFrame) -> pl.LazyFrame:
    """The two orders of an item from each time it was bought until the next.

    Neither changes in between: all weights halve together, so that they are ranked by their standing,
    log2(weight) + time / half-life, which stays.

    Returns:
        customer; `at` and `next` in microseconds, `next` null at the last; `latest` and `top`, the orders.
    """
    earlier = times.select(_CUSTOMER, _ITEM, pl.col(_AT).alias(_OTHER), pl.col(_BASKETS).alias("others"))
    past = pl.col(_OTHER) <= pl.col(_AT)
    decayed = pl.col("others") * _PARTS * (-_LN2 * _halvings(pl.col(_AT) - pl.col(_OTHER))).exp()
    standing = (pl.col("weight") / _PARTS).log() / _LN2 + _halvings(pl.col(_AT))
    order = {_LATEST: pl.col(_AT).rank("dense"), _TOP: (standing * _HALVING).round(0)}
    return (
        times.join(earlier, on=[_CUSTOMER, _ITEM], how="inner")
        .with_columns(
            pl.when(past).then(decayed.round(0).cast(pl.Int64)).otherwise(0).alias("weight"),
            pl.when(past).then(None).otherwise(pl.col(_OTHER)).alias(_NEXT),
        )
        .group_by(_CUSTOMER, _ITEM, _AT)
        .agg(pl.col("weight").sum(), pl.col(_NEXT).min())
        .select(
            *(_CUSTOMER, _AT, _NEXT),
            *((value.cast(pl.Int64) * _ITEMS + pl.col(_ITEM)).alias(name) for name, value in order.items()),
        )
    )


def _best(times: pl.LazyFrame, order: str, snapshots: pl.LazyFrame, items: pl.LazyFrame) -> LazyGroupBy:
    """The `LENGTH` items of the highest order that each snapshot has seen each customer buy, highest first."""
    at, since = pl.col(SNAPSHOT), micros(pl.col(SNAPSHOT))
    seen = (since > pl.col(_AT)) & (pl.col(_NEXT).is_null() | (since <= pl.col(_NEXT)))
    return (
        _contenders(times.select(_CUSTOMER, _AT, _NEXT, order), order, snapshots)
        .join(snapshots.select(pl.col(names.EVENT_TIMESTAMP).alias(SNAPSHOT)), how="cross")
        .with_columns(seen.alias("seen"))
        .filter(pl.col("seen"))
        .select(at, _CUSTOMER, order, pl.col(order).rank("ordinal", descending=True).over(_ROW).alias(_RANK))
        .filter(pl.col(_RANK) <= LENGTH)
        .with_columns((pl.col(order) % _ITEMS).alias(_ITEM))
        .join(items, on=_ITEM, how="inner")
        .sort(_RANK)
        .group_by(_ROW)
    )


def _contenders(times: pl.LazyFrame, order: str, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """The times that can be among the best at any of the snapshots; it spares most of the ranking.

    What is behind `LENGTH` others at the first snapshot stays behind them until it is bought again: they keep
    their order, or move up.
    """
    first = snapshots.select(micros(pl.col(names.EVENT_TIMESTAMP)).min().alias("first"))
    return (
        times.join(first, how="cross")
        .with_columns(
            (pl.col(_AT) >= pl.col("first")).alias("new"),
            (pl.col(_NEXT).is_null() | (pl.col(_NEXT) >= pl.col("first"))).alias("live"),
        )
        .filter(pl.col("live"))
        .with_columns(pl.col(order).rank("ordinal", descending=True).over(_CUSTOMER, "new").alias(_RANK))
        .filter(pl.col("new") | (pl.col(_RANK) <= LENGTH))
        .drop("first", "new", "live", _RANK)
    )


def _weight() -> pl.Expr:
    """The weight of a `top` order at its snapshot, in baskets."""
    standing = (pl.col(_TOP) // _ITEMS) / _HALVING
    return ((standing - _halvings(micros(pl.col(SNAPSHOT)))) * _LN2).exp()


def _halvings(span: pl.Expr) -> pl.Expr:
    """Microseconds as half-lives, Float64."""
    return span / (HALF_LIFE // timedelta(microseconds=1))
