"""A customer's signature: the items bought on the most days of the year before a snapshot.

What is left of a year's lines where customers are compared: it is made of a customer's own rows, one partition's at a
time, and bounds what is compared by customers × `windows.SIGNATURE` items.
"""

from typing import Final

import polars as pl

from feature_repo.features import windows
from feature_repo.features.frames import (
    AGE,
    MICROSECONDS_PER_DAY,
    ROW,
    Tables,
    micros,
    purchases,
    seen,
    units,
    within,
)
from feature_repo.features.windows import SIGNATURE
from motherlode import names

WINDOW: Final = windows.YEAR

ITEMS: Final = "signature_items"
DAYS: Final = "signature_days"
PAID: Final = "paid"


def signatures(tables: Tables, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """The signature of each customer who bought anything in the window.

    Returns:
        SNAPSHOT, customer_id; ITEMS, List(String), those of the most days first, ties by id; DAYS, List(Int32), UTC
        days on which each was bought; PAID, Int64, for all items together, in ten-thousandths.
    """
    day = (micros(pl.col(names.EVENT_TIMESTAMP)) // MICROSECONDS_PER_DAY).cast(pl.Int32).alias("day")
    lines = purchases(tables).select(
        names.CUSTOMER_ID, names.ITEM_ID, day, units(names.AMOUNT).alias(PAID), names.EVENT_TIMESTAMP
    )
    items = (
        seen(lines, snapshots)
        .filter(within(pl.col(AGE), WINDOW))
        .group_by(*ROW, names.ITEM_ID, "day")
        .agg(pl.col(PAID).sum())
        .group_by(*ROW, names.ITEM_ID)
        .agg(pl.len().cast(pl.Int32).alias(DAYS), pl.col(PAID).sum())
        .with_columns(pl.col(PAID).sum().over(ROW), (-pl.col(DAYS)).alias("order"))
        .sort(*ROW, "order", names.ITEM_ID)
    )
    longer = [pl.col(name).shift(SIGNATURE) == pl.col(name) for name in ROW]
    return (
        items.with_columns((longer[0] & longer[1]).fill_null(value=False).alias("beyond"))
        .filter(~pl.col("beyond"))
        .group_by(ROW)
        .agg(pl.col(names.ITEM_ID).alias(ITEMS), pl.col(DAYS), pl.col(PAID).max())
    )
