"""The view `history` against a reference in plain Python."""

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from feature_repo.features import history
from feature_repo.warehouse.contract import SCHEMAS

LENGTH = 50
HALF_LIFE = timedelta(days=120)


def reference(rows: dict[str, list[dict[str, Any]]], at: datetime) -> dict[str, dict[str, Any]]:
    first: dict[tuple[str, str, str], datetime] = {}
    customers = set()
    for line in rows.get("transactions", []):
        if line["event_timestamp"] < at:
            customers.add(line["customer_id"])
            if line["quantity"] > 0 and line["item_id"] is not None:
                key = (line["customer_id"], line["item_id"], line["basket_id"])
                first[key] = min(line["event_timestamp"], first.get(key, line["event_timestamp"]))
    times: dict[str, dict[str, list[datetime]]] = defaultdict(lambda: defaultdict(list))
    for (customer, item, _), time in first.items():
        times[customer][item].append(time)
    return {customer: of_customer(times[customer], at) for customer in customers}


def of_customer(times: dict[str, list[datetime]], at: datetime) -> dict[str, Any]:
    if not times:
        return {"latest_items": None, "top_items": None, "top_weights": None}
    latest = sorted(times, key=lambda item: (at - max(times[item]), item))
    weights = {item: sum(0.5 ** ((at - time) / HALF_LIFE) for time in bought) for item, bought in times.items()}
    # Two sums of the same weights in another order are a tie.
    top = sorted(times, key=lambda item: (-round(weights[item], 9), item))[:LENGTH]
    return {
        "latest_items": latest[:LENGTH],
        "top_items": top,
        "top_weights": [weights[item] for item in top],
    }


def test_history_is_what_its_documentation_says(agrees: Callable[[str, Any], None]) -> None:
    agrees("history", reference)


def test_history_is_the_same_bits_in_any_batch(batches: Callable[[str], None]) -> None:
    batches("history")


def test_the_lists_end_at_fifty_and_items_without_an_id_are_left_out() -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    line = {"customer_id": "c", "quantity": 1, "amount": 1.0, "event_timestamp": start}
    lines = [{**line, "basket_id": "b0", "item_id": f"{number:03}"} for number in range(60)]
    lines += [{**line, "basket_id": "b1", "item_id": "059"}, {**line, "basket_id": "b2", "item_id": None}]
    tables = {"transactions": pl.LazyFrame(lines, schema=SCHEMAS["transactions"])}
    at = pl.LazyFrame({"event_timestamp": [start + HALF_LIFE]}, schema={"event_timestamp": pl.Datetime("us", "UTC")})
    row = history.build(tables, at).collect().row(0, named=True)
    assert row["latest_items"] == [f"{number:03}" for number in range(50)], "ties go by item_id"
    assert row["top_items"] == ["059", *(f"{number:03}" for number in range(49))]
    assert row["top_weights"] == [1.0, *[0.5] * 49]


def test_what_is_bought_at_the_first_snapshot_pushes_nothing_out_of_it() -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    first, second = start + timedelta(days=7), start + timedelta(days=14)
    line = {"customer_id": "c", "basket_id": "b0", "quantity": 1, "event_timestamp": start}
    lines = [{**line, "item_id": f"{number:03}"} for number in range(LENGTH)]
    lines += [{**line, "basket_id": "b1", "item_id": "new", "event_timestamp": first}]
    tables = {"transactions": pl.LazyFrame(lines, schema=SCHEMAS["transactions"])}
    at = pl.LazyFrame({"event_timestamp": [first, second]}, schema={"event_timestamp": pl.Datetime("us", "UTC")})
    before, after = history.build(tables, at).collect().sort("event_timestamp").rows(named=True)
    old = [f"{number:03}" for number in range(LENGTH)]
    assert before["latest_items"] == before["top_items"] == old
    assert after["latest_items"] == after["top_items"] == ["new", *old[:-1]]
