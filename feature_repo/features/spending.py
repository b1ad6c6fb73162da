"""Spending behaviour: what a basket is like, and when and where it is bought.

Grain: customer × snapshot, over everything before it. A basket is what the snapshot has seen of it: its value in
the currency of the table, its lines, its pieces. Hours, weekdays and days are the shop's wall clock
(`local_timestamp`) at the basket's first line. `days_between_baskets` is the mean gap between the days with a
purchase. `trend_4w_12w` is money a day over the last 28 days by money a day over the 84 days before them.
"""

from datetime import timedelta
from typing import Final

import polars as pl

from feature_repo.features.frames import (
    AGE,
    BASKET,
    KEY,
    MICROSECONDS_PER_DAY,
    SATURDAY,
    Tables,
    finish,
    micros,
    money,
    seen,
    share,
    units,
    within,
)
from motherlode import names

FEATURES: Final[dict[str, pl.DataType]] = {
    "basket_value_mean": pl.Float32(),
    "basket_value_std": pl.Float32(),
    "basket_items_mean": pl.Float32(),
    "basket_quantity_mean": pl.Float32(),
    "weekend_share": pl.Float32(),
    "evening_share": pl.Float32(),
    "store_count": pl.Float32(),
    "days_between_baskets": pl.Float32(),
    "trend_4w_12w": pl.Float32(),
}

EVENING: Final = 17
"""The hour from which a basket is bought in the evening."""
RECENT: Final = timedelta(days=28)
BEFORE: Final = timedelta(days=84)
"""The window that `RECENT` is compared with ends where that one begins."""

_DAY: Final = "day"
_VALUE: Final = "value"
_LINES: Final = "lines"
_BASKETS: Final = "baskets"
_LATELY: Final = "lately"
_EARLIER: Final = "earlier"


def build(tables: Tables, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """The view `spending`; see the module for units and sources."""
    by_customer = _by_customer(tables, snapshots)
    joined = by_customer.join(_stores(tables, snapshots), on=KEY, how="left").join(
        _days(tables, snapshots), on=KEY, how="left"
    )
    rate = pl.col(_LATELY) * BEFORE.days
    return finish(joined.with_columns(share(rate, pl.col(_EARLIER) * RECENT.days).alias("trend_4w_12w")), FEATURES)


def _by_customer(tables: Tables, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """What the baskets are like, and the money of the two windows."""
    hour = pl.col(names.LOCAL_TIMESTAMP).dt.hour()
    weekday = pl.col(names.LOCAL_TIMESTAMP).dt.weekday()
    return (
        _baskets(tables, snapshots)
        .with_columns((hour >= EVENING).alias("evening"), (weekday >= SATURDAY).alias("weekend"))
        .group_by(KEY)
        .agg(
            (money(pl.col(_VALUE).sum()) / pl.len()).alias("basket_value_mean"),
            money(pl.col(_VALUE)).std().alias("basket_value_std"),
            pl.col(_LINES).mean().alias("basket_items_mean"),
            money(pl.col(names.QUANTITY).sum() / pl.len()).alias("basket_quantity_mean"),
            pl.col("weekend").mean().alias("weekend_share"),
            pl.col("evening").mean().alias("evening_share"),
            pl.len().alias(_BASKETS),
            pl.col(_LATELY).sum(),
            pl.col(_EARLIER).sum(),
        )
        .with_columns(pl.when(pl.col(_BASKETS) > 1).then(pl.col("basket_value_std")).otherwise(None))
    )


def _baskets(tables: Tables, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """What each snapshot has seen of each basket."""
    lines = (
        tables[names.TRANSACTIONS]
        .group_by(names.CUSTOMER_ID, names.BASKET_ID, names.EVENT_TIMESTAMP)
        .agg(
            units(names.AMOUNT).sum().alias(_VALUE),
            pl.len().cast(pl.Int64).alias(_LINES),
            units(names.QUANTITY).sum().alias(names.QUANTITY),
            pl.col(names.LOCAL_TIMESTAMP).min(),
        )
    )
    recent, earlier = within(pl.col(AGE), RECENT), within(pl.col(AGE), RECENT + BEFORE)
    spent = pl.col(_VALUE)
    return (
        seen(lines, snapshots)
        .with_columns(
            pl.when(recent).then(spent).otherwise(0).alias(_LATELY),
            pl.when(earlier & ~recent).then(spent).otherwise(0).alias(_EARLIER),
        )
        .group_by(BASKET)
        .agg(
            spent.sum(),
            pl.col(_LINES).sum(),
            pl.col(names.QUANTITY).sum(),
            pl.col(names.LOCAL_TIMESTAMP).min(),
            pl.col(_LATELY).sum(),
            pl.col(_EARLIER).sum(),
        )
    )


def _stores(tables: Tables, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """How many stores each customer bought in."""
    first = (
        tables[names.TRANSACTIONS]
        .filter(pl.col(names.STORE_ID).is_not_null())
        .group_by(names.CUSTOMER_ID, names.STORE_ID)
        .agg(pl.col(names.EVENT_TIMESTAMP).min())
    )
    return seen(first, snapshots).group_by(KEY).agg(pl.len().alias("store_count"))


def _days(tables: Tables, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """The mean gap between the days with a purchase; null where there is only one."""
    day = micros(pl.col(names.LOCAL_TIMESTAMP)) // MICROSECONDS_PER_DAY
    first = (
        tables[names.TRANSACTIONS].group_by(names.CUSTOMER_ID, day.alias(_DAY)).agg(pl.col(names.EVENT_TIMESTAMP).min())
    )
    span = pl.col(_DAY).max() - pl.col(_DAY).min()
    spans = seen(first, snapshots).group_by(KEY).agg(span.alias("span"), pl.len().cast(pl.Int64).alias(_DAY))
    return spans.select(*KEY, share(pl.col("span"), pl.col(_DAY) - 1).alias("days_between_baskets"))
