"""What is bought together with an item.

Grain: item × the latest snapshot, for each item bought in the `windows.QUARTER` before it, from `transactions`, returns
left out. Two items are together where one basket of that time holds both. An item's neighbours are those whose cosine,
baskets of both / √(baskets of one · baskets of the other), is highest, highest first, ties by id, of those that it
shares at least `SUPPORT` baskets with. Null lists: none has that support.

Two limits bound work and memory. Only the newest `BASKETS_AT_MOST` baskets of that time count, ties by customer and
basket: a company that sells more than these in a quarter has neighbours of its newest weeks, and rows for what was
bought in them. Of an item's baskets the `SAMPLE` newest are looked into, and stand for the others.
"""

from typing import Final

import polars as pl

from feature_repo.features import windows
from feature_repo.features.frames import AGE, SNAPSHOT, Tables, codes, purchases, seen, within
from feature_repo.features.view import Feature
from feature_repo.features.windows import BASKETS_AT_MOST, NEAREST, SAMPLE, SUPPORT
from motherlode import names

KEY: Final = names.ITEM_ID
READS: Final = (names.TRANSACTIONS,)
WHOLE: Final = True
LATEST_ONLY: Final = True
LOOKS_BACK: Final = windows.QUARTER

WINDOW: Final = windows.QUARTER

FEATURES: Final[dict[str, Feature]] = {
    "neighbours": Feature(
        pl.List(pl.String()),
        "item_id",
        f"the up to {NEAREST} items most bought together with it, over {WINDOW.days} days",
    ),
    "similarities": Feature(pl.List(pl.Float32()), "cosine", "how much each neighbour is; above 1 only by the sample"),
}

_SCALE: Final = 2**24
"""A similarity is a whole number of 2^-24, so that equal ones tie."""
_CODES: Final = 2**26
"""A value · 2^26 + code ranks ties too: for up to 67 million items, or baskets of an item at one moment."""
_ITEM: Final = "item"
_OTHER: Final = "other"
_BASKET: Final = "basket"
_SIMILARITY: Final = "similarity"
_RANK: Final = "rank"


def build(tables: Tables, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """The view `item_neighbours`; see the module for units and sources."""
    lines = _counted(tables, snapshots).cache()
    ids = codes(lines, names.ITEM_ID, _ITEM).with_columns(pl.col(_ITEM).cast(pl.Int32)).cache()
    short = (pl.col(name).cast(pl.Int32) for name in (_BASKET, _ITEM))
    held = lines.join(ids, on=names.ITEM_ID, how="inner").select(SNAPSHOT, *short).cache()
    totals = held.group_by(SNAPSHOT, _ITEM).agg(pl.len().cast(pl.Int64).alias("baskets")).cache()
    near = _near(held, totals)
    lists = (
        near.join(ids.rename({_ITEM: _OTHER}), on=_OTHER, how="inner")
        .sort(_RANK)
        .group_by(SNAPSHOT, _ITEM)
        .agg(
            pl.col(names.ITEM_ID).alias("neighbours"),
            (pl.col(_SIMILARITY) / _SCALE).cast(pl.Float32).alias("similarities"),
        )
    )
    return (
        totals.join(ids, on=_ITEM, how="inner")
        .join(lists, on=[SNAPSHOT, _ITEM], how="left")
        .select(names.ITEM_ID, pl.col(SNAPSHOT).alias(names.EVENT_TIMESTAMP), *FEATURES)
    )


def _counted(tables: Tables, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """Which basket that counts held what: SNAPSHOT, basket, item_id, each once; baskets are numbered, newest first."""
    basket = (names.CUSTOMER_ID, names.BASKET_ID)
    lines = purchases(tables).select(*basket, names.ITEM_ID, names.EVENT_TIMESTAMP)
    # Made twice, not cached: the second time a line is gone unless its basket counts.
    recent = seen(lines, snapshots).filter(within(pl.col(AGE), WINDOW))
    place = pl.col("one").cum_sum()
    numbers = (
        recent.group_by(SNAPSHOT, *basket)
        .agg(pl.col(AGE).max())
        .sort(SNAPSHOT, AGE, *basket)
        .with_columns(pl.lit(1, dtype=pl.Int64).alias("one"))
        .with_columns(place.alias(_BASKET), place.over(SNAPSHOT).alias("place"))
        .filter(pl.col("place") <= BASKETS_AT_MOST)
        .select(SNAPSHOT, *basket, _BASKET)
    )
    return recent.join(numbers, on=[SNAPSHOT, *basket], how="inner").select(SNAPSHOT, _BASKET, names.ITEM_ID).unique()


def _near(held: pl.LazyFrame, totals: pl.LazyFrame) -> pl.LazyFrame:
    """SNAPSHOT, item, other, similarity, rank from 1."""
    often = totals.filter(pl.col("baskets") >= SUPPORT)
    held = held.join(often, on=[SNAPSHOT, _ITEM], how="semi").cache()
    place = pl.col(_BASKET).rank("ordinal").over(SNAPSHOT, _ITEM).cast(pl.Int64).alias(_RANK)
    looked = held.with_columns(place).filter(pl.col(_RANK) <= SAMPLE).drop(_RANK)
    together = (
        looked.join(held.drop(SNAPSHOT).rename({_ITEM: _OTHER}), on=_BASKET, how="inner")
        .with_columns((pl.col(_ITEM) != pl.col(_OTHER)).alias("two"))
        .filter(pl.col("two"))
        .group_by(SNAPSHOT, _ITEM, _OTHER)
        .agg(pl.len().cast(pl.Int64).alias("shared"))
        .filter(pl.col("shared") >= SUPPORT)
    )
    mine, theirs = pl.col("baskets"), pl.col("their_baskets")
    sampled = pl.when(mine > SAMPLE).then(SAMPLE).otherwise(mine)
    cosine = pl.col("shared") / sampled * (mine.cast(pl.Float64).sqrt() / theirs.cast(pl.Float64).sqrt())
    order = pl.col(_SIMILARITY) * _CODES - pl.col(_OTHER)
    return (
        together.join(totals, on=[SNAPSHOT, _ITEM], how="inner")
        .join(totals.rename({_ITEM: _OTHER, "baskets": "their_baskets"}), on=[SNAPSHOT, _OTHER], how="inner")
        .select(SNAPSHOT, _ITEM, _OTHER, (cosine * _SCALE).round(0).cast(pl.Int64).alias(_SIMILARITY))
        .with_columns(order.rank("ordinal", descending=True).over(SNAPSHOT, _ITEM).cast(pl.Int64).alias(_RANK))
        .filter(pl.col(_RANK) <= NEAREST)
    )
