"""The view `web` against a reference in plain Python."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

DAY = timedelta(days=1)
MOMENT = timedelta(microseconds=1)
START = datetime(2024, 2, 1, tzinfo=UTC)

Found = list[dict[str, Any]]


def reference(rows: dict[str, Found], at: datetime) -> dict[str, dict[str, Any]]:
    def seen(table: str) -> Found:
        return [row for row in rows.get(table, []) if row["customer_id"] is not None and row["event_timestamp"] < at]

    visits, events = seen("sessions"), seen("interactions")
    return {
        customer: of_customer(
            [row for row in visits if row["customer_id"] == customer],
            [row for row in events if row["customer_id"] == customer],
            at,
        )
        for customer in {row["customer_id"] for row in [*visits, *events]}
    }


def of_customer(visits: Found, events: Found, at: datetime) -> dict[str, Any]:
    searches = [row["event_timestamp"] for row in events if row["event_type"] == "search"]
    ends = [row["event_timestamp"] for row in visits]
    answer: dict[str, Any] = {
        "days_since_visit": (at - max(ends)) / DAY if ends else None,
        "days_since_search": (at - max(searches)) / DAY if searches else None,
    }
    for window in (28, 84):
        there = [row for row in visits if row["event_timestamp"] >= at - window * DAY]
        done = [row for row in events if row["event_timestamp"] >= at - window * DAY]
        answer |= {f"{name}_{window}d": value for name, value in of_window(there, done).items()}
    return answer


def of_window(visits: Found, events: Found) -> dict[str, float | None]:
    def mean(values: list[float]) -> float | None:
        return sum(values) / len(visits) if visits else None

    terms = {row["search_terms"] for row in events if row["event_type"] == "search"} - {None}
    bought = [1.0 for row in events if row["event_type"] == "purchase"]
    return {
        "sessions": float(len(visits)),
        "page_views": float(sum(row["page_views"] for row in visits)),
        "views_per_session": mean([row["page_views"] for row in visits]),
        "dwell_mean": mean([row["dwell_seconds"] for row in visits]),
        "bounce_share": mean([row["bounced"] for row in visits]),
        "carts": float(sum(row["carts"] for row in visits)),
        "cart_share": mean([row["carts"] > 0 for row in visits]),
        "searches": float(sum(row["searches"] for row in visits)),
        "search_share": mean([row["searches"] > 0 for row in visits]),
        "search_terms": float(len(terms)),
        "purchases_per_session": mean(bought),
    }


def test_web_is_what_its_documentation_says(agrees: Callable[[str, Any], None]) -> None:
    agrees("web", reference)


def test_web_is_the_same_bits_in_any_batch(batches: Callable[[str], None]) -> None:
    batches("web")


def test_a_term_counts_once_and_until_it_leaves_the_window(build: Callable[..., Any]) -> None:
    def search(days: int, term: str) -> dict[str, Any]:
        what = {"customer_id": "c", "visitor_id": "v", "session_id": f"s{days}", "event_type": "search"}
        return {**what, "search_terms": term, "event_timestamp": START + days * DAY}

    rows = {
        "interactions": [search(0, "tea"), search(0, "tea"), search(10, "tea"), search(10, "pot"), search(30, "tea")]
    }
    times = [START + days * DAY + edge for days in (10, 38, 58) for edge in (timedelta(0), MOMENT)]
    made = build("web", rows, times)
    assert made["search_terms_28d"].to_list() == [1, 2, 2, 1, 1, 0]
    assert made["sessions_28d"].to_list() == [0] * 6, "no visit is known"
    assert made["search_share_28d"].to_list() == [None] * 6
