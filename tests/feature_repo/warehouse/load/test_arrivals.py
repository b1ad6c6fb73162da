"""What a load finds in its sources: files that went, files that cannot be looked at, contents that moved."""

from typing import Any

import pytest

from motherlode import names
from motherlode.errors import DataError

A = ("anna", "r1", 1, "tea", 2, 7.0, 0, "2024-01-05T10:00:00Z")
B = ("ben", "r2", 1, "tea", 1, 3.5, 0, "2024-01-06T10:00:00Z")
C = ("cleo", "r3", 1, "tea", 1, 3.5, 0, "2024-01-07T10:00:00Z")


def customers(company: Any) -> list[str]:
    return sorted(company.table(names.TRANSACTIONS)[names.CUSTOMER_ID])


def from_files(company: Any, files: str) -> None:
    company.mapping = company.mapping.replace('"sales*.csv"', files)


def test_one_pattern_whose_files_went_keeps_no_other_from_being_loaded(company: Any) -> None:
    from_files(company, "[a.csv, b.csv]")
    company.sales("a.csv", A)
    company.sales("b.csv", B)
    company.load()
    (company.folder / "a.csv").unlink()
    company.sales("b.csv", B, C)
    assert company.load().changed
    assert customers(company) == ["anna", "ben", "cleo"]
    assert any("nothing lies at a.csv now" in step for step in company.steps)


def test_a_pattern_that_never_named_a_file_is_an_error_though_others_did(company: Any) -> None:
    company.sales("sales_1.csv", A)
    company.load()
    from_files(company, '"slaes*.csv"')
    with pytest.raises(DataError, match=r"slaes\*\.csv"):
        company.load()
    from_files(company, '["slaes*.csv", "sales*.csv"]')
    with pytest.raises(DataError, match=r"slaes\*\.csv"):
        company.load()


@pytest.mark.parametrize("pattern", ["in/*.csv", "./in/../in/sales?.csv", "**/*.csv", "in/**/*.csv"])
def test_a_pattern_is_known_by_the_files_that_it_named(company: Any, pattern: str) -> None:
    from_files(company, f'"{pattern}"')
    path = company.sales("in/sales1.csv", A)
    company.load()
    path.unlink()
    assert not company.load().changed


def test_a_variable_that_is_no_longer_set_is_an_error(company: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_DATA", str(company.folder))
    from_files(company, '"${SHOP_DATA}/sales*.csv"')
    path = company.sales("sales_1.csv", A)
    company.load()
    monkeypatch.delenv("SHOP_DATA")
    with pytest.raises(DataError, match="SHOP_DATA"):
        company.load()
    monkeypatch.setenv("SHOP_DATA", str(company.folder))
    path.unlink()
    assert not company.load().changed


def test_a_store_that_cannot_be_reached_is_an_error_though_files_were_landed(company: Any) -> None:
    company.sales("sales_1.csv", A)
    company.load()
    from_files(company, '["sales*.csv", "http://127.0.0.1:9/sales.csv"]')
    with pytest.raises(DataError, match=r"127\.0\.0\.1"):
        company.load()


def test_a_file_replaced_by_a_copy_of_another_takes_its_old_rows_with_it_until_it_is_put_right(company: Any) -> None:
    company.sales("sales_1.csv", A)
    company.sales("sales_2.csv", B)
    company.load()
    company.sales("sales_2.csv", A)
    assert company.load().changed
    assert customers(company) == ["anna"]
    assert [each.status for each in company.state.raw] == ["active", "superseded"]
    assert not company.load().changed
    company.sales("sales_2.csv", B)
    company.load()
    assert customers(company) == ["anna", "ben"]
    assert not company.load().changed


def test_a_file_put_right_after_it_was_another_one_takes_nothing_from_the_other_which_is_archived(company: Any) -> None:
    archived = company.sales("sales_1.csv", A)
    company.sales("sales_2.csv", B)
    company.load()
    archived.unlink()
    company.sales("sales_2.csv", A)
    company.load()
    assert not company.load().changed
    company.sales("sales_2.csv", C)
    company.load()
    assert customers(company) == ["anna", "cleo"]


def test_a_file_replaced_by_an_old_content_of_another_has_that_content(company: Any) -> None:
    company.sales("sales_1.csv", A)
    company.sales("sales_2.csv", B)
    company.load()
    company.sales("sales_1.csv", C)
    company.load()
    company.sales("sales_2.csv", A)
    company.load()
    assert customers(company) == ["anna", "cleo"]
    assert not company.load().changed


def test_two_files_that_swap_their_names_lose_no_row(company: Any) -> None:
    company.sales("sales_1.csv", A)
    company.sales("sales_2.csv", B)
    company.load()
    company.sales("sales_1.csv", B)
    company.sales("sales_2.csv", A)
    for _ in range(2):
        assert not company.load().changed
        assert customers(company) == ["anna", "ben"]
