"""The view `campaign_history` against a reference in plain Python."""

import itertools
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest

from feature_repo.features import campaign_history
from feature_repo.features.view import Words
from motherlode import names

Row = dict[str, Any]
Rows = dict[str, list[Row]]

DAY = timedelta(days=1)
WHO, TIME, CAMPAIGN, CHANNEL = "customer_id", "event_timestamp", "campaign_id", "channel"


@pytest.fixture
def rows(rows: Rows) -> Rows:
    """The random tables with more of it: contacts that are made again, and answers that come again and again."""
    rng = random.Random(str(sorted(map(str, rows["contacts"]))))
    again = [
        contact
        | {TIME: contact[TIME] + rng.choice([0, 0, 1, 28, 84, 84.5]) * DAY, CHANNEL: rng.choice(["app", "mail"])}
        for contact in rng.choices(rows["contacts"], k=20)
    ]
    answers = [
        answer | {TIME: answer[TIME] + rng.choice([0, 1, 84, 84 + 1e-9, 200]) * DAY, "coupon_id": "again"}
        for answer in rng.choices(rows["responses"], k=20)
    ]
    first = [answer | {TIME: contact[TIME]} for contact, answer in zip(rows["contacts"], answers, strict=False)]
    return {**rows, "contacts": [*rows["contacts"], *again], "responses": [*rows["responses"], *answers, *first[:4]]}


def everyone(rows: Rows, at: datetime) -> set[str]:
    """Customers who were registered, or did or got anything, before a moment."""
    tables = ("transactions", "contacts", "responses", "interactions", "feedback")
    timed = [(row[WHO], row[TIME]) for table in tables for row in rows.get(table, [])]
    timed += [(row[WHO], row["registered_at"]) for row in rows.get("customers", [])]
    return {customer for customer, time in timed if customer is not None and time is not None and time < at}


def reference(rows: Rows, at: datetime) -> dict[str, Row]:
    types = {campaign[CAMPAIGN]: campaign["campaign_type"] for campaign in rows.get("campaigns", [])}
    answers = {}
    for customer in everyone(rows, at):
        contacts, responses = (
            [row for row in rows.get(table, []) if row[WHO] == customer and row[TIME] < at]
            for table in ("contacts", "responses")
        )
        answers[customer] = of_customer(contacts, responses, types, at)
    return answers


def of_customer(contacts: list[Row], responses: list[Row], types: dict[str, str], at: datetime) -> Row:
    answered = {row[CAMPAIGN] for row in responses}
    met = answered | {row[CAMPAIGN] for row in contacts}
    contacted = sorted(row[TIME] for row in contacts)
    responded = [row[TIME] for row in responses]
    newest = sorted(contacts, key=lambda row: (row[TIME], row[CAMPAIGN]))[-5:]
    answer: Row = {
        "contacts_total": len(contacts),
        "contacts_28d": sum(time >= at - 28 * DAY for time in contacted),
        "contacts_84d": sum(time >= at - 84 * DAY for time in contacted),
        "campaigns_total": len(met),
        "responses_total": len(answered),
        "responses_84d": len({row[CAMPAIGN] for row in responses if row[TIME] >= at - 84 * DAY}),
        "response_rate": (len(answered) + 1) / (len(met) + 20),
        "days_since_contact": (at - contacted[-1]) / DAY if contacts else None,
        "days_since_response": (at - max(responded)) / DAY if responses else None,
        "contacts_since_response": sum(not responded or time > max(responded) for time in contacted),
        "contact_gap_days": None,
        "share_unanswered": sum(not replied(contact, responses) for contact in newest) / len(newest)
        if newest
        else None,
    }
    if len(contacted) > 1:
        gaps = [(later - earlier) / DAY for earlier, later in itertools.pairwise(contacted)]
        answer["contact_gap_days"] = sum(gaps) / len(gaps)
    for slug in "abc":
        kind = f"Type {slug.upper()}"
        answer[f"contacts_type_{slug}"] = sum(types.get(row[CAMPAIGN]) == kind for row in contacts)
        answer[f"responses_type_{slug}"] = sum(types.get(campaign) == kind for campaign in answered)
    for channel in ("mail", "phone", "app", "web"):
        answer[f"contacts_by_{channel}"] = sum(row[CHANNEL] == channel for row in contacts)
        answer[f"responses_by_{channel}"] = sum(asked(campaign, channel, contacts, responses) for campaign in answered)
    return answer


def asked(campaign: str, channel: str, contacts: list[Row], responses: list[Row]) -> bool:
    first = min(row[TIME] for row in responses if row[CAMPAIGN] == campaign)
    return any((row[CAMPAIGN], row[CHANNEL]) == (campaign, channel) and row[TIME] <= first for row in contacts)


def replied(contact: Row, responses: list[Row]) -> bool:
    return any(row[CAMPAIGN] == contact[CAMPAIGN] and row[TIME] >= contact[TIME] for row in responses)


def test_campaign_history_is_what_its_documentation_says(agrees: Callable[[str, Any], None]) -> None:
    agrees("campaign_history", reference)


def test_a_row_is_the_same_whatever_else_is_built(batches: Callable[[str], None]) -> None:
    batches("campaign_history")


def test_a_kind_of_campaign_never_takes_another_features_name() -> None:
    words = Words(campaign_types={"total": "Total", "by_mail": "By mail", "84d": "84d"}, channels={"mail": "mail"})
    named = campaign_history.features(words)
    assert {"contacts_type_total", "contacts_type_by_mail", "contacts_type_84d", "contacts_by_mail"} < set(named)
    assert len(named) == len(campaign_history.features(Words())) + 2 * 3 + 2
    schema = {"customer_id": pl.String(), "event_timestamp": pl.Datetime("us", "UTC")}
    assert named["contacts_total"] == campaign_history.features(Words())["contacts_total"]
    assert schema.keys().isdisjoint(named)


def test_the_features_that_training_reads_keep_their_names() -> None:
    named = campaign_history.features(Words(campaign_types={f"type_{it}": f"Type {it.upper()}" for it in "abc"}))
    assert {"contacts_total", "response_rate", *(f"contacts_type_{it}" for it in "abc")} <= set(named)
    assert names.CAMPAIGN_HISTORY == "campaign_history"
