"""The view `purchases` against a reference in plain Python."""

from collections.abc import Callable
from datetime import datetime
from typing import Any


def reference(rows: dict[str, list[dict[str, Any]]], at: datetime) -> dict[str, dict[str, Any]]:
    latest: dict[str, dict[str, datetime]] = {}
    for line in rows.get("transactions", []):
        if line["event_timestamp"] < at:
            items = latest.setdefault(line["customer_id"], {})
            if line["quantity"] > 0 and line["item_id"] is not None:
                time = line["event_timestamp"]
                items[line["item_id"]] = max(time, items.get(line["item_id"], time))
    return {
        customer: {"purchased_items": sorted(items, key=lambda item: (at - items[item], item)) or None}
        for customer, items in latest.items()
    }


def test_purchases_is_what_its_documentation_says(agrees: Callable[[str, Any], None]) -> None:
    agrees("purchases", reference)


def test_purchases_is_the_same_bits_in_any_batch(batches: Callable[[str], None]) -> None:
    batches("purchases")
