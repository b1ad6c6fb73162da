"""The view `rfm` against a reference in plain Python."""

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

import polars as pl
import pytest

from feature_repo.features import rfm

DAY = timedelta(days=1)
SEGMENTS = {
    "champions": "54 55",
    "loyal": "44 45 34 35",
    "potential_loyalist": "52 53 42 43",
    "new": "51",
    "promising": "41",
    "need_attention": "33",
    "about_to_sleep": "31 32",
    "at_risk": "23 24 13 14",
    "cannot_lose": "25 15",
    "hibernating": "21 22 12",
    "lost": "11",
}
"""Class → its pairs of scores: recency, then frequency and monetary value."""


def reference(rows: dict[str, list[dict[str, Any]]], at: datetime) -> dict[str, dict[str, Any]]:
    seen = [line for line in rows.get("transactions", []) if line["event_timestamp"] < at]
    answers: dict[str, dict[str, Any]] = {}
    for customer in {line["customer_id"] for line in seen if line["quantity"] > 0}:
        lines = [line for line in seen if line["customer_id"] == customer]
        bought = [line for line in lines if line["quantity"] > 0]
        times = [line["event_timestamp"] for line in bought]
        begins: dict[str, datetime] = {}
        for line in bought:
            begins[line["basket_id"]] = min(line["event_timestamp"], begins.get(line["basket_id"], at))
        answer: dict[str, Any] = {
            "recency_days": (at - max(times)) / DAY,
            "tenure_days": (at - min(times)) / DAY,
            "frequency_total": len(begins),
            "monetary_total": money(lines),
        }
        for window in (28, 84, 364):
            since = at - window * DAY
            answer[f"frequency_{window}d"] = sum(time >= since for time in begins.values())
            answer[f"monetary_{window}d"] = money([line for line in lines if line["event_timestamp"] >= since])
        answers[customer] = answer
    for score, feature, sign in (
        ("recency_score", "recency_days", -1),
        ("frequency_score", "frequency_total", 1),
        ("monetary_score", "monetary_total", 1),
    ):
        values = {customer: sign * single(answer[feature]) for customer, answer in answers.items()}
        for customer, answer in answers.items():
            answer[score] = quintile_of(list(values.values()), values[customer])
    for answer in answers.values():
        answer["rfm_class"] = class_of(*(answer[f"{name}_score"] for name in ("recency", "frequency", "monetary")))
    return answers


def money(lines: list[dict[str, Any]]) -> float:
    return float(round(sum(line["amount"] for line in lines), 4))


def single(value: float) -> float:
    """As the mart keeps it."""
    stored: float = pl.Series([value]).cast(pl.Float32).cast(pl.Float64).item()
    return stored


def quintile_of(values: list[float], value: float) -> int:
    below = sum(other < value for other in values)
    equal = sum(other == value for other in values)
    middle = below + Fraction(equal, 2)
    return math.ceil(5 * middle / len(values))


def class_of(recency: int, frequency: int, monetary: int) -> str:
    pair = f"{recency}{math.ceil((frequency + monetary) / 2)}"
    (found,) = (name for name, pairs in SEGMENTS.items() if pair in pairs.split())
    return found


def test_rfm_is_what_its_documentation_says(agrees: Callable[[str, Any], None]) -> None:
    agrees("rfm", reference)


def test_other_snapshots_beside_it_change_no_bit(batches: Callable[[str], None]) -> None:
    batches("rfm")


@pytest.mark.parametrize(
    ("values", "scores"),
    [
        ([10, 20, 30, 40, 50], [1, 2, 3, 4, 5]),
        ([7], [3]),
        ([4, 4, 4, 4], [3, 3, 3, 3]),
        ([1, 1, 1, 9], [2, 2, 2, 5]),
        (list(range(10)), [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]),
    ],
)
def test_equal_customers_score_equal_and_the_best_scores_five(values: list[int], scores: list[int]) -> None:
    frame = pl.DataFrame({"event_timestamp": [0] * len(values), "value": values})
    assert frame.select(rfm.quintile(pl.col("value"))).to_series().to_list() == scores


def test_every_score_has_a_class() -> None:
    scores = pl.DataFrame({"score": range(1, 6)})
    cells = scores.select(recency_days=-pl.col("score")).join(
        scores.select(frequency_total="score", monetary_total="score"), how="cross"
    )
    # Five of each, all in one snapshot, are their own quintiles.
    found = rfm.across(cells.lazy().with_columns(event_timestamp=0)).collect()
    assert found.height == 25
    for row in found.iter_rows(named=True):
        wanted = class_of(row["recency_score"], row["frequency_score"], row["monetary_score"])
        assert row["rfm_class"] == wanted
    assert set(found["rfm_class"]) == set(SEGMENTS)
