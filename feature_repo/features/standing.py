"""The best of many things at every snapshot, where what is bought gains weight and all weights fade together.

A thing's standing changes only when it is bought: all weights halve together, so that the order of two things stays
while neither is bought. Hence a plan holds one row a purchase (`states`), which stands until the next one, and never
pairs everything ever bought with every snapshot: `best` looks at snapshots in blocks, and at a block's start alone it
counts everything. What is behind `length` others there stays behind them until it is bought again.

A thing's weight is kept as it would be at `ORIGIN`: what was bought later weighs more. So no weight has to be halved
as time goes by, and a row is the same whichever snapshots stand beside it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl

from feature_repo.features.frames import AT, micros
from motherlode import names

ORIGIN: Final = datetime(2010, 1, 1, tzinfo=UTC)
"""Where a purchase weighs 1. A double holds a thousand halvings to either side: 78 years of 28 days each."""

THING: Final = "thing"
"""One customer's item or category: customer · 2^26 + code, Int64; for up to 67 million things."""
CUSTOMER: Final = "customer"
"""A customer's number, Int64, from 1."""
CODE: Final = "code"
"""An item's or a category's number in the alphabet, Int64, from 1."""
NEXT: Final = "next"
"""When the thing was bought again: Int64 microseconds since 1970 UTC; null: never."""
NUMBER: Final = "number"
"""A snapshot's place in time, from 0; of a purchase: that of the first snapshot that sees it."""
UNTIL: Final = "until"
"""The first snapshot that sees the thing's next purchase; null: none."""
FIRST: Final = "first"
"""Whether a purchase is the thing's first."""
EARLIER: Final = "earlier"
"""The snapshot before, Int64 microseconds since 1970 UTC; null at the first."""
STANDING: Final = "standing"
"""Weights as whole 2^-28 halvings: equal histories tie."""
ENTRY: Final = "entry"
"""A list that is wanted, by its number, Int64."""

CODES: Final = 2**26
THINGS: Final = 2**52
"""NUMBER · THINGS + THING is one number, for up to 2,048 snapshots: one number groups at half the cost of two."""
_HALVING: Final = 2**28
_BLOCK: Final = 8
"""Snapshots a block: the more, the fewer full counts, and the more that is looked at in each block."""
_BLOCKS: Final = 2**20
_LN2: Final = 0.6931471805599453
_MICROSECOND: Final = timedelta(microseconds=1)


def thing(code: pl.Expr | None = None) -> pl.Expr:
    """THING of CUSTOMER and CODE, or of another number in its place."""
    return (pl.col(CUSTOMER) * CODES + (pl.col(CODE) if code is None else code)).alias(THING)


