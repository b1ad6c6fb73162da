"""A column's class is the strictest that anybody states, and derived columns inherit it."""

import polars as pl
import pytest

from feature_repo.warehouse.quality import classes

from .conftest import mapping


def block(**columns: object) -> dict[str, object]:
    return {"from": "items", "columns": columns}


def test_the_strictest_of_the_contract_and_every_block_counts() -> None:
    loose, strict = ({"from": "a", "class": it} for it in ("none", "sensitive"))
    found = classes.classes(
        mapping(tables={"customers": [block(customer_id=loose, age=loose), block(age=strict, town="t")]}), "customers"
    )
    assert (found["customer_id"], found["age"], found["town"], found["registered_at"]) == (
        "identifier", "sensitive", "none", "none"
    )  # fmt: skip


@pytest.mark.parametrize("column", ["customer_id", "visitor_id"])
def test_whose_a_session_was_is_an_identifier_too(column: str) -> None:
    assert classes.classes(mapping(), "sessions")[column] == "identifier"


def test_what_is_derived_from_a_sensitive_column_is_sensitive() -> None:
    found = mapping(
        tables={
            "interactions": block(page={"from": "p", "class": "sensitive"}),
            "items": block(item_id={"from": "i", "class": "quasi"}),
        }
    )
    sessions = classes.classes(found, "sessions")
    assert (sessions["entry_page"], sessions["exit_page"], sessions["events"]) == ("sensitive", "sensitive", "none")
    assert classes.classes(found, "items")["outside_id"] == "quasi"


def test_a_column_that_nobody_knows_is_not_shown() -> None:
    assert not classes.shown({}, "x")
    assert not classes.shown({}, None)
    assert classes.classes(mapping(), "a source of its own") == {}


def test_own_columns_have_the_types_that_the_mapping_states() -> None:
    columns = {
        "age": {"from": "a", "type": "integer"},
        "born": {"from": "b", "type": "date"},
        "mail": {"from": "c", "type": "integer", "class": "identifier"},
        "free": "d",
        "customer_id": {"from": "e", "type": "integer"},
    }
    found = classes.own_columns(mapping(tables={"customers": block(**columns)}), "customers")
    assert found == {"age": pl.Int64(), "born": pl.Date(), "mail": pl.String()}
