"""The view `interests` against a reference in plain Python."""

import math
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

DAY = timedelta(days=1)
MOMENT = timedelta(microseconds=1)
START = datetime(2024, 2, 1, tzinfo=UTC)
LENGTH = 10
HALF_LIVES = {"28d": 28 * DAY, "182d": 182 * DAY}
DEPARTMENTS = {"grocery": "GROCERY", "drug_gm": "DRUG GM", "produce": "PRODUCE", "floral": "FLORAL"}
SLUGS = {word: slug for slug, word in DEPARTMENTS.items()}

Lines = list[dict[str, Any]]


def reference(rows: dict[str, Lines], at: datetime) -> dict[str, dict[str, Any]]:
    items = {item["item_id"]: item for item in rows.get("items", [])}
    customers: dict[str, Lines] = {}
    for line in rows.get("transactions", []):
        if line["event_timestamp"] < at:
            lines = customers.setdefault(line["customer_id"], [])
            if line["quantity"] > 0:
                lines.append(line | {"item": items.get(line["item_id"], {})})
    return {
        customer: {**novelty(lines, at), **of_half_life(lines, at, "28d"), **of_half_life(lines, at, "182d")}
        for customer, lines in customers.items()
    }


def category(line: dict[str, Any]) -> str | None:
    found: str | None = line["item"].get("category") or line["item"].get("department")
    return found


def novelty(lines: Lines, at: datetime) -> dict[str, Any]:
    known = [line for line in lines if category(line) is not None]
    recent = {category(line) for line in known if line["event_timestamp"] >= at - 28 * DAY}
    before = {category(line) for line in known if line["event_timestamp"] < at - 28 * DAY}
    return {"new_category_share_28d": len(recent - before) / len(recent) if recent else None}


def of_half_life(lines: Lines, at: datetime, label: str) -> dict[str, Any]:
    by: dict[str, dict[Any, float]] = {kind: defaultdict(float) for kind in ("category", "department", "own")}
    for line in lines:
        spent = line["amount"] * 0.5 ** ((at - line["event_timestamp"]) / HALF_LIVES[label])
        by["category"][category(line)] += spent
        by["department"][SLUGS.get(line["item"].get("department"), "other")] += spent
        by["own"][line["item"].get("private_label")] += spent
    by["category"].pop(None, None)
    by["own"].pop(None, None)
    parts = {kind: shares(spent) for kind, spent in by.items()}
    # Two sums of the same parts in another order are a tie.
    best = sorted(parts["category"], key=lambda name: (-round(parts["category"][name], 9), name))
    best = [name for name in best if parts["category"][name] > 0][:LENGTH]
    departments = {slug: parts["department"].get(slug, 0.0) for slug in (*DEPARTMENTS, "other")}
    return {
        f"top_categories_{label}": best or None,
        f"top_category_shares_{label}": [parts["category"][name] for name in best] or None,
        f"breadth_{label}": -sum(share * math.log(share) for share in parts["category"].values() if share > 0)
        if best
        else None,
        **{
            f"department_share_{slug}_{label}": share if parts["department"] else None
            for slug, share in departments.items()
        },
        f"private_label_share_{label}": parts["own"].get(True, 0.0) if parts["own"] else None,
    }


def shares(spent: dict[Any, float]) -> dict[Any, float]:
    whole = sum(spent.values())
    return {name: value / whole for name, value in spent.items()} if whole > 0 else {}


def test_interests_is_what_its_documentation_says(agrees: Callable[[str, Any], None]) -> None:
    agrees("interests", reference)


def test_interests_is_the_same_bits_in_any_batch(batches: Callable[[str], None]) -> None:
    batches("interests")


def line(days: int, item: str, amount: float = 1.0) -> dict[str, Any]:
    what = {"customer_id": "c", "basket_id": f"b{days}", "item_id": item, "quantity": 1.0, "amount": amount}
    return {**what, "event_timestamp": START + days * DAY}


def test_what_was_bought_a_half_life_ago_counts_half(build: Callable[..., Any]) -> None:
    items = [{"item_id": name, "category": name.upper(), "department": "GROCERY"} for name in ("a", "b")]
    rows = {"transactions": [line(0, "a"), line(28, "b")], "items": items}
    made = build("interests", rows, [START + 28 * DAY, START + 28 * DAY + MOMENT, START + 400 * DAY]).to_dicts()
    assert [row["top_categories_28d"] for row in made] == [["A"], ["B", "A"], ["B", "A"]]
    for row in made[1:]:
        assert [round(share, 6) for share in row["top_category_shares_28d"]] == [0.666667, 0.333333]
    assert [row["new_category_share_28d"] for row in made] == [1.0, 1.0, None], "a is 28 days old, and no older"


def test_the_list_ends_at_ten_and_ties_go_by_name(build: Callable[..., Any]) -> None:
    codes = [f"{number:02}" for number in range(14)]
    items = [{"item_id": code, "category": code, "department": "GROCERY"} for code in codes]
    rows = {"transactions": [*(line(0, code) for code in codes), line(0, "13")], "items": items}
    (made,) = build("interests", rows, [START + 7 * DAY]).to_dicts()
    assert made["top_categories_182d"] == ["13", *codes[:9]]
    assert math.isclose(made["top_category_shares_182d"][0], 2 / 15, rel_tol=1e-6)
