"""The view `spending` against a reference in plain Python."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from feature_repo.features import spending
from feature_repo.warehouse.contract import SCHEMAS

DAY = timedelta(days=1)


def reference(rows: dict[str, list[dict[str, Any]]], at: datetime) -> dict[str, dict[str, Any]]:
    by_customer: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in rows.get("transactions", []):
        if line["event_timestamp"] < at:
            by_customer[line["customer_id"]].append(line)
    return {
        customer: of_customer(lines, at)
        for customer, lines in by_customer.items()
        if any(line["quantity"] > 0 for line in lines)
    }


def of_customer(lines: list[dict[str, Any]], at: datetime) -> dict[str, Any]:
    bought = [line for line in lines if line["quantity"] > 0]
    back = [line for line in lines if line["quantity"] < 0]
    baskets: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in bought:
        baskets[line["basket_id"]].append(line)
    values = [sum(line["amount"] for line in basket) for basket in baskets.values()]
    begins = [beginning(basket, lines) for basket in baskets.values()]
    clocks = [min(line["local_timestamp"] for line in moment) for moment in begins]
    known = [[line["store_id"] for line in moment if line["store_id"] is not None] for moment in begins]
    stores = Counter(min(those) for those in known if those)
    lately = sum(line["amount"] for line in lines if line["event_timestamp"] >= at - 28 * DAY)
    earlier = sum(line["amount"] for line in lines if at - 112 * DAY <= line["event_timestamp"] < at - 28 * DAY)
    paid, mean = sum(values), statistics.fmean(values)
    std = statistics.stdev(values) if len(values) > 1 else None
    return {
        "basket_value_mean": mean,
        "basket_value_std": std,
        "basket_value_cv": std / mean if std is not None and mean > 0 else None,
        "basket_items_mean": len(bought) / len(baskets),
        "basket_quantity_mean": sum(line["quantity"] for line in bought) / len(baskets),
        "weekend_share": statistics.fmean(clock.weekday() in (5, 6) for clock in clocks),
        "daytime_share": statistics.fmean(9 <= clock.hour < 17 for clock in clocks),
        "evening_share": statistics.fmean(clock.hour >= 17 for clock in clocks),
        "store_count": len(stores) or None,
        "favourite_store_share": max(stores.values()) / stores.total() if stores else None,
        "days_between_baskets": mean_gap(lines, bought),
        "trend_4w_12w": (lately / 28) / (earlier / 84) if round(earlier, 6) > 0 else None,
        "return_line_share": len(back) / (len(bought) + len(back)),
        "returned_money_share": -sum(line["amount"] for line in back) / paid if paid > 0 else None,
        "days_since_return": (at - max(line["event_timestamp"] for line in back)) / DAY if back else None,
    }


def beginning(basket: list[dict[str, Any]], lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All lines of a basket's first moment at which something was bought."""
    first = min(line["event_timestamp"] for line in basket)
    return [line for line in lines if (line["basket_id"], line["event_timestamp"]) == (basket[0]["basket_id"], first)]


def mean_gap(lines: list[dict[str, Any]], bought: list[dict[str, Any]]) -> float | None:
    first: dict[Any, datetime] = {}
    for line in bought:
        moment = [
            other["local_timestamp"]
            for other in lines
            if (other["basket_id"], other["event_timestamp"]) == (line["basket_id"], line["event_timestamp"])
        ]
        day = min(moment).date()
        first[day] = min(line["event_timestamp"], first.get(day, line["event_timestamp"]))
    days = [day for _, day in sorted((time, day) for day, time in first.items())]
    return (days[-1] - days[0]).days / (len(days) - 1) if len(days) > 1 else None


def test_spending_is_what_its_documentation_says(agrees: Callable[[str, Any], None]) -> None:
    agrees("spending", reference)


def test_other_snapshots_beside_it_change_no_bit(batches: Callable[[str], None]) -> None:
    batches("spending")


def built(values: list[list[float]]) -> dict[str, Any]:
    """One customer's baskets, a line a day each, as they are seen after all of them."""
    start = datetime(2024, 3, 1, tzinfo=UTC)
    lines = [
        {
            "customer_id": "c",
            "basket_id": str(number),
            "quantity": 1.0,
            "amount": amount,
            "event_timestamp": start + day * DAY,
            "local_timestamp": (start + day * DAY).replace(tzinfo=None),
        }
        for number, basket in enumerate(values)
        for day, amount in enumerate(basket)
    ]
    tables = {name: pl.LazyFrame(lines if name == "transactions" else [], schema=it) for name, it in SCHEMAS.items()}
    at = pl.LazyFrame({"event_timestamp": [start + 99 * DAY]}, schema={"event_timestamp": pl.Datetime("us", "UTC")})
    return spending.build(tables, at).collect().row(0, named=True)


@pytest.mark.parametrize("unit", [0.01, 1.0, 1e6, 1e9])
def test_the_spread_is_right_from_cents_to_thousands_of_millions(unit: float) -> None:
    values = [[3 * unit, 4 * unit], [2 * unit], [5 * unit, 5 * unit, 5 * unit], [9 * unit]] * 50
    wanted = statistics.stdev([sum(basket) for basket in values])
    assert built(values)["basket_value_std"] == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("value", [0.1, 19.99, 123_456_789.01])
def test_baskets_that_are_all_alike_have_no_spread(value: float) -> None:
    row = built([[value]] * 7)
    assert row["basket_value_std"] == pytest.approx(0.0, abs=value * 1e-7)
    assert row["basket_value_cv"] == pytest.approx(0.0, abs=1e-7)
