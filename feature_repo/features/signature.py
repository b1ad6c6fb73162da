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
    SNAPSHOT,
    Tables,
    codes,
    micros,
    purchases,
    seen,
    units,
    within,
)
from feature_repo.features.standing import CODE, CODES, CUSTOMER, NUMBER, THING, THINGS, thing
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
    bought = purchases(tables)
    items = codes(bought, names.ITEM_ID, CODE).cache()
    customers = codes(bought, names.CUSTOMER_ID, CUSTOMER).cache()
    lines = (
        bought.select(names.CUSTOMER_ID, names.ITEM_ID, day, units(names.AMOUNT).alias(PAID), names.EVENT_TIMESTAMP)
        .join(customers, on=names.CUSTOMER_ID, how="inner")
        .join(items, on=names.ITEM_ID, how="left")
        .select(CUSTOMER, thing(pl.col(CODE).fill_null(0)), "day", PAID, names.EVENT_TIMESTAMP)
    )
    at = micros(pl.col(SNAPSHOT)).rank("ordinal").cast(pl.Int64) - 1
    numbers = snapshots.select(pl.col(names.EVENT_TIMESTAMP).alias(SNAPSHOT)).with_columns(at.alias(NUMBER)).cache()
    recent = seen(lines, snapshots).filter(within(pl.col(AGE), WINDOW)).join(numbers, on=SNAPSHOT, how="inner").cache()
    paid = recent.group_by((pl.col(NUMBER) * CODES + pl.col(CUSTOMER)).alias("row")).agg(pl.col(PAID).sum())
    first = (pl.col(THING).shift(1) != pl.col(THING)) | (pl.col("day").shift(1) != pl.col("day"))
    # Sorts and groups by one number each are quicker than by several.
    ordered = (
        recent.select((pl.col(NUMBER) * THINGS + pl.col(THING)).alias(THING), "day")
        .sort("day")
        .sort(THING, maintain_order=True)
        .select(THING, first.fill_null(value=True).cast(pl.Int32).alias(DAYS))
        .group_by(THING)
        .agg(pl.col(DAYS).sum())
        .sort(THING)
        .select((pl.col(THING) // CODES).alias("row"), (pl.col(THING) % CODES).alias(CODE), DAYS)
        .sort(-pl.col(DAYS), maintain_order=True)
        .sort("row", maintain_order=True)
    )
    beyond = (pl.col("row").shift(SIGNATURE) == pl.col("row")).fill_null(value=False)
    return (
        ordered.with_columns(beyond.alias("beyond"))
        .filter(~pl.col("beyond"))
        .join(items, on=CODE, how="left", maintain_order="left")
        .group_by("row")
        .agg(pl.col(names.ITEM_ID).alias(ITEMS), pl.col(DAYS))
        .join(paid, on="row", how="inner")
        .with_columns((pl.col("row") // CODES).alias(NUMBER), (pl.col("row") % CODES).alias(CUSTOMER))
        .join(numbers, on=NUMBER, how="inner")
        .join(customers, on=CUSTOMER, how="inner")
        .select(*ROW, ITEMS, DAYS, PAID)
    )
