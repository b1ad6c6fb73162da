"""The view `price_sensitivity` against a reference in plain Python."""

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any


def reference(rows: dict[str, list[dict[str, Any]]], at: datetime) -> dict[str, dict[str, Any]]:
    own = {item["item_id"] for item in rows.get("items", []) if item["brand"] == "Private"}
    by_customer: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in rows.get("transactions", []):
        if line["event_timestamp"] < at:
            by_customer[line["customer_id"]].append(line)
    return {customer: of_customer(lines, own, at) for customer, lines in by_customer.items()}


def of_customer(every_line: list[dict[str, Any]], own: set[str], at: datetime) -> dict[str, Any]:
    lines = [line for line in every_line if line["quantity"] > 0]
    baskets = {line["basket_id"] for line in lines}
    with_coupon = [line for line in lines if line["coupon_discount"] > 0]
    paid = sum(line["amount"] for line in lines)
    off = sum(line["retail_discount"] + line["coupon_discount"] for line in lines)
    recent = [line for line in lines if line["event_timestamp"] >= at - timedelta(days=84)]
    return {
        "discount_line_share": ratio(sum(line["retail_discount"] > 0 for line in lines), len(lines)),
        "discount_depth": ratio(off, paid + off),
        "coupon_line_share": ratio(len(with_coupon), len(lines)),
        "coupon_basket_share": ratio(len({line["basket_id"] for line in with_coupon}), len(baskets)),
        "coupon_amount_84d": sum(line["coupon_discount"] for line in recent),
        "private_label_share": ratio(sum(line["amount"] for line in lines if line["item_id"] in own), paid),
    }


def ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def test_price_sensitivity_is_what_its_documentation_says(agrees: Callable[[str, Any], None]) -> None:
    agrees("price_sensitivity", reference)
