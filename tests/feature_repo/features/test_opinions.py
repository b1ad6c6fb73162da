"""The view `opinions` against a reference in plain Python."""

from collections.abc import Callable
from datetime import datetime, timedelta
from statistics import fmean
from typing import Any

Rows = dict[str, list[dict[str, Any]]]

DAY = timedelta(days=1)
WHO, TIME = "customer_id", "event_timestamp"


def reference(rows: Rows, at: datetime) -> dict[str, dict[str, Any]]:
    seen = [row for row in rows.get("feedback", []) if row[TIME] < at]
    answers = {}
    for customer in {row[WHO] for row in seen}:
        notes = [row for row in seen if row[WHO] == customer]
        recent = [row for row in notes if row[TIME] >= at - 182 * DAY]
        answer: dict[str, Any] = {
            "feedback_total": len(notes),
            "feedback_182d": len(recent),
            "days_since_feedback": (at - max(row[TIME] for row in notes)) / DAY,
            "negative_share": mean([row["sentiment"] < -0.05 for row in notes if row["sentiment"] is not None]),
            "negative_share_182d": mean([row["sentiment"] < -0.05 for row in recent if row["sentiment"] is not None]),
        }
        for score in ("sentiment", "rating"):
            told = [row for row in notes if row[score] is not None]
            newest = max((row[TIME] for row in told), default=None)
            answer[f"{score}_latest"] = mean([row[score] for row in told if row[TIME] == newest])
            answer[f"{score}_mean_182d"] = mean([row[score] for row in recent if row[score] is not None])
        answers[customer] = answer
    return answers


def mean(values: list[Any]) -> float | None:
    return fmean(values) if values else None


def test_opinions_are_what_their_documentation_says(agrees: Callable[[str, Any], None]) -> None:
    agrees("opinions", reference)


def test_a_row_is_the_same_whatever_else_is_built(batches: Callable[[str], None]) -> None:
    batches("opinions")
