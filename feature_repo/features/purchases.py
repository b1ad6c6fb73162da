"""Purchases: every item a customer ever bought.

Grain: customer × snapshot, wanted at the latest alone: it is what the online filter "not bought yet" reads. Source:
`transactions`. `purchased_items` are the distinct items, the newest first, ties by `item_id`; returns are left out.
Null for a customer who bought no item.
"""

from typing import Final

import polars as pl

from feature_repo.features.frames import AT, ROW, SNAPSHOT, Tables, codes, finish, micros, population, purchases
from feature_repo.features.standing import CODE
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
    times = snapshots.select(pl.col(names.EVENT_TIMESTAMP).alias(SNAPSHOT))
    lines = bought.join(items, on=names.ITEM_ID, how="inner").select(
        names.CUSTOMER_ID, CODE, micros(pl.col(names.EVENT_TIMESTAMP)).alias(AT)
    )
    lists = (
        lines.join(times, how="cross")
        # The flag keeps join and filter apart: fused, they do not translate to cuDF.
        .with_columns((pl.col(AT) < micros(pl.col(SNAPSHOT))).alias("seen"))
        .filter(pl.col("seen"))
        .group_by(*ROW, CODE)
        .agg(pl.col(AT).max())
        .sort(*ROW, AT, CODE, descending=[False, False, True, False])
        .join(items, on=CODE, how="left", maintain_order="left")
        .group_by(ROW)
        .agg(pl.col(names.ITEM_ID).alias("purchased_items"))
    )
    return finish(population(tables, snapshots).join(lists, on=ROW, how="left"), FEATURES)