def whose() -> list[pl.Expr]:
    """CUSTOMER and CODE of THING."""
    return [(pl.col(THING) // CODES).alias(CUSTOMER), (pl.col(THING) % CODES).alias(CODE)]


def grown(at: pl.Expr, half_life: timedelta) -> pl.Expr:
    """What a purchase at a time, in microseconds since 1970, weighs as of ORIGIN, Float64."""
    return (_LN2 * _halvings(at, half_life)).exp()


def standing(weight: pl.Expr) -> pl.Expr:
    """A weight as of ORIGIN, above 0, as STANDING, Int64."""
    return (weight.log() / _LN2 * _HALVING).round(0).cast(pl.Int64)


def weight(value: pl.Expr, at: pl.Expr, half_life: timedelta) -> pl.Expr:
    """What a STANDING weighs at a time, in microseconds since 1970, Float64."""
    return ((value / _HALVING - _halvings(at, half_life)) * _LN2).exp()


def weight_at_origin(value: pl.Expr) -> pl.Expr:
    """What a STANDING weighs at ORIGIN, Float64."""
    return (value / _HALVING * _LN2).exp()


def _halvings(at: pl.Expr, half_life: timedelta) -> pl.Expr:
    since = (ORIGIN - datetime(1970, 1, 1, tzinfo=UTC)) // _MICROSECOND
    return (at - since) / (half_life // _MICROSECOND)


def numbered(snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """The snapshots' times as AT, with NUMBER and EARLIER."""
    return (
        snapshots.select(micros(pl.col(names.EVENT_TIMESTAMP)).alias(AT))
        .sort(AT)
        .with_columns((pl.col(AT).rank("ordinal").cast(pl.Int64) - 1).alias(NUMBER), pl.col(AT).shift(1).alias(EARLIER))
    )


def states(bought: pl.LazyFrame, snapshots: pl.LazyFrame, weights: Sequence[str]) -> pl.LazyFrame:
    """What is known of each thing from each purchase to the next.

    Args:
        bought: THING, AT, and the weights, Float64; purchases of one thing at one time must be equal.
        snapshots: one column, `event_timestamp`.
        weights: what is summed, in the order of time.

    Returns:
        THING, AT, NEXT, NUMBER, UNTIL, FIRST, the weights of one purchase, and `<weight>_sum`, up to and with it; in no
        order.
    """
    bought = bought.cache()
    times = bought.select(pl.col(AT).unique())
    seen = bought.join(seen_by(times, snapshots, NUMBER), on=AT, how="inner")
    # Two sorts by one number each are quicker than one by two.
    return lives(seen.sort(AT).sort(THING, maintain_order=True), weights)


def lives(ordered: pl.LazyFrame, weights: Sequence[str]) -> pl.LazyFrame:
    """`states` of purchases that have their NUMBER and are sorted by THING and AT."""
    same, back = pl.col(THING).shift(-1) == pl.col(THING), pl.col(THING).shift(1) == pl.col(THING)
    again = same.fill_null(False)
    ordered = ordered.with_columns(
        pl.when(again).then(pl.col(AT).shift(-1)).alias(NEXT),
        pl.when(again).then(pl.col(NUMBER).shift(-1)).alias(UNTIL),
        (again | back.fill_null(False)).alias("several"),
        ~back.fill_null(False).alias(FIRST),
        *(pl.col(name).alias(f"{name}_sum") for name in weights),
    ).cache()  # Polars makes what two plans share once only where it is told.
    # Most things are bought once: their sums are known already.
    several = ordered.filter(pl.col("several")).with_columns(
        pl.col(f"{name}_sum").cum_sum().over(THING) for name in weights
    )
    return pl.concat([several, ordered.filter(~pl.col("several"))]).drop("several")


def seen_by(times: pl.LazyFrame, snapshots: pl.LazyFrame, number: str, later: int = 0) -> pl.LazyFrame:
    """AT of each time → NUMBER of the first snapshot strictly after it, or after so many microseconds more.

    Args:
        times: AT, once each.
        snapshots: one column, `event_timestamp`.
        number: the result's column.
        later: microseconds.
    """
    side = "side"
    moved = times.select(pl.col(AT) + later, pl.lit(0, dtype=pl.Int64).alias(side))
    asks = numbered(snapshots).select(AT, pl.lit(1, dtype=pl.Int64).alias(side))
    both = pl.concat([asks, moved]).sort(AT, side, descending=[False, True])
    counted = both.with_columns(pl.col(side).cum_sum().alias(number))
    return counted.filter(pl.col(side) == 0).select(pl.col(AT) - later, number)


def best(lives: pl.LazyFrame, rows: pl.LazyFrame, value: str, width: int, length: int) -> pl.LazyFrame:
    """The things of the highest value at each row, highest first; ties by CODE, the lowest first.

    Args:
        lives: CUSTOMER, CODE, NUMBER, UNTIL, and the value; a thing's value rises from purchase to purchase.
        rows: ENTRY, CUSTOMER and NUMBER; ENTRY rises by customer and number, once each.
        value: Int64.
        width: values are counted in classes so wide; it changes the cost alone.
        length: of a list, at most.

    Returns:
        ENTRY, CODE and the value, by row, then rank.
    """
    rows = rows.cache()
    spread = _spread(lives.select(CUSTOMER, CODE, NUMBER, UNTIL, pl.col(value).alias(STANDING)), rows).cache()
    group, level = "group", pl.col(STANDING) // width
    contenders = (
        spread.join(_floors(spread, width, length), on=group, how="left")
        .filter(pl.col("floor").is_null() | (level >= pl.col("floor")))
        .select(group, CODE, NUMBER, UNTIL, STANDING)
        .sort(group, STANDING, CODE, descending=[False, True, False])
    )
    number = pl.col("snapshot_number")
    there = (pl.col(NUMBER) <= number) & (pl.col(UNTIL).is_null() | (pl.col(UNTIL) > number))
    return (
        rows.sort(ENTRY)
        .select(ENTRY, pl.col(NUMBER).alias("snapshot_number"), _group(pl.col(NUMBER) // _BLOCK))
        .join(contenders, on=group, how="inner", maintain_order="left_right")
        .filter(there)
        # Sorted by row, the one that stands `length` before is of another row.
        .filter((pl.col(ENTRY).shift(length) != pl.col(ENTRY)).fill_null(True))
        .select(ENTRY, CODE, pl.col(STANDING).alias(value))
    )


def _group(block: pl.Expr) -> pl.Expr:
    return (pl.col(CUSTOMER) * _BLOCKS + block).alias("group")


def _blocks(rows: pl.LazyFrame) -> pl.LazyFrame:
    return rows.select((pl.col(NUMBER) // _BLOCK).unique().alias("block"))


def _spread(lives: pl.LazyFrame, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Each purchase in each block in which a snapshot may see it as its thing's latest."""
    first = pl.col("block") * _BLOCK
    there = (pl.col(NUMBER) < first + _BLOCK) & (pl.col(UNTIL).is_null() | (pl.col(UNTIL) > first))
    # The flag keeps join and filter apart: fused, they are many times as slow, and do not translate to cuDF.
    crossed = lives.join(_blocks(rows), how="cross").with_columns(there.alias("there"))
    old = (pl.col(NUMBER) <= first).alias("old")
    return crossed.filter(pl.col("there")).select(_group(pl.col("block")), CODE, NUMBER, UNTIL, STANDING, old)


def _floors(spread: pl.LazyFrame, width: int, length: int) -> pl.LazyFrame:
    """The highest class at and above which `length` things stand when a block starts; none where they are fewer."""
    return (
        spread.filter(pl.col("old"))
        .group_by("group", (pl.col(STANDING) // width).alias("level"))
        .agg(pl.len().cast(pl.Int64).alias("things"))
        .sort("group", "level", descending=[False, True])
        .with_columns(pl.col("things").cum_sum().over("group"))
        .filter(pl.col("things") >= length)
        .group_by("group")
        .agg(pl.col("level").max().alias("floor"))
    )
