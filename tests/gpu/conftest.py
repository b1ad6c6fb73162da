"""The parity suite's two rooms, and random histories of customers."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from feature_repo.features.affinity import DEPARTMENTS
from feature_repo.warehouse.contract import SCHEMAS
from motherlode import names
from motherlode.compute import Compute, Room, room

FIRST_DAY = datetime(2017, 1, 4, tzinfo=UTC)
WEEKS = 30


@pytest.fixture(scope="session")
def gpu(gpu_room: Room) -> Room:
    return gpu_room


@pytest.fixture(scope="session")
def cpu() -> Room:
    return room(Compute("cpu", "a test"))


@pytest.fixture(scope="session")
def snapshots() -> pl.LazyFrame:
    """Weekly from the fourth week on, and one after all of the data."""
    times = [FIRST_DAY + timedelta(weeks=week) for week in (*range(4, WEEKS + 1), WEEKS + 20)]
    return pl.LazyFrame({names.EVENT_TIMESTAMP: times}, schema={names.EVENT_TIMESTAMP: pl.Datetime("us", "UTC")})


@pytest.fixture(scope="session")
def history() -> Callable[[int], Mapping[str, pl.LazyFrame]]:
    """Seed → integrated tables by name, full of ties, nulls, returns, free lines and events on the boundaries."""
    return _history


def _history(seed: int) -> Mapping[str, pl.LazyFrame]:
    random = np.random.default_rng(seed)
    customers, items, campaigns = 30, 40, 6
    tables = {
        names.TRANSACTIONS: _transactions(random, customers, items, lines=int(random.integers(1, 1500))),
        names.ITEMS: _items(random, items),
        names.CUSTOMERS: {names.CUSTOMER_ID: [str(i) for i in range(customers)]},
        names.CAMPAIGNS: _campaigns(random, campaigns),
        names.CONTACTS: _contacts(random, customers, campaigns, rows=60),
        names.RESPONSES: _contacts(random, customers, campaigns, rows=25),
    }
    return {name: _frame(name, columns).lazy() for name, columns in tables.items()}


def _frame(name: str, columns: Mapping[str, Any]) -> pl.DataFrame:
    """A table of the contract; columns that are not given are null."""
    schema = SCHEMAS[name]
    given = pl.DataFrame({column: values for column, values in columns.items() if column in schema}, strict=False)
    return given.select(
        (pl.col(column) if column in given.columns else pl.lit(None)).cast(dtype).alias(column)
        for column, dtype in schema.items()
    )


def _transactions(random: np.random.Generator, customers: int, items: int, lines: int) -> Mapping[str, Any]:
    baskets = random.integers(0, max(1, lines // 4), size=lines)
    owner = random.integers(0, customers, size=lines)[baskets]
    times = _times(random, lines)
    at = [times[basket] for basket in baskets]
    return {
        names.CUSTOMER_ID: [str(each) for each in owner],
        names.BASKET_ID: [str(each) for each in baskets],
        names.STORE_ID: [str(each % 5) for each in baskets],
        names.ITEM_ID: [str(each) for each in random.integers(0, items, size=lines)],
        names.QUANTITY: random.choice([-1, 1, 1, 2, 5], size=lines),
        names.AMOUNT: np.round(random.choice([0.0, 1.0, -1.0, 1.0], size=lines) * random.gamma(2, 3, size=lines), 2),
        names.RETAIL_DISCOUNT: np.round(random.choice([0.0, 1.0], size=lines) * random.gamma(1, 1, size=lines), 2),
        names.COUPON_DISCOUNT: np.round(random.choice([0.0, 0.0, 1.0], size=lines) * random.gamma(1, 1, size=lines), 2),
        names.EVENT_TIMESTAMP: at,
        names.LOCAL_TIMESTAMP: [(time - timedelta(hours=5)).replace(tzinfo=None) for time in at],
    }


def _times(random: np.random.Generator, n: int) -> list[datetime]:
    """Hours of the data's weeks; a third of them exactly at a snapshot's midnight, or a microsecond to either side."""
    hours = random.integers(0, WEEKS * 7 * 24, size=n)
    times = [FIRST_DAY + timedelta(hours=int(hour)) for hour in hours]
    near = random.random(n) < 1 / 3
    return [
        FIRST_DAY + timedelta(weeks=int(random.integers(WEEKS)), microseconds=int(random.integers(-1, 2)))
        if on
        else time
        for on, time in zip(near, times, strict=True)
    ]


def _items(random: np.random.Generator, items: int) -> Mapping[str, Any]:
    departments = [*DEPARTMENTS.values(), "SOMETHING ELSE", None]
    return {
        names.ITEM_ID: [str(i) for i in range(items)],
        names.OUTSIDE_ID: list(range(items)),
        names.ITEM_NAME: [f"item {i}" for i in range(items)],
        names.DEPARTMENT: [departments[i] for i in random.integers(len(departments), size=items)],
        names.CATEGORY: ["a category"] * items,
        names.BRAND: [("Private", "National", None)[i] for i in random.integers(3, size=items)],
    }


def _campaigns(random: np.random.Generator, campaigns: int) -> Mapping[str, Any]:
    starts = _times(random, campaigns)
    return {
        names.CAMPAIGN_ID: [str(i) for i in range(campaigns)],
        names.CAMPAIGN_TYPE: [f"Type {'ABC'[i % 3]}" for i in range(campaigns)],
        names.STARTED_AT: starts,
        names.ENDED_AT: [start + timedelta(weeks=4) for start in starts],
    }


def _contacts(random: np.random.Generator, customers: int, campaigns: int, rows: int) -> Mapping[str, Any]:
    return {
        names.CUSTOMER_ID: [str(each) for each in random.integers(0, customers, size=rows)],
        names.CAMPAIGN_ID: [str(each) for each in random.integers(0, campaigns, size=rows)],
        names.COUPON_ID: [str(each) for each in random.integers(0, 9, size=rows)],
        names.EVENT_TIMESTAMP: _times(random, rows),
    }
