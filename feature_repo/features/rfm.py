"""Recency, frequency, monetary value, and their scores within the snapshot.

Grain: customer × snapshot. Recency and tenure are days, with their fraction, since the newest and the oldest line.
Frequency counts baskets, monetary sums `amount` in the currency of the table, returns taken off; a basket is in a
window when one of its lines is. The scores are quintiles of `recency_days`, `frequency_total` and
`monetary_total` (A. M. Hughes, *Strategic Database Marketing*, 1994): 5 is best, customers that are equal score
equal.
"""

from datetime import timedelta
from typing import Final

import polars as pl

from feature_repo.features.frames import AGE, BASKET, KEY, SNAPSHOT, Tables, days, finish, money, seen, units, within
from motherlode import names

FEATURES: Final[dict[str, pl.DataType]] = {
    "recency_days": pl.Float32(),
    "tenure_days": pl.Float32(),
    "frequency_28d": pl.Float32(),
    "frequency_84d": pl.Float32(),
    "frequency_total": pl.Float32(),
    "monetary_28d": pl.Float32(),
    "monetary_84d": pl.Float32(),
    "monetary_total": pl.Float32(),
    "recency_score": pl.Int32(),
    "frequency_score": pl.Int32(),
    "monetary_score": pl.Int32(),
}

WINDOWS: Final = {"28d": timedelta(days=28), "84d": timedelta(days=84)}
QUANTILES: Final = 5

_NEWEST: Final = "newest"
_OLDEST: Final = "oldest"


def build(tables: Tables, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """The view `rfm`; see the module for units and sources."""
    customers = (
        _baskets(tables, snapshots)
        .group_by(KEY)
        .agg(
            pl.col(_NEWEST).min(),
            pl.col(_OLDEST).max(),
            pl.len().alias("frequency_total"),
            pl.col("monetary_total").sum(),
            *(within(pl.col(_NEWEST), window).sum().alias(f"frequency_{name}") for name, window in WINDOWS.items()),
            *(pl.col(f"monetary_{name}").sum() for name in WINDOWS),
        )
    )
    scored = customers.with_columns(
        quintile(-pl.col(_NEWEST)).alias("recency_score"),
        quintile(pl.col("frequency_total")).alias("frequency_score"),
        quintile(pl.col("monetary_total")).alias("monetary_score"),
    )
    measured = scored.with_columns(
        days(pl.col(_NEWEST)).alias("recency_days"),
        days(pl.col(_OLDEST)).alias("tenure_days"),
        *(money(pl.col(f"monetary_{name}")).alias(f"monetary_{name}") for name in (*WINDOWS, "total")),
    )
    return finish(measured, FEATURES)


def quintile(value: pl.Expr) -> pl.Expr:
    """1..5 by rank within the snapshot, 5 for the highest; equal values share their mean rank.

    ⌈5 · (rank - ½) / n⌉ in whole numbers, twice the rank being whole; customers that are all equal get 3.
    """
    twice = (2 * value.rank("average").over(SNAPSHOT)).cast(pl.Int64) - 1
    customers = pl.len().over(SNAPSHOT).cast(pl.Int64)
    return (QUANTILES * twice + 2 * customers - 1) // (2 * customers)


def _baskets(tables: Tables, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """What each snapshot has seen of each basket: its newest and oldest line's age, and its money by window."""
    amount = units(names.AMOUNT).sum().alias("monetary_total")
    lines = tables[names.TRANSACTIONS].group_by(names.CUSTOMER_ID, names.BASKET_ID, names.EVENT_TIMESTAMP).agg(amount)
    spent = pl.col("monetary_total")
    return (
        seen(lines, snapshots)
        .with_columns(
            pl.when(within(pl.col(AGE), window)).then(spent).otherwise(0).alias(f"monetary_{name}")
            for name, window in WINDOWS.items()
        )
        .group_by(BASKET)
        .agg(
            pl.col(AGE).min().alias(_NEWEST),
            pl.col(AGE).max().alias(_OLDEST),
            spent.sum(),
            *(pl.col(f"monetary_{name}").sum() for name in WINDOWS),
        )
    )
