"""The view `spending` against a reference in plain Python."""

import statistics
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

DAY = timedelta(days=1)


def reference(rows: dict[str, list[dict[str, Any]]], at: datetime) -> dict[str, dict[str, Any]]:
    by_customer: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in rows.get("transactions", []):
        if line["event_timestamp"] < at:
            by_customer[line["customer_id"]].append(line)
    return {customer: of_customer(lines, at) for customer, lines in by_customer.items()}


def of_customer(lines: list[dict[str, Any]], at: datetime) -> dict[str, Any]:
    baskets: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        baskets[line["basket_id"]].append(line)
    values = [sum(line["amount"] for line in basket) for basket in baskets.values()]
    begins = [min(line["local_timestamp"] for line in basket) for basket in baskets.values()]
    dates = sorted({line["local_timestamp"].date() for line in lines})
    lately = sum(line["amount"] for line in lines if line["event_timestamp"] >= at - 28 * DAY)
    earlier = sum(line["amount"] for line in lines if at - 112 * DAY <= line["event_timestamp"] < at - 28 * DAY)
    return {
        "basket_value_mean": statistics.fmean(values),
        "basket_value_std": statistics.stdev(values) if len(values) > 1 else None,
        "basket_items_mean": len(lines) / len(baskets),
        "basket_quantity_mean": sum(line["quantity"] for line in lines) / len(baskets),
        "weekend_share": statistics.fmean(begin.weekday() in (5, 6) for begin in begins),
        "evening_share": statistics.fmean(begin.hour >= 17 for begin in begins),
        "store_count": len({line["store_id"] for line in lines} - {None}) or None,
        "days_between_baskets": (dates[-1] - dates[0]).days / (len(dates) - 1) if len(dates) > 1 else None,
        "trend_4w_12w": (lately / 28) / (earlier / 84) if round(earlier, 6) > 0 else None,
    }


def test_spending_is_what_its_documentation_says(agrees: Callable[[str, Any], None]) -> None:
    agrees("spending", reference)
