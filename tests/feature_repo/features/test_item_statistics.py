"""The view `item_statistics` against a reference in plain Python."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

Row = dict[str, Any]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WINDOWS = (28, 84, 364)
ATTRIBUTES = ("department", "category", "brand", "private_label")


def day_of(time: datetime) -> int:
    return (time - EPOCH).days


def share(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def statistics(lines: list[Row], at: datetime) -> Row | None:
    """Of one item's lines; None where nothing was bought in the last year."""
    lines = sorted((line for line in lines if line["event_timestamp"] < at), key=lambda line: line["event_timestamp"])
    bought = [line for line in lines if line["quantity"] > 0]
    visits: dict[tuple[str, int], datetime] = {}
    for line in bought:
        visits.setdefault((line["customer_id"], day_of(line["event_timestamp"])), line["event_timestamp"])

    def since(rows: list[Row], days: int) -> list[Row]:
        return [line for line in rows if line["event_timestamp"] >= at - timedelta(days=days)]

    answer: Row = {}
    for window in WINDOWS:
        recent = [visit for visit, moment in visits.items() if moment >= at - timedelta(days=window)]
        answer |= {
            f"purchases_{window}d": float(len(recent)),
            f"buyers_{window}d": float(len({customer for customer, _ in recent})),
            f"amount_{window}d": float(sum(line["amount"] for line in since(bought, window))),
        }
    if not answer["purchases_364d"]:
        return None
    quarter, year = since(bought, 84), since(lines, 364)
    amount, cut = sum(line["amount"] for line in quarter), sum(line["retail_discount"] for line in quarter)
    pieces = sum(line["quantity"] for line in quarter)
    customers = [customer for customer, _ in visits]
    days = [day for _, day in visits]
    return answer | {
        "trend": share(3 * answer["purchases_28d"], answer["purchases_84d"]),
        "price_84d": share(amount, pieces),
        "discount_share_84d": share(cut, amount + cut),
        "on_discount_84d": share(sum(line["retail_discount"] > 0 for line in quarter), len(quarter)),
        "repeat_rate": sum(customers.count(one) > 1 for one in set(customers)) / len(set(customers)),
        "return_rate_364d": share(
            -sum(line["quantity"] for line in year if line["quantity"] < 0),
            sum(line["quantity"] for line in year if line["quantity"] > 0),
        ),
        "days_since_first": float(day_of(at) - min(days)),
        "days_since_last": float(day_of(at) - max(days)),
        "sums": (amount, pieces),
    }


def reference(rows: dict[str, list[Row]], at: datetime) -> dict[str, Row]:
    catalogue = {item["item_id"]: item for item in rows.get("items", [])}
    lines: dict[str, list[Row]] = {}
    for line in rows.get("transactions", []):
        lines.setdefault(line["item_id"], []).append(line)
    found = {item: statistics(own, at) for item, own in lines.items()}
    answers = {item: answer for item, answer in found.items() if answer is not None}
    for item, answer in answers.items():
        answer |= {name: catalogue.get(item, {}).get(name) for name in ATTRIBUTES}
    sums = {item: answer.pop("sums") for item, answer in answers.items()}
    for answer in answers.values():
        others = [sums[other] for other, its in answers.items() if its["category"] == answer["category"]]
        level = share(sum(amount for amount, _ in others), sum(pieces for _, pieces in others))
        answer["relative_price_84d"] = (
            None if answer["price_84d"] is None or level is None else share(answer["price_84d"], level)
        )
        sold = answer["purchases_84d"]
        answer["popularity_84d"] = sum(its["purchases_84d"] <= sold for its in answers.values()) / len(answers)
    return answers


def test_item_statistics_are_what_their_documentation_says(agrees: Callable[[str, Any], None]) -> None:
    agrees("item_statistics", reference)


def test_the_other_snapshots_and_the_rows_order_change_no_bit(batches: Callable[[str], None]) -> None:
    batches("item_statistics")
