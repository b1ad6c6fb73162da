"""A thin warehouse of the demo's own tables, and raw tables with everything wrong in them."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from feature_repo import warehouse
from feature_repo.warehouse.mapping import LINE, Context
from motherlode.settings import Settings

HOUSEHOLDS = 120


@pytest.fixture(scope="session")
def thin(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The warehouse of 120 households. Read it; don't change it."""
    settings = Settings(home=tmp_path_factory.mktemp("thin home"))
    warehouse.build(settings, households=HOUSEHOLDS)
    return settings


@pytest.fixture
def landed_at() -> datetime:
    """When the raw tables of a test were landed."""
    return datetime(2025, 1, 1, tzinfo=UTC)


@pytest.fixture
def context() -> Context:
    """No shift, households 1 to 9 as they are, and one kind of petrol."""
    households = range(1, 10)
    return Context(
        shift=timedelta(0),
        identities=pl.LazyFrame({"household_id": households, "customer_id": [str(number) for number in households]}),
        products=pl.LazyFrame({"product_id": [10, 20], "product_type": ["GASOLINE-REG UNLEADED", "BREAD"]}),
    )


@pytest.fixture
def raw_lines() -> pl.DataFrame:
    """Five raw purchase lines, one of petrol, numbered as they stand in their file."""
    return pl.DataFrame(
        {
            "household_id": [1, 1, 2, 2, 99],
            "store_id": [5, 5, 6, 6, 6],
            "basket_id": [100, 100, 200, 201, 202],
            "product_id": [20, 21, 10, 20, 20],
            "quantity": [2, 1, 10_004, 1, 1],
            "sales_value": [3.0, 1.7763568394002505e-15, 25.0, 1.5, 1.5],
            "retail_disc": [0.5, 0.0, 0.0, 0.0, 0.0],
            "coupon_disc": [1.0, 0.0, 0.0, 0.0, 0.0],
            "coupon_match_disc": [0.25, 0.0, 0.0, 0.0, 0.0],
            "transaction_timestamp": [datetime(2017, 7, 1, 3, 30)] * 2 + [datetime(2017, 1, 31, 3, 30)] * 3,
        },
        schema_overrides={"transaction_timestamp": pl.Datetime("ns")},
    ).with_row_index(LINE, offset=1)
