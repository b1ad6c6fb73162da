"""What several views share: what a snapshot sees, and sums that come out the same in any order.

Every plan here runs on Polars' CPU engine and, unchanged, on cuDF (`make check-gpu` holds it to that).
Money is summed in whole ten-thousandths, so a sum has one value whatever order the lines come in.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import polars as pl

from motherlode import names

Tables = Mapping[str, pl.LazyFrame]
"""The integrated tables by name, with the columns of `feature_repo.warehouse.contract`."""

SNAPSHOT: Final = "snapshot"
"""The snapshot's time while a plan runs; it leaves as `event_timestamp`."""

AGE: Final = "age"
"""Microseconds from an event to the snapshot that sees it, Int64."""

KEY: Final = (SNAPSHOT, names.CUSTOMER_ID)
BASKET: Final = (*KEY, names.BASKET_ID)

MICROSECONDS_PER_DAY: Final = 86_400_000_000
MONEY_UNIT: Final = 10_000
"""A sum of money is an integer of ten-thousandths: exact up to nine hundred billion."""

SATURDAY: Final = 6
"""ISO weekday."""


def units(column: str) -> pl.Expr:
    """A column of money, or of pieces, as whole ten-thousandths, Int64."""
    return (pl.col(column) * MONEY_UNIT).round(0).cast(pl.Int64)


def money(expr: pl.Expr) -> pl.Expr:
    """Whole ten-thousandths back to money, or to pieces, Float64."""
    return expr / MONEY_UNIT


def micros(expr: pl.Expr) -> pl.Expr:
    """A Datetime("us") as its microseconds, Int64: the arithmetic that both engines have."""
    return expr.cast(pl.Int64)


def days(age: pl.Expr) -> pl.Expr:
    """Microseconds as days with their fraction, Float64."""
    return age / MICROSECONDS_PER_DAY


def within(age: pl.Expr, window: timedelta) -> pl.Expr:
    """Whether an age lies in the window that ends at the snapshot, its far end included."""
    return age <= window // timedelta(microseconds=1)


def share(part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    """part / whole, Float64; null where there is no whole, or none above zero."""
    return pl.when(whole > 0).then(part / whole).otherwise(None)


def seen(events: pl.LazyFrame, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """Every event beside every snapshot that sees it: those strictly after it.

    The age stands between the join and the filter so that no optimizer fuses them: the fused, conditional
    join is the one part that cuDF can translate only where there is a driver.

    Args:
        events: with `event_timestamp`.
        snapshots: one column, `event_timestamp`.

    Returns:
        The events' other columns, `snapshot`, and `age`: Int64, microseconds, above 0.
    """
    times = snapshots.select(pl.col(names.EVENT_TIMESTAMP).alias(SNAPSHOT))
    age = micros(pl.col(SNAPSHOT)) - micros(pl.col(names.EVENT_TIMESTAMP))
    aged = events.join(times, how="cross").with_columns(age.alias(AGE)).drop(names.EVENT_TIMESTAMP)
    return aged.filter(pl.col(AGE) > 0)


def population(tables: Tables, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """The rows of every view: each customer with a line in `transactions` before the snapshot.

    Returns:
        `snapshot`, `customer_id`.
    """
    first = tables[names.TRANSACTIONS].group_by(names.CUSTOMER_ID).agg(pl.col(names.EVENT_TIMESTAMP).min())
    return seen(first, snapshots).select(KEY)


def purchases(tables: Tables) -> pl.LazyFrame:
    """The lines on which something was bought; a return's quantity is negative."""
    return tables[names.TRANSACTIONS].filter(pl.col(names.QUANTITY) > 0)


def finish(frame: pl.LazyFrame, features: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    """A view's columns in their order and types: customer_id, event_timestamp, then the features."""
    return frame.select(
        pl.col(names.CUSTOMER_ID),
        pl.col(SNAPSHOT).alias(names.EVENT_TIMESTAMP),
        *(pl.col(name).cast(dtype) for name, dtype in features.items()),
    )
