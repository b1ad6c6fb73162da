"""The view `campaign_history` against a reference in plain Python."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

DAY = timedelta(days=1)


def reference(rows: dict[str, list[dict[str, Any]]], at: datetime) -> dict[str, dict[str, Any]]:
    types = {campaign["campaign_id"]: campaign["campaign_type"] for campaign in rows.get("campaigns", [])}
    customers = {line["customer_id"] for line in rows.get("transactions", []) if line["event_timestamp"] < at}
    return {
        customer: of_customer(
            newest(rows.get("contacts", []), customer, at), newest(rows.get("responses", []), customer, at), types, at
        )
        for customer in customers
    }


def newest(events: list[dict[str, Any]], customer: str, at: datetime) -> dict[str, datetime]:
    """Campaign → its newest event of the customer before the snapshot."""
    found: dict[str, datetime] = {}
    for event in events:
        if event["customer_id"] == customer and event["event_timestamp"] < at:
            campaign = event["campaign_id"]
            found[campaign] = max(event["event_timestamp"], found.get(campaign, event["event_timestamp"]))
    return found


def of_customer(
    contacts: dict[str, datetime], responses: dict[str, datetime], types: dict[str, str], at: datetime
) -> dict[str, Any]:
    answer: dict[str, Any] = {"response_rate": (len(responses) + 1) / (len(contacts) + 20)}
    for event, found in (("contact", contacts), ("response", responses)):
        answer[f"{event}s_total"] = len(found)
        answer[f"{event}s_84d"] = sum(time >= at - 84 * DAY for time in found.values())
        answer[f"days_since_{event}"] = (at - max(found.values())) / DAY if found else None
        for slug in "abc":
            answer[f"{event}s_type_{slug}"] = sum(types.get(c) == f"Type {slug.upper()}" for c in found)
    return answer


def test_campaign_history_is_what_its_documentation_says(agrees: Callable[[str, Any], None]) -> None:
    agrees("campaign_history", reference)
