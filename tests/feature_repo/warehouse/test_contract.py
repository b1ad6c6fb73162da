"""The contract of the canonical tables."""

import polars as pl
import pytest

from feature_repo.warehouse.contract import KEYS, RULES, SCHEMAS
from motherlode import names


@pytest.mark.parametrize("table", list(SCHEMAS))
def test_keys_and_rules_speak_of_columns_that_exist(table: str) -> None:
    columns = set(SCHEMAS[table])
    assert set(KEYS[table]) <= columns
    assert {rule.column for rule in RULES[table]} <= columns
    assert all(rule.name and rule.remedy.endswith(".") for rule in RULES[table])


@pytest.mark.parametrize("table", list(SCHEMAS))
def test_keys_are_strings_and_every_time_but_the_wall_clock_is_utc(table: str) -> None:
    for column, dtype in SCHEMAS[table].items():
        if column.endswith("_id") and column != names.OUTSIDE_ID:
            assert dtype == pl.String()
        if isinstance(dtype, pl.Datetime):
            zone = None if column == names.LOCAL_TIMESTAMP else "UTC"
            assert dtype == pl.Datetime("us", zone)
