"""History: the latest items, and those bought most often.

Grain: customer × snapshot. An item counts once a basket, at its first line there; returns and lines without an item
are left out. `latest_items` are the `LENGTH` latest distinct items, newest first. `top_items` are the `LENGTH` with the
highest count, each basket's weight halving every `HALF_LIFE`, highest first; `top_weights` are those counts. Ties go by
`item_id`. Null for a customer who bought no item.
"""

from datetime import timedelta
from typing import Final

import polars as pl
from polars.lazyframe.group_by import LazyGroupBy

from feature_repo.features.frames import AGE, KEY, SNAPSHOT, Tables, finish, micros, population, purchases
from motherlode import names

FEATURES: Final[dict[str, pl.DataType]] = {
    "latest_items": pl.List(pl.String()),
    "top_items": pl.List(pl.String()),
    "top_weights": pl.List(pl.Float32()),
}

LENGTH: Final = 50
HALF_LIFE: Final = timedelta(days=120)
RESOLUTION: Final = 2**24
"""A weight is a whole number of 2^-24 baskets, so that sums come out the same in any order and equal histories tie."""
ITEM_BITS: Final = 26
"""An order is value · 2^26 + item: one number that ranks ties too, for up to 67 million items."""

_CUSTOMER: Final = "customer"
_ITEM: Final = "item"
_AT: Final = "at"
_NEXT: Final = "next"
_WEIGHT: Final = "weight"
_LATEST: Final = "latest"
_RANK: Final = "rank"
_ROW: Final = (SNAPSHOT, _CUSTOMER)
_LN2: Final = 0.6931471805599453


def build(tables: Tables, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """The view `history`; see the module for units and sources."""
    bought = purchases(tables).filter(pl.col(names.ITEM_ID).is_not_null())
    items = _codes(bought, names.ITEM_ID, _ITEM, descending=True)
    customers = _codes(bought, names.CUSTOMER_ID, _CUSTOMER)
    candidates = _candidates(_accumulated(_times(bought, items, customers)), snapshots)
    latest = _best(candidates, _LATEST, items).agg(pl.col(names.ITEM_ID).alias("latest_items"))
    weight = ((pl.col(_WEIGHT) // 2**ITEM_BITS) / RESOLUTION).cast(pl.Float32)
    top = _best(candidates, _WEIGHT, items).agg(pl.col(names.ITEM_ID).alias("top_items"), weight.alias("top_weights"))
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
        .agg(pl.len().cast(pl.Int64).alias("baskets"))
    )


def _accumulated(times: pl.LazyFrame) -> pl.LazyFrame:
    """What an item weighs at each time it was bought, and until when that is the latest time.

    Returns:
        customer, item; `at` and `next` in microseconds, `next` null at the last; `weight` in 1 / RESOLUTION
        baskets, of this time and all before it, decayed to `at`; `latest`, the order of `at` and item.
    """
    others = times.select(_CUSTOMER, _ITEM, pl.col(_AT).alias("other"), pl.col("baskets").alias("others"))
    earlier = pl.col("other") <= pl.col(_AT)
    decayed = pl.col("others") * _decayed(RESOLUTION, pl.col(_AT) - pl.col("other"))
    order = pl.col(_AT).rank("dense").cast(pl.Int64) * 2**ITEM_BITS + pl.col(_ITEM)
    return (
        times.join(others, on=[_CUSTOMER, _ITEM], how="inner")
        .with_columns(
            pl.when(earlier).then(decayed).otherwise(0).alias(_WEIGHT),
            pl.when(earlier).then(None).otherwise(pl.col("other")).alias(_NEXT),
        )
        .group_by(_CUSTOMER, _ITEM, _AT)
        .agg(pl.col(_WEIGHT).sum(), pl.col(_NEXT).min())
        .with_columns(order.alias(_LATEST))
    )


def _candidates(bought: pl.LazyFrame, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """Each item that a snapshot has seen a customer buy, once: snapshot, customer, and the item's two orders."""
    later = snapshots.select(pl.col(names.EVENT_TIMESTAMP).alias(SNAPSHOT))
    time = micros(pl.col(SNAPSHOT))
    weight = _decayed(pl.col(_WEIGHT), pl.col(AGE))
    return (
        bought.join(later, how="cross")
        .with_columns((time - pl.col(_AT)).alias(AGE), (time - pl.col(_NEXT)).fill_null(0).alias("past_next"))
        .filter((pl.col(AGE) > 0) & (pl.col("past_next") <= 0))
        .select(*_ROW, _LATEST, (weight * 2**ITEM_BITS + pl.col(_ITEM)).alias(_WEIGHT))
    )


def _best(candidates: pl.LazyFrame, order: str, items: pl.LazyFrame) -> LazyGroupBy:
    """The `LENGTH` candidates of the highest order of each row, highest first."""
    rank = pl.col(order).rank("ordinal", descending=True).over(_ROW)
    return (
        candidates.select(*_ROW, order, rank.alias(_RANK))
        .filter(pl.col(_RANK) <= LENGTH)
        .with_columns((pl.col(order) % 2**ITEM_BITS).alias(_ITEM))
        .join(items, on=_ITEM, how="inner")
        .sort(_RANK)
        .group_by(_ROW)
    )


def _decayed(weight: pl.Expr | int, age: pl.Expr) -> pl.Expr:
    """A whole weight after `age` microseconds, whole again."""
    half_lives = age / (HALF_LIFE // timedelta(microseconds=1))
    return (weight * (half_lives * -_LN2).exp()).round(0).cast(pl.Int64)
