"""Customers that behave alike: who has items in the signature that few others have.

A customer is a vector over the items of its signature (`signature`): days bought × ln(customers / customers who have
it in theirs), in whole thousandths, an item that nobody else has left out (tf-idf: K. Spärck Jones, J. Documentation
28, 1972). Two customers are as similar as the cosine of their vectors. To compare all with all grows with the square
of the customers; so candidates meet first: among those for whom an item is one of their `BUCKETS` heaviest, in groups
of `MEET`, those with another heavy item in common side by side. The best `CANDIDATES` of those that a customer met
are compared in full. How many of the true nearest that finds, and what it takes: docs/decisions/0027.

A customer at a snapshot is one number here, and so is an item at one, so that one number tells a pair. Everything is
whole numbers once a vector has its length, so the answer is the same in any order of rows.
"""

from typing import Final

import polars as pl

from feature_repo.features.frames import kept
from feature_repo.features.signature import DAYS, ITEMS
from feature_repo.features.windows import BUCKETS, CANDIDATES, MEET, NEAREST
from motherlode import names

LENGTH: Final = 2**18
"""Of a vector: its parts are whole numbers."""
SCALE: Final = LENGTH * LENGTH
"""Of a similarity: equal ones tie."""
CODES: Final = 2**26
"""Room for a number of a customer, or an item, at a snapshot: up to 67 million at once."""
ROUGH: Final = 2**20
"""Of a similarity by the items that two met over, which only says whom to compare."""
SLICES: Final = 16
"""Of the pairs that are compared: what bounds the memory."""
STEPS: Final = 2**11
"""By which those that a customer met are told apart: with two numbers of customers, what one number has room for."""

CUSTOMER: Final = "customer"
"""A customer's number, from 1: in the order of the snapshots, then the ids."""
OTHER: Final = "other"
"""Another customer's number."""
SIMILARITY: Final = "similarity"
RANK: Final = "rank"

_ITEM: Final = "item"
_WEIGHT: Final = "weight"
_PART: Final = "part"
_GROUP: Final = "group"
_PAIR: Final = "pair"
_WEIGHT_UNIT: Final = 1_000


def nearest(numbered: pl.LazyFrame) -> pl.LazyFrame:
    """The nearest customers of each.

    Args:
        numbered: event_timestamp, CUSTOMER, and the signature's two lists, null where there is none; in the order of
            CUSTOMER.

    Returns:
        CUSTOMER, OTHER; SIMILARITY, Int64, from 1 to SCALE; RANK from 1, ties by the other's id.
    """
    vectors = _vectors(_entries(numbered).cache()).cache()
    compared = _compared(_candidates(_met(vectors)), vectors)
    order = pl.col(SIMILARITY) * CODES - pl.col(OTHER)
    return (
        _both_ways(compared)
        .with_columns(order.rank("ordinal", descending=True).over(CUSTOMER).cast(pl.Int64).alias(RANK))
        .filter(pl.col(RANK) <= NEAREST)
    )


def _entries(numbered: pl.LazyFrame) -> pl.LazyFrame:
    """Each item of each signature: event_timestamp, CUSTOMER, ITEMS, DAYS."""
    items = numbered.select(names.EVENT_TIMESTAMP, CUSTOMER, ITEMS).explode(ITEMS)
    days = numbered.select(DAYS).explode(DAYS)  # apart: cuDF explodes one column at a time
    return pl.concat([items, days], how="horizontal").filter(pl.col(ITEMS).is_not_null())


def _vectors(entries: pl.LazyFrame) -> pl.LazyFrame:
    """Each customer's vector: CUSTOMER, item, weight; part, of a vector that is LENGTH long; RANK from 1."""
    one = pl.len().cast(pl.Int64)
    everyone = (
        entries.select(names.EVENT_TIMESTAMP, CUSTOMER).unique().group_by(names.EVENT_TIMESTAMP).agg(one.alias("all"))
    )
    rarity = (
        entries.group_by(names.EVENT_TIMESTAMP, ITEMS)
        .agg(one.alias("having"))
        .filter(pl.col("having") > 1)
        .join(everyone, on=names.EVENT_TIMESTAMP, how="inner")
        .sort(names.EVENT_TIMESTAMP, ITEMS)
        .with_row_index(_ITEM, offset=1)
        .select(
            names.EVENT_TIMESTAMP,
            ITEMS,
            pl.col(_ITEM).cast(pl.Int64),
            (pl.col("all") / pl.col("having")).log().alias("rarity"),
        )
    )
    weight = (pl.col(DAYS) * pl.col("rarity") * _WEIGHT_UNIT).round(0).cast(pl.Int64)
    order = pl.col(_WEIGHT) * CODES - pl.col(_ITEM)
    norm = (pl.col(_WEIGHT) * pl.col(_WEIGHT)).sum().over(CUSTOMER).cast(pl.Float64).sqrt()
    return (
        entries.join(rarity, on=[names.EVENT_TIMESTAMP, ITEMS], how="inner")
        .select(CUSTOMER, _ITEM, weight.alias(_WEIGHT))
        .filter(pl.col(_WEIGHT) > 0)
        .select(
            pl.col(CUSTOMER, _ITEM, _WEIGHT).cast(pl.Int32),
            order.rank("ordinal", descending=True).over(CUSTOMER).cast(pl.Int32).alias(RANK),
            (pl.col(_WEIGHT) * LENGTH / norm).floor().cast(pl.Int32).alias(_PART),
        )
    )


