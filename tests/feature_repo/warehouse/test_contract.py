"""The contract of the canonical tables."""

import polars as pl
import pytest

from feature_repo.warehouse.contract import MAPPED, RULES, SCHEMAS, TABLES
from motherlode import names


@pytest.mark.parametrize("table", list(TABLES))
def test_keys_times_and_rules_speak_of_columns_that_exist(table: str) -> None:
    declared, columns = TABLES[table], set(SCHEMAS[table])
    assert {*declared.key, *((declared.time,) if declared.time else ())} <= columns
    assert {rule.column for rule in RULES.get(table, ())} <= columns
    assert all(rule.name and rule.remedy.endswith(".") for rule in RULES.get(table, ()))
    assert not declared.monthly or declared.time, "a table of months needs a time"


@pytest.mark.parametrize("table", list(TABLES))
def test_keys_are_strings_and_every_time_but_the_wall_clock_is_utc(table: str) -> None:
    for column, dtype in SCHEMAS[table].items():
        if column.endswith("_id"):
            assert dtype == pl.String()
        if isinstance(dtype, pl.Datetime):
            zone = None if column == names.LOCAL_TIMESTAMP else "UTC"
            assert dtype == pl.Datetime("us", zone)


@pytest.mark.parametrize("table", MAPPED)
def test_a_required_column_has_its_rule(table: str) -> None:
    missing = {rule.column for rule in RULES[table] if rule.name == "missing"}
    assert missing == {name for name, column in TABLES[table].columns.items() if column.required}


def test_a_customers_id_is_an_identifier_wherever_a_mapping_writes_it() -> None:
    for table in MAPPED:
        for name, column in TABLES[table].columns.items():
            assert (column.privacy == "identifier") == (name in (names.CUSTOMER_ID, names.VISITOR_ID)), (table, name)
