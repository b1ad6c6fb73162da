"""The view `demographics` against a reference in plain Python."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from feature_repo.features import demographics
from feature_repo.features.view import Words
from feature_repo.warehouse.contract import SCHEMAS
from motherlode import names

Rows = dict[str, list[dict[str, Any]]]

DAY = timedelta(days=1)
WHO, TIME = "customer_id", "event_timestamp"
AT = datetime(2024, 7, 1, 12, tzinfo=UTC)


def reference(rows: Rows, at: datetime) -> dict[str, dict[str, Any]]:
    tables = ("transactions", "contacts", "responses", "interactions", "feedback")
    timed = [(row[WHO], row[TIME]) for table in tables for row in rows.get(table, [])]
    timed += [(row[WHO], row["registered_at"]) for row in rows.get("customers", [])]
    known = {row[WHO]: row for row in rows.get("customers", [])}
    answers = {}
    for customer in {who for who, time in timed if who is not None and time is not None and time < at}:
        row = known.get(customer, {})
        registered = row.get("registered_at")
        answer = {"tenure_days": (at - registered) / DAY if registered is not None and registered < at else None}
        for name in ("age", "income", "member", "index"):
            answer[name] = row.get(name)
            answer[f"{name}_missing"] = row.get(name) is None or bool(row.get(f"{name}_missing"))
        answers[customer] = answer
    return answers


def test_demographics_are_what_their_documentation_says(agrees: Callable[[str, Any], None]) -> None:
    agrees("demographics", reference)


def test_a_row_is_the_same_whatever_else_is_built(batches: Callable[[str], None]) -> None:
    batches("demographics")


def build(words: Words, **columns: pl.Series) -> dict[str, Any]:
    """The row of one customer at AT."""
    told = {names.CUSTOMER_ID: ["c"], names.REGISTERED_AT: pl.Series([AT - DAY], dtype=pl.Datetime("us", "UTC"))}
    customers = pl.LazyFrame({**told, **columns})
    tables = {name: pl.LazyFrame(schema=schema) for name, schema in SCHEMAS.items()} | {names.CUSTOMERS: customers}
    snapshots = pl.LazyFrame({TIME: [AT]}, schema={TIME: pl.Datetime("us", "UTC")})
    [row] = demographics.build(tables, snapshots, words).collect(engine="streaming").to_dicts()
    assert list(row) == [names.CUSTOMER_ID, TIME, *demographics.features(words)]
    return row


@pytest.mark.parametrize("dtype", [pl.Date(), pl.Datetime("us", "UTC"), pl.Datetime("ms")], ids=str)
def test_a_date_of_birth_is_an_age_and_another_date_its_distance(dtype: pl.DataType) -> None:
    words = Words(attributes={"birth_date": str(dtype), "moved_in": str(dtype)})
    row = build(
        words,
        birth_date=pl.Series([date(1984, 7, 1)]).cast(dtype),
        moved_in=pl.Series([date(2024, 6, 1)]).cast(dtype),
    )
    assert row["birth_date_years"] == pytest.approx(40, abs=0.01)
    assert row["moved_in_days_ago"] == 30.5
    assert not row["birth_date_missing"]
    assert "birth_date" not in row


def test_a_date_after_the_snapshot_is_null_and_not_a_look_ahead() -> None:
    row = build(Words(attributes={"ended_on": "Date"}), ended_on=pl.Series([date(2024, 7, 2)]))
    assert row["ended_on_days_ago"] is None


def test_a_column_that_the_company_has_no_more_is_null_and_missing() -> None:
    row = build(Words(attributes={"income": "String", "age": "Int64"}), age=pl.Series([None], dtype=pl.Int64))
    assert (row["income"], row["income_missing"], row["age_missing"]) == (None, True, True)


def test_a_flag_of_imputation_is_no_attribute_of_its_own() -> None:
    words = Words(attributes={"age": "Int64", "age_missing": "Boolean"})
    row = build(words, age=pl.Series([50]), age_missing=pl.Series([True]))
    assert (row["age"], row["age_missing"], len(row)) == (50, True, 5)


def test_a_column_that_is_named_as_one_of_ours_keeps_its_value_beside_it() -> None:
    words = Words(attributes={"tenure_days": "Int64", "snapshot": "String", "born_years": "Int64", "born": "Date"})
    row = build(
        words,
        tenure_days=pl.Series([7]),
        snapshot=pl.Series(["old"]),
        born_years=pl.Series([3]),
        born=pl.Series([date(2014, 7, 1)]),
    )
    assert (row["tenure_days"], row["tenure_days_2"], row["snapshot_2"], row["born_years"]) == (1.0, 7, "old", 3)
    assert row["born_years_2"] == pytest.approx(10, abs=0.01)
