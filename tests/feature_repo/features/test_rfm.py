"""The view `rfm` against a reference in plain Python."""

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

import polars as pl
import pytest

from feature_repo.features.rfm import quintile

DAY = timedelta(days=1)


def reference(rows: dict[str, list[dict[str, Any]]], at: datetime) -> dict[str, dict[str, Any]]:
    seen = [line for line in rows.get("transactions", []) if line["event_timestamp"] < at]
    answers: dict[str, dict[str, Any]] = {}
    for customer in {line["customer_id"] for line in seen}:
        lines = [line for line in seen if line["customer_id"] == customer]
        times = [line["event_timestamp"] for line in lines]
        answer: dict[str, Any] = {
            "recency_days": (at - max(times)) / DAY,
            "tenure_days": (at - min(times)) / DAY,
            "frequency_total": len({line["basket_id"] for line in lines}),
            "monetary_total": sum(line["amount"] for line in lines),
        }
        for window in (28, 84):
            recent = [line for line in lines if line["event_timestamp"] >= at - window * DAY]
            answer[f"frequency_{window}d"] = len({line["basket_id"] for line in recent})
            answer[f"monetary_{window}d"] = sum(line["amount"] for line in recent)
        answers[customer] = answer
    for score, feature, unit in (
        ("recency_score", "recency_days", -86_400e6),  # microseconds, the fewer the better
        ("frequency_score", "frequency_total", 1),
        ("monetary_score", "monetary_total", 100),
    ):
        values = {customer: round(answer[feature] * unit) for customer, answer in answers.items()}
        for customer, answer in answers.items():
            answer[score] = quintile_of(list(values.values()), values[customer])
    return answers


def quintile_of(values: list[float], value: float) -> int:
    below = sum(other < value for other in values)
    equal = sum(other == value for other in values)
    middle = below + Fraction(equal, 2)
    return math.ceil(5 * middle / len(values))


def test_rfm_is_what_its_documentation_says(agrees: Callable[[str, Any], None]) -> None:
    agrees("rfm", reference)


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
    frame = pl.DataFrame({"snapshot": [0] * len(values), "value": values})
    assert frame.select(quintile(pl.col("value"))).to_series().to_list() == scores
