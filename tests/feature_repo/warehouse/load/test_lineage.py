"""Lineage, and the integrated tables as others read them."""

from typing import Any

import pytest

from feature_repo.warehouse import contract, lineage, state, tables
from feature_repo.warehouse.lineage import TableLineage
from motherlode import names
from motherlode.errors import DataError

ROW = ("anna", "r1", 1, "tea", 2, 7.0, 0, "2024-01-05T10:00:00Z")


def test_a_table_balances_when_every_row_is_found_again() -> None:
    row = TableLineage("items", landed=9, excluded=1, quarantined=2, merged=3, derived=4, integrated=7)
    assert row.balanced
    assert not TableLineage("items", landed=9, excluded=1, quarantined=2, merged=3, derived=4, integrated=6).balanced


def test_every_file_is_told_with_what_became_of_its_rows(company: Any) -> None:
    company.sales("sales_1.csv", ROW, (*ROW[:3], "tea", "two", *ROW[5:]))
    company.load()
    company.sales("sales_1.csv", ROW)
    company.load()
    found = lineage.current(company.settings)
    told = [(file.name, file.table, file.status, file.landed, file.quarantined, file.clean) for file in found.files]
    assert told == [
        ("sales_1.csv", "", "superseded", 2, 0, 0),
        ("sales_1.csv", names.TRANSACTIONS, "active", 1, 0, 1),
    ]
    assert [load.number for load in found.loads] == [1, 2]
    assert [load.landed for load in found.loads] == [(1,), (2,)]


def test_the_fingerprint_changes_with_the_integrated_rows_alone(company: Any) -> None:
    company.sales("sales_1.csv", ROW)
    company.load()
    before = lineage.fingerprint(company.settings)
    company.mapping += "# a comment\n"
    assert company.load().changed
    assert lineage.fingerprint(company.settings) == before
    company.sales("sales_2.csv", (*ROW[:1], "r2", *ROW[2:]))
    company.load()
    assert lineage.fingerprint(company.settings) != before


def test_every_canonical_table_can_be_read_and_another_name_is_refused(company: Any) -> None:
    company.sales("sales_1.csv", ROW)
    company.load()
    for name, table in tables.scan_all(company.settings).items():
        assert table.collect().columns[: len(contract.SCHEMAS[name])] == contract.SCHEMAS[name].names()
    with pytest.raises(DataError, match="There is no table 'orders'"):
        tables.scan(company.settings, "orders")


def test_a_column_that_only_a_later_month_has_is_null_in_the_others(company: Any) -> None:
    company.sales("sales_1.csv", ROW)
    company.load()
    company.mapping = company.mapping.replace("amount: money", "amount: { from: money, impute: { by: mean } }")
    company.sales("sales_2.csv", (*ROW[:1], "r2", *ROW[2:-1], "2024-02-05T10:00:00Z"))
    company.load()
    assert company.table(names.TRANSACTIONS)["amount_missing"].to_list() == [False, False]


def test_a_state_that_is_not_the_state_yet_can_be_read(company: Any) -> None:
    company.sales("sales_1.csv", ROW)
    company.load()
    candidate = state.read(company.settings)
    assert tables.scan_state(company.settings, candidate, names.TRANSACTIONS).collect().height == 1
    assert tables.scan_state(company.settings, state.State(), names.TRANSACTIONS).collect().height == 0
