"""Purchases: every item a customer ever bought.

Grain: customer × snapshot, wanted at the latest alone: it is what the online filter "not bought yet" reads. Source:
`transactions`. `purchased_items` are the distinct items, the newest first, ties by `item_id`; returns are left out.
Null for a customer who bought no item.
"""

from typing import Final

import polars as pl

from feature_repo.features.frames import AT, SNAPSHOT, Tables, codes, finish, micros, population, purchases
from feature_repo.features.standing import CODE, CODES, CUSTOMER, NUMBER, THING, THINGS, numbered, thing
from feature_repo.features.view import Feature
from motherlode import names

READS: Final = (names.TRANSACTIONS,)

FEATURES: Final = {
    "purchased_items": Feature(pl.List(pl.String()), "item_id", "every item ever bought, the newest first"),
}

LATEST_ONLY: Final = True


def build(tables: Tables, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """The view `purchases`; see the module for units and sources."""
    bought = purchases(tables).filter(pl.col(names.ITEM_ID).is_not_null())
    items = codes(bought, names.ITEM_ID, CODE).cache()
    customers = codes(bought, names.CUSTOMER_ID, CUSTOMER).cache()
    times = numbered(snapshots).select(NUMBER, pl.col(AT).alias("until")).cache()
    lines = (
        bought.join(items, on=names.ITEM_ID, how="inner")
        .join(customers, on=names.CUSTOMER_ID, how="inner")
        .select(thing(), micros(pl.col(names.EVENT_TIMESTAMP)).alias(AT))
    )
    lists = (
        lines.join(times, how="cross")
        # The flag keeps join and filter apart: fused, they do not translate to cuDF.
        .with_columns((pl.col(AT) < pl.col("until")).alias("seen"))
        .filter(pl.col("seen"))
        .group_by((pl.col(NUMBER) * THINGS + pl.col(THING)).alias(THING))
        .agg(pl.col(AT).max())
        # Sorts by one number each are quicker than one by several.
        .sort(THING)
        .select((pl.col(THING) // CODES).alias("row"), (pl.col(THING) % CODES).alias(CODE), (-pl.col(AT)).alias(AT))
        .sort(AT, maintain_order=True)
        .join(items, on=CODE, how="left", maintain_order="left")
        .group_by("row")
        .agg(pl.col(names.ITEM_ID).alias("purchased_items"))
        .with_columns((pl.col("row") // CODES).alias(NUMBER), (pl.col("row") % CODES).alias(CUSTOMER))
        .join(times, on=NUMBER, how="inner")
        .join(customers, on=CUSTOMER, how="inner")
        .select(names.CUSTOMER_ID, pl.col("until").alias(AT), "purchased_items")
    )
    rows = population(tables, snapshots).with_columns(micros(pl.col(SNAPSHOT)).alias(AT))
    return finish(rows.join(lists, on=[names.CUSTOMER_ID, AT], how="left"), FEATURES)
