"""What is wrong with files: told once, by name, and not again once it is mended."""

import msgspec
import pytest

from feature_repo.warehouse.quality import landings
from feature_repo.warehouse.state import Landed, State

from .conftest import NOW, Shop, mapping


def landed(order: int, name: str = "a.csv", *, source: str = "transactions", **more: object) -> Landed:
    known = {"rows": 10, "columns": {"at": "String", "amount": "Int64"}, "path": f"raw/{order}"}
    return msgspec.convert(
        {
            "source": source, "name": name, "file_id": str(order), "sha256": str(order), "sha256_raw": str(order),
            "size": 1, "landed_at": NOW, "order": order, **known, **more,
        },
        Landed,
    )  # fmt: skip


def test_a_refused_file_is_told_with_its_problem_until_a_good_one_of_its_name_lands() -> None:
    bad = landed(1, status="refused", problem="a.csv ends early.", remedy="Export it again.", columns={})
    (finding,) = landings.refused(State(raw=(bad,)), State())
    assert (finding.what, finding.value, finding.remedy) == (
        "file a.csv was refused", "a.csv ends early.", "Export it again."
    )  # fmt: skip
    assert list(landings.refused(State(raw=(bad,)), State(raw=(bad,)))) == []
    assert list(landings.refused(State(raw=(bad, landed(2))), State())) == []
    assert len(list(landings.refused(State(raw=(landed(1), msgspec.structs.replace(bad, order=2))), State()))) == 1


def test_a_needed_table_without_any_source_refuses_and_another_one_warns() -> None:
    found = {it.table: it.severity for it in landings.missing(mapping(), State())}
    assert (found["transactions"], found["customers"], found["items"]) == ("fail", "fail", "warn")
    there = State(raw=(landed(1), landed(2, source="customers")))
    assert {it.table for it in landings.missing(mapping(), there)} == {"items", "campaigns", "contacts", "responses"}


def test_one_of_two_sources_of_a_needed_table_is_enough_to_go_on() -> None:
    block = {"columns": {"customer_id": "c"}}
    two = mapping(tables={"customers": [{"from": "customers", **block}, {"from": "items", **block}]})
    (finding,) = landings.missing(two, State(raw=(landed(1, source="customers"),)))
    assert (finding.severity, finding.what) == ("warn", "the source items has no usable file")


def test_empty_files_and_lines_that_are_no_row_are_told() -> None:
    found = list(landings.damaged(State(raw=(landed(1, "a.csv", rows=0), landed(2, "b.csv", malformed=2))), State()))
    assert [(it.what, it.value) for it in found] == [
        ("file a.csv is empty", "0 rows"),
        ("file b.csv has lines that are no row", "2 of 10 (20 %)"),
    ]


def test_a_column_that_changes_its_type_goes_or_comes_is_told_against_the_file_before() -> None:
    before = State(raw=(landed(1, "a.csv", columns={"at": "String", "amount": "Int64", "old": "String"}),))
    new = landed(2, "b.csv", columns={"at": "String", "amount": "String", "new": "String"})
    state = State(raw=(*before.raw, new))
    found = {it.what: it.value for it in landings.changed(state, before)}
    assert found == {
        "column amount changed its type": "Int64 → String in b.csv, against a.csv",
        "column old is gone": "b.csv, against a.csv",
        "column new is new": "b.csv, against a.csv",
    }
    assert list(landings.changed(state, state)) == []


@pytest.mark.parametrize(("old", "new"), [("Null", "Int64"), ("Int64", "Null")])
def test_a_column_of_nulls_has_no_type_that_could_change(old: str, new: str) -> None:
    files = (landed(1, columns={"a": old}), landed(2, "b.csv", columns={"a": new}))
    assert list(landings.changed(State(raw=files), State())) == []


def test_other_sources_files_and_refused_ones_are_no_measure() -> None:
    files = (
        landed(1, source="items", columns={"x": "Int64"}),
        landed(2, status="refused", columns={}),
        landed(3, columns={"a": "Int64"}),
    )
    assert list(landings.changed(State(raw=files), State())) == []


def test_a_file_that_is_read_anew_under_its_old_order_is_new(shop: Shop) -> None:
    again = landed(1, sha256_raw="read otherwise", malformed=1)
    assert list(landings.damaged(State(raw=(again,)), State(raw=(landed(1),))))
