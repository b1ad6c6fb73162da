"""Purchases: every item a customer ever bought.

Grain: customer × snapshot, wanted at the latest alone: it is what the online filter "not bought yet" reads.
`purchased_items` are the distinct items, the newest first, ties by `item_id`; returns are left out. Null for a
customer who bought no item.
"""

from typing import Final

import polars as pl

from feature_repo.features.frames import AGE, KEY, Tables, finish, population, purchases, seen
from motherlode import names

FEATURES: Final[dict[str, pl.DataType]] = {"purchased_items": pl.List(pl.String())}


def build(tables: Tables, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """The view `purchases`; see the module for units and sources."""
    bought = (
        purchases(tables)
        .filter(pl.col(names.ITEM_ID).is_not_null())
        .select(names.CUSTOMER_ID, names.ITEM_ID, names.EVENT_TIMESTAMP)
    )
    items = (
        seen(bought, snapshots)
        .group_by(*KEY, names.ITEM_ID)
        .agg(pl.col(AGE).min())
        .sort([*KEY, AGE, names.ITEM_ID])
        .group_by(KEY)
        .agg(pl.col(names.ITEM_ID).alias("purchased_items"))
    )
    return finish(population(tables, snapshots).join(items, on=KEY, how="left"), FEATURES)
