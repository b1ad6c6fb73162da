"""What the tests of the tabular models share: a device, and frames whose right answer is known."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from motherlode.compute import Compute

START = datetime(2025, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="session")
def cpu() -> Compute:
    return Compute("cpu", "The tests run on it.")


@pytest.fixture(scope="session")
def campaign_frame() -> Callable[..., pl.DataFrame]:
    """Households contacted in campaigns 20 days apart, 15 days long, types A and B in turn.

    In type A they respond by `price_sensitivity__coupon_amount_84d`, in type B by `rfm__monetary_28d`; a third
    feature is noise, and a fourth has holes. So a model that sees both knows more than past coupon use.
    """

    def build(campaigns: int = 14, households: int = 150, seed: int = 0) -> pl.DataFrame:
        random = np.random.default_rng(seed)
        count = campaigns * households
        number = np.repeat(np.arange(campaigns), households)
        coupons, money, noise, holes = random.gamma(2.0, 5.0, (4, count))
        type_a = number % 2 == 0
        log_odds = np.where(type_a, 0.25 * (coupons - 10) - 0.5, 0.25 * (money - 10) - 1.5)
        label = random.random(count) < 1 / (1 + np.exp(-log_odds))
        starts = [START + timedelta(days=20 * int(each)) for each in number]
        return pl.DataFrame(
            {
                "customer_id": np.tile(np.arange(households), campaigns).astype(str),
                "event_timestamp": starts,
                "campaign_id": number.astype(str),
                "campaign_type": np.where(type_a, "Type A", "Type B"),
                "ended_at": [start + timedelta(days=15) for start in starts],
                "label": label.astype(np.int8),
                "price_sensitivity__coupon_amount_84d": coupons.astype(np.float32),
                "rfm__monetary_28d": money.astype(np.float32),
                "spending__evening_share": noise.astype(np.float32),
                "spending__trend_4w_12w": np.where(random.random(count) < 0.3, np.nan, holes).astype(np.float32),
            },
            schema_overrides={
                "event_timestamp": pl.Datetime("us", "UTC"),
                "ended_at": pl.Datetime("us", "UTC"),
            },
        ).with_columns(pl.col("spending__trend_4w_12w").fill_nan(None))

    return build


@pytest.fixture(scope="session")
def window_frame() -> Callable[..., pl.DataFrame]:
    """Customers at snapshots 28 days apart; inactive by how long ago and how rarely they bought, which only counts
    together: someone who comes rarely may stay away for long.
    """

    def build(windows: int = 6, customers: int = 400, seed: int = 0) -> pl.DataFrame:
        random = np.random.default_rng(seed)
        count = windows * customers
        recency = random.exponential(15.0, count)
        frequency = random.poisson(6.0, count) + 1.0
        log_odds = 0.12 * (recency - 15) - 0.5 * (frequency - 7) - 1.0
        label = random.random(count) < 1 / (1 + np.exp(-log_odds))
        return pl.DataFrame(
            {
                "customer_id": np.tile(np.arange(customers), windows).astype(str),
                "event_timestamp": [START + timedelta(days=28 * (each // customers)) for each in range(count)],
                "label": label.astype(np.int8),
                "rfm__recency_days": recency.astype(np.float32),
                "rfm__frequency_84d": frequency.astype(np.float32),
                "spending__evening_share": random.random(count).astype(np.float32),
            },
            schema_overrides={"event_timestamp": pl.Datetime("us", "UTC")},
        )

    return build
