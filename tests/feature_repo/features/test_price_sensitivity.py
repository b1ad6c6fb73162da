"""The view `price_sensitivity` against a reference in plain Python."""

import math
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import polars as pl
import pytest

from feature_repo.features import price_sensitivity
from feature_repo.warehouse.contract import SCHEMAS

DAY = timedelta(days=1)
START = datetime(2024, 3, 1, tzinfo=UTC)


def reference(rows: dict[str, list[dict[str, Any]]], at: datetime) -> dict[str, dict[str, Any]]:
    own = {item["item_id"] for item in rows.get("items", []) if item["private_label"]}
    told = {item["item_id"] for item in rows.get("items", []) if item["private_label"] is not None}
    by_customer: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in rows.get("transactions", []):
        if line["event_timestamp"] < at:
            by_customer[line["customer_id"]].append(line)
    return {
        customer: of_customer(lines, own, told, at)
        for customer, lines in by_customer.items()
        if any(line["quantity"] > 0 for line in lines)
    }


def of_customer(every_line: list[dict[str, Any]], own: set[str], told: set[str], at: datetime) -> dict[str, Any]:
    lines = [line for line in every_line if line["quantity"] > 0]
    recent = [line for line in lines if line["event_timestamp"] >= at - 84 * DAY]
    used = [line for line in every_line if line["coupon_discount"] > 0 and line["quantity"] >= 0]
    coupons = sum(line["coupon_discount"] for line in used if line["event_timestamp"] >= at - 84 * DAY)
    baskets = {line["basket_id"] for line in lines}
    listed = paid(recent) + cut(recent)
    return {
        "discount_line_share": ratio(sum(line["retail_discount"] > 0 for line in lines), len(lines)),
        "discount_line_share_84d": ratio(sum(line["retail_discount"] > 0 for line in recent), len(recent)),
        "discount_depth": ratio(off(lines), paid(lines) + cut(lines)),
        "discount_depth_84d": ratio(off(recent), listed),
        "coupon_line_share": ratio(sum(line["coupon_discount"] > 0 for line in lines), len(lines)),
        "coupon_line_share_84d": ratio(sum(line["coupon_discount"] > 0 for line in recent), len(recent)),
        "coupon_basket_share": ratio(len(baskets & {line["basket_id"] for line in used}), len(baskets)),
        "coupon_amount_84d": coupons,
        "coupon_money_share_84d": ratio(coupons, listed),
        "private_label_share": ratio(
            paid([line for line in lines if line["item_id"] in own]),
            paid([line for line in lines if line["item_id"] in told]),
        ),
        "price_elasticity": elasticity(lines),
    }


def paid(lines: list[dict[str, Any]]) -> float:
    return float(sum(line["amount"] for line in lines))


def off(lines: list[dict[str, Any]]) -> float:
    return float(sum(line["retail_discount"] + line["coupon_discount"] for line in lines))


def cut(lines: list[dict[str, Any]]) -> float:
    return float(sum(line["retail_discount"] for line in lines))


def elasticity(lines: list[dict[str, Any]]) -> float | None:
    by_item: dict[str, list[tuple[datetime, int, int]]] = defaultdict(list)
    for line in lines:
        if line["amount"] > 0:
            price, pieces = (
                round(math.log(value) * 10_000) for value in (line["amount"] / line["quantity"], line["quantity"])
            )
            by_item[line["item_id"]].append((line["event_timestamp"], price, pieces))
    changes = [
        (after[1] - before[1], after[2] - before[2])
        for those in by_item.values()
        for before, after in pairwise(sorted(those))
        if after[1] != before[1]
    ]
    return sum(x * y for x, y in changes) / sum(x * x for x, _ in changes) if len(changes) >= 10 else None


def ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def test_price_sensitivity_is_what_its_documentation_says(agrees: Callable[[str, Any], None]) -> None:
    agrees("price_sensitivity", reference)


def test_other_snapshots_beside_it_change_no_bit(batches: Callable[[str], None]) -> None:
    batches("price_sensitivity")


def built(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """One customer's row a year after START."""
    plain = {"customer_id": "c", "basket_id": "b", "item_id": "i", "retail_discount": 0.0, "coupon_discount": 0.0}
    filled = [{**plain, "event_timestamp": START + number * DAY, **line} for number, line in enumerate(lines)]
    tables = {name: pl.LazyFrame(filled if name == "transactions" else [], schema=it) for name, it in SCHEMAS.items()}
    at = pl.LazyFrame({"event_timestamp": [START + 80 * DAY]}, schema={"event_timestamp": pl.Datetime("us", "UTC")})
    return price_sensitivity.build(tables, at).collect().row(0, named=True)


@pytest.mark.parametrize("slope", [-2.0, -1.0, 0.0, 0.5])
def test_the_elasticity_is_that_of_a_demand_that_has_one(slope: float) -> None:
    lines = [
        {"item_id": item, "quantity": scale * price**slope, "amount": scale * price ** (slope + 1)}
        for item, scale in (("i", 1.0), ("dear and rare", 40.0))
        for price in (1.0, 2.0, 1.5, 0.7, 3.0, 1.0)
    ]
    assert built(lines)["price_elasticity"] == pytest.approx(slope, abs=1e-3)


def test_nine_changes_of_price_are_too_few_and_a_constant_price_is_none() -> None:
    prices = [1.0, 2.0] * 5
    lines = [{"quantity": 1.0, "amount": price} for price in prices]
    assert built(lines)["price_elasticity"] is None
    assert built([*lines, lines[-1]])["price_elasticity"] is None, "the price stayed"
    assert built([*lines, lines[0]])["price_elasticity"] == 0.0


def test_a_coupon_on_the_whole_basket_counts_as_coupon_money_and_makes_a_coupon_basket() -> None:
    bought = {"quantity": 1.0, "amount": 20.0}
    coupon = {"quantity": 0.0, "amount": 0.0, "coupon_discount": 5.0}
    row = built([bought, coupon, {**bought, "basket_id": "another"}, {**coupon, "basket_id": "nothing in it"}])
    assert row["coupon_amount_84d"] == 10.0
    assert row["coupon_money_share_84d"] == 0.25
    assert row["coupon_basket_share"] == 0.5
    assert row["coupon_line_share"] == 0.0
