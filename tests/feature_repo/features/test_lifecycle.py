"""The view `lifecycle` against a reference in plain Python."""

import statistics
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import polars as pl
import pytest

from feature_repo.features import lifecycle
from feature_repo.warehouse.contract import SCHEMAS

DAY = timedelta(days=1)
START = datetime(2024, 3, 1, 15, tzinfo=UTC)


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
    times = [line["event_timestamp"] for line in bought]
    since, tenure = at - max(times), at - min(times)
    days = in_order(bought)
    gaps = [(after - before).days for (_, before), (_, after) in pairwise(days)]
    mean = statistics.fmean(gaps) if gaps else None
    begins: dict[str, datetime] = {}
    for line in bought:
        begins[line["basket_id"]] = min(line["event_timestamp"], begins.get(line["basket_id"], at))
    lately, earlier = (part(begins.values(), at, *ends) for ends in ((28, 0), (112, 28)))
    return {
        "purchase_days": len(days),
        "gap_std_days": statistics.stdev(gaps) if len(gaps) > 1 else None,
        "next_purchase_days": mean - since / DAY if mean is not None else None,
        "overdue_ratio": since / DAY / mean if mean is not None and mean > 0 else None,
        "frequency_trend_4w_12w": (len(lately) / 28) / (len(earlier) / 84) if earlier else None,
        "stage": stage(lines, days, since, tenure, at),
    }


def in_order(bought: list[dict[str, Any]]) -> list[tuple[datetime, Any]]:
    """(first purchase, day) of each day with a purchase, in that order."""
    first: dict[Any, datetime] = {}
    for line in bought:
        # What the shop's clock shows at a moment, the least of the basket's lines there.
        same = [
            other["local_timestamp"]
            for line_ in [line]
            for other in bought
            if (other["basket_id"], other["event_timestamp"]) == (line_["basket_id"], line_["event_timestamp"])
        ]
        day = min(same).date()
        first[day] = min(line["event_timestamp"], first.get(day, line["event_timestamp"]))
    return sorted((time, day) for day, time in first.items())


def part(times: Any, at: datetime, begin: int, end: int) -> list[datetime]:
    return [time for time in times if at - begin * DAY <= time < at - end * DAY]


def stage(
    lines: list[dict[str, Any]], days: list[tuple[datetime, Any]], since: timedelta, tenure: timedelta, at: datetime
) -> str:
    def paid(begin: int, end: int) -> int:
        return sum(
            round(line["amount"] * 100)
            for line in lines
            if at - begin * DAY <= line["event_timestamp"] < at - end * DAY
        )

    lately, earlier = paid(28, 0), paid(112, 28)
    came_back = [time for (_, before), (time, after) in pairwise(days) if (after - before).days > 84]
    if since > 84 * DAY:
        return "dormant"
    if tenure <= 112 * DAY:
        return "new"
    if any(at - time <= 28 * DAY for time in came_back):
        return "reactivated"
    if lately > 0 and lately * 84 * 4 >= earlier * 28 * 5:
        return "growing"
    if earlier > 0 and lately * 84 * 5 <= earlier * 28 * 4:
        return "fading"
    return "steady"


def test_lifecycle_is_what_its_documentation_says(agrees: Callable[[str, Any], None]) -> None:
    agrees("lifecycle", reference)


def test_other_snapshots_beside_it_change_no_bit(batches: Callable[[str], None]) -> None:
    batches("lifecycle")


def bought(*days: float, amounts: dict[float, float] | None = None) -> dict[str, pl.LazyFrame]:
    """One customer's baskets so many days after START, of 10 where nothing else is said."""
    lines = [
        {
            "customer_id": "c",
            "basket_id": str(day),
            "quantity": 1.0,
            "amount": (amounts or {}).get(day, 10.0),
            "event_timestamp": START + day * DAY,
            "local_timestamp": (START + day * DAY).replace(tzinfo=None),
        }
        for day in days
    ]
    return {name: pl.LazyFrame(lines if name == "transactions" else [], schema=it) for name, it in SCHEMAS.items()}


def at(tables: dict[str, pl.LazyFrame], day: float) -> dict[str, Any]:
    times = {"event_timestamp": [START + day * DAY]}
    snapshots = pl.LazyFrame(times, schema={"event_timestamp": pl.Datetime("us", "UTC")})
    return lifecycle.build(tables, snapshots).collect().row(0, named=True)


@pytest.mark.parametrize(
    ("days", "snapshot", "stage"),
    [
        ((0,), 84, "new"),
        ((0,), 84.01, "dormant"),
        ((0, 100), 112, "new"),
        ((0, 60, 100), 112.01, "growing"),
        ((0, 85), 112.5, "reactivated"),  # a day 85 days after the one before
        ((0, 84, 90), 112.5, "growing"),  # 84 days are no pause yet
        ((0, 85), 113, "reactivated"),
        ((0, 85), 113.01, "fading"),
        ((0, 10, 38, 66, 94), 121, "steady"),
        ((0, 20, 40, 60, 80, 90), 121, "fading"),
        ((0, 20, 40, 60, 80, 90, 100, 110, 120), 121, "growing"),
    ],
)
def test_each_stage_begins_and_ends_where_it_is_declared(days: tuple[int, ...], snapshot: float, stage: str) -> None:
    assert at(bought(*days), snapshot)["stage"] == stage


@pytest.mark.parametrize(("lately", "stage"), [(5.0, "growing"), (4.99, "steady"), (3.21, "steady"), (3.2, "fading")])
def test_the_cut_offs_of_growing_and_fading_are_included(lately: float, stage: str) -> None:
    # 12 over the 84 days before are 4 over 28.
    assert at(bought(0, 100, 125, amounts={100: 12.0, 125: lately}), 150)["stage"] == stage


def test_a_customer_who_is_late_is_overdue() -> None:
    tables = bought(0, 10, 20)
    early, late = at(tables, 25), at(tables, 40)
    assert (early["next_purchase_days"], early["overdue_ratio"]) == (5.0, 0.5)
    assert (late["next_purchase_days"], late["overdue_ratio"]) == (-10.0, 2.0)
    assert early["gap_std_days"] == 0.0
    alone = at(bought(0), 5)
    assert [alone[name] for name in ("next_purchase_days", "overdue_ratio", "gap_std_days")] == [None] * 3


def test_each_row_has_one_of_the_stages(rows: dict[str, Any]) -> None:
    tables = {name: pl.LazyFrame(rows.get(name, []), schema=schema) for name, schema in SCHEMAS.items()}
    times = [datetime(2024, 2, 1, tzinfo=UTC) + 11 * week * DAY for week in range(1, 40)]
    snapshots = pl.LazyFrame({"event_timestamp": times}, schema={"event_timestamp": pl.Datetime("us", "UTC")})
    found = set(lifecycle.build(tables, snapshots).collect()["stage"])
    assert found <= set(lifecycle.STAGES)
    assert len(found) > 3
