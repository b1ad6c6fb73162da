"""The view `consent` against a reference in plain Python."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import polars as pl

from feature_repo.features import consent
from feature_repo.features.view import Words
from feature_repo.warehouse.contract import SCHEMAS
from motherlode import names

Rows = dict[str, list[dict[str, Any]]]

WHO, TIME = "customer_id", "event_timestamp"
PURPOSES = ("marketing", "profiling")


def reference(rows: Rows, at: datetime) -> dict[str, dict[str, Any]]:
    tables = ("transactions", "contacts", "responses", "interactions", "feedback")
    timed = [(row[WHO], row[TIME]) for table in tables for row in rows.get(table, [])]
    timed += [(row[WHO], row["registered_at"]) for row in rows.get("customers", [])]
    known = {row[WHO]: row for row in rows.get("customers", [])}
    answers = {}
    for customer in {who for who, time in timed if who is not None and time is not None and time < at}:
        told = {f"consent_{it}": known.get(customer, {}).get(f"consent_{it}") for it in PURPOSES}
        counts = {
            "purposes_agreed": list(told.values()).count(True),
            "purposes_refused": list(told.values()).count(False),
        }
        answers[customer] = told | counts
    return answers


def test_consent_is_what_its_documentation_says(agrees: Callable[[str, Any], None]) -> None:
    agrees("consent", reference)


def test_a_row_is_the_same_whatever_else_is_built(batches: Callable[[str], None]) -> None:
    batches("consent")


def test_a_company_that_asked_for_nothing_has_rows_all_the_same() -> None:
    tables = {name: pl.LazyFrame(schema=schema) for name, schema in SCHEMAS.items()}
    assert consent.build(tables, pl.LazyFrame(schema={TIME: pl.Datetime("us", "UTC")}), Words()).collect().columns == [
        names.CUSTOMER_ID,
        names.EVENT_TIMESTAMP,
        "purposes_agreed",
        "purposes_refused",
    ]


def test_a_purpose_that_is_asked_no_more_is_null() -> None:
    time = pl.datetime(2024, 1, 1, time_unit="us", time_zone="UTC")
    customers = pl.select(pl.lit("c").alias(WHO), time.alias(names.REGISTERED_AT)).lazy()
    tables = {name: pl.LazyFrame(schema=schema) for name, schema in SCHEMAS.items()} | {names.CUSTOMERS: customers}
    snapshots = pl.select(time.dt.offset_by("1d").alias(TIME)).lazy()
    [row] = consent.build(tables, snapshots, Words(purposes=("mail",))).collect().to_dicts()
    assert (row["consent_mail"], row["purposes_agreed"], row["purposes_refused"]) == (None, 0, 0)