def _met(vectors: pl.LazyFrame) -> pl.LazyFrame:
    """Pairs that met over an item: pair; SIMILARITY by the items they met over, in parts of ROUGH, from 0.

    Those whose heaviest other item is the same stand side by side, then those for whom the item weighs most.
    """
    first, second = (_ranked(rank).sum().over(CUSTOMER) for rank in (1, 2))
    companion = pl.when(pl.col("first") == pl.col(_ITEM)).then(pl.col("second")).otherwise(pl.col("first"))
    grouped = (
        kept(vectors, pl.col(RANK) <= BUCKETS)
        .with_columns(first.alias("first"), second.alias("second"), pl.lit(1, dtype=pl.Int64).alias("one"))
        .with_columns(companion.alias("companion"), (-pl.col(_WEIGHT)).alias("lightness"))
        .sort(_ITEM, "companion", "lightness", CUSTOMER)
        .with_columns(((pl.col("one").cum_sum().over(_ITEM) - 1) // MEET).alias(_GROUP))
        .select((_long(_ITEM) * CODES + pl.col(_GROUP)).alias(_GROUP), CUSTOMER, _PART)
        .cache()
    )
    others = grouped.rename({CUSTOMER: OTHER, _PART: "theirs"})
    together = grouped.join(others, on=_GROUP, how="inner")
    pair = _long(CUSTOMER) * CODES + pl.col(OTHER)
    product = (_long(_PART) * pl.col("theirs") // (SCALE // ROUGH)).cast(pl.Int32)
    # Most pairs meet once: to sort them takes a third of the time and of the memory of a group for each.
    last = (pl.col(_PAIR).shift(-1) != pl.col(_PAIR)).fill_null(value=True)
    return (
        kept(together, pl.col(CUSTOMER) < pl.col(OTHER))
        .select(pair.alias(_PAIR), product.alias(SIMILARITY))
        .sort(_PAIR)
        .select(_PAIR, _long(SIMILARITY).cum_sum(), last.alias("last"))
        .filter(pl.col("last"))
        .select(_PAIR, pl.col(SIMILARITY) - pl.col(SIMILARITY).shift(1).fill_null(0))
    )


def _ranked(rank: int) -> pl.Expr:
    """The item at a rank, in its row; 0 in the others."""
    return pl.when(pl.col(RANK) == rank).then(pl.col(_ITEM)).otherwise(0)


def _candidates(met: pl.LazyFrame) -> pl.LazyFrame:
    """The pairs of whom either is among the most similar of those that the other met: pair, once.

    A customer, how unlike, and the other fit into one number: so that one sort of numbers finds the best of all, where
    a rank by customer would need several times the memory.
    """
    unlike = STEPS - 1 - (pl.col(SIMILARITY) - 1) // (ROUGH // STEPS)
    packed = (pl.col(CUSTOMER) * STEPS + unlike) * CODES + pl.col(OTHER)
    whose = pl.col("packed") // (STEPS * CODES)
    other = pl.col("packed") % CODES
    ahead = whose < other
    return (
        _both_ways(met)
        .filter(pl.col(SIMILARITY) > 0)
        .select(packed.alias("packed"))
        .sort("packed")
        .with_columns((pl.col("packed").shift(CANDIDATES) // (STEPS * CODES)).alias("before"))
        .filter((pl.col("before") != whose).fill_null(value=True))
        .select(pl.when(ahead).then(whose * CODES + other).otherwise(other * CODES + whose).alias(_PAIR))
        .unique()
    )


def _compared(pairs: pl.LazyFrame, vectors: pl.LazyFrame) -> pl.LazyFrame:
    """The pairs with their SIMILARITY by all of their vectors.

    By the other's number in SLICES, one after the other: a table of all entries takes three times as long to look into,
    and what is found there several times the memory.
    """
    pairs = pairs.with_columns((pl.col(_PAIR) % CODES).alias(OTHER)).cache()
    return pl.concat([_compared_slice(pairs, vectors, number) for number in range(SLICES)])


def _compared_slice(pairs: pl.LazyFrame, vectors: pl.LazyFrame, number: int) -> pl.LazyFrame:
    ours = vectors.select(CUSTOMER, _ITEM, _PART)
    theirs = kept(vectors, pl.col(CUSTOMER) % SLICES == number).select(
        (_long(CUSTOMER) * CODES + pl.col(_ITEM)).alias("entry"), pl.col(_PART).alias("theirs")
    )
    return (
        kept(pairs, pl.col(OTHER) % SLICES == number)
        .with_columns((pl.col(_PAIR) // CODES).cast(pl.Int32).alias(CUSTOMER))
        .join(ours, on=CUSTOMER, how="inner")
        .select(_PAIR, _PART, (pl.col(OTHER) * CODES + pl.col(_ITEM)).alias("entry"))
        .join(theirs, on="entry", how="inner")
        .group_by(_PAIR)
        .agg((_long(_PART) * pl.col("theirs")).sum().alias(SIMILARITY))
        .filter(pl.col(SIMILARITY) > 0)
    )


def _long(column: str) -> pl.Expr:
    """A column for products: what is kept by the million is half as wide."""
    return pl.col(column).cast(pl.Int64)


def _both_ways(pairs: pl.LazyFrame) -> pl.LazyFrame:
    """Each pair from either side. A plan that is used twice is planned twice: so a join, and no concatenation."""
    here, there = pl.col(_PAIR) // CODES, pl.col(_PAIR) % CODES
    turned = pl.col("turned")
    return pairs.join(pl.LazyFrame({"turned": [False, True]}), how="cross").select(
        pl.when(turned).then(there).otherwise(here).alias(CUSTOMER),
        pl.when(turned).then(here).otherwise(there).alias(OTHER),
        SIMILARITY,
    )
