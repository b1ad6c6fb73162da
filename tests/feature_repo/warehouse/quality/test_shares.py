"""Thresholds on rejected rows, columns without a value, and rows that are not accounted for."""

from typing import Any

import msgspec
import polars as pl
import pytest

from feature_repo.warehouse.quality import shares
from feature_repo.warehouse.quality.finding import Finding
from feature_repo.warehouse.state import Integrated, State

from .conftest import Shop, rows_of, sale, sound

THRESHOLD = {"transactions": {"warn": 0.1, "fail": 0.5}}


def of(shop: Shop, state: State, before: State | None = None) -> list[Finding]:
    return list(shares.find(shop.settings, shop.mapping, state, before or State()))


def reject(count: int, rule: str = "no number", table: str = "transactions") -> list[dict[str, Any]]:
    return [
        {"table": table, "rule": rule, "column": "amount", "value": "x", "line": it, "row": it} for it in range(count)
    ]


@pytest.mark.parametrize(
    ("rejected", "severity"), [(0, None), (2, None), (3, "warn"), (20, "warn"), (21, "fail"), (60, "fail")]
)
def test_the_rejected_share_is_held_against_both_thresholds(shop: Shop, rejected: int, severity: str | None) -> None:
    """20 good rows: 2 of 22 are below a tenth, 3 of 23 above; 20 of 40 are a half, 21 of 41 above it."""
    shop.map(quality=THRESHOLD)
    state = shop.candidate({"transactions": sound()["transactions"]}, reject(rejected))
    found = [it for it in of(shop, state) if it.what == "rejected rows in the new files"]
    assert [it.severity for it in found] == ([severity] if severity else [])
    if severity:
        assert found[0].value.startswith(f"{rejected} of {rejected + 20} (")
        assert f"no number (amount) {rejected}" in found[0].value


def test_a_mapping_without_thresholds_warns_above_a_hundredth_and_fails_above_a_half(shop: Shop) -> None:
    (one,) = of(shop, shop.candidate({"transactions": sound()["transactions"]}, reject(1)))
    assert one.severity == "warn"
    (many,) = of(shop, shop.candidate({"transactions": sound()["transactions"]}, reject(21)))
    assert many.severity == "fail"


def test_excluded_rows_count_on_neither_side(shop: Shop) -> None:
    shop.map(quality=THRESHOLD)
    state = shop.candidate({"transactions": sound()["transactions"]}, reject(100, "excluded") + reject(3))
    (finding,) = of(shop, state)
    assert (finding.severity, finding.value[:7]) == ("warn", "3 of 23")


def test_a_bad_file_among_many_fails_by_its_own_load_and_warns_for_the_whole_table(shop: Shop) -> None:
    shop.map(quality=THRESHOLD)
    shop.keep({"transactions": pl.concat([sound()["transactions"]] * 5)})
    bad = shop.candidate({"transactions": sound()["transactions"].head(2)}, reject(20))
    found = {it.what: it for it in of(shop, bad, shop.before)}
    assert found["rejected rows in the new files"].severity == "fail"
    assert found["rejected rows in the new files"].value.startswith("20 of 22")
    assert found["rejected rows in the whole table"].severity == "warn"
    assert found["rejected rows in the whole table"].value.startswith("20 of 122")


def test_what_stood_before_is_not_told_as_new(shop: Shop) -> None:
    shop.keep({"transactions": pl.concat([sound()["transactions"]] * 5)}, reject(4))
    good = shop.candidate({"transactions": sound()["transactions"]})
    assert [it.what for it in of(shop, good, shop.before)] == ["rejected rows in the whole table"]


def test_one_lost_file_among_good_ones_of_a_load_is_named_and_the_load_goes_on(shop: Shop) -> None:
    first = shop.candidate({"transactions": pl.concat([sound()["transactions"]] * 5)}, name="good.csv")
    shop.before = first
    both = shop.candidate({"transactions": sound()["transactions"].head(2)}, reject(20), name="bad.csv")
    found = of(shop, both)
    assert {it.what: it.severity for it in found} == {
        "rejected rows in the new files": "warn",
        "rejected rows of the file bad.csv": "warn",
    }


def test_rows_rejected_between_clean_and_integrated_count(shop: Shop) -> None:
    state = shop.candidate({"transactions": sound()["transactions"]})
    entry = msgspec.structs.replace(state.integrated["transactions"], rows=5, rejected=15)
    state = msgspec.structs.replace(state, integrated={"transactions": entry})
    assert [it.severity for it in of(shop, state) if it.what == "rejected rows in the new files"] == ["fail"]


def test_a_mapped_column_without_any_value_is_told_and_an_unmapped_one_is_not(shop: Shop) -> None:
    rows = rows_of("transactions", [sale(store_id=None, channel=None) for _ in range(5)])
    found = of(shop, shop.candidate({"transactions": rows}))
    assert [(it.what, it.value) for it in found] == [("store_id has no value at all", "null in all 5 new rows")]
    some = rows_of("transactions", [sale(store_id=None), sale()])
    assert of(shop, shop.candidate({"transactions": some})) == []


def test_only_new_rows_are_asked_for_a_value(shop: Shop) -> None:
    shop.keep({"transactions": sound()["transactions"]})
    rows = rows_of("transactions", [sale(store_id=None)] * 20)
    found = of(shop, shop.candidate({"transactions": rows}), shop.before)
    assert [it.what for it in found] == ["store_id has no value at all"]


def test_rows_that_were_lost_refuse_the_load(shop: Shop) -> None:
    state = shop.candidate({"transactions": sound()["transactions"]})
    lost = msgspec.structs.replace(state.clean[0], rows_in=21)
    (finding,) = of(shop, msgspec.structs.replace(state, clean=(lost,)))
    assert (finding.severity, finding.value) == ("fail", "21 rows in, 20 found again")
    entry = msgspec.structs.replace(state.integrated["transactions"], rows=19)
    (finding,) = of(shop, msgspec.structs.replace(state, integrated={"transactions": entry}))
    assert (finding.severity, finding.value) == ("fail", "20 rows in, 19 found again")


def test_rules_that_warn_are_counted_over_files_and_layers() -> None:
    entry = Integrated(table="items", parts={}, inputs={}, rows=0, warnings={"odd": 2, "none": 0})
    (finding,) = shares.warned("items", (), entry)
    assert (finding.severity, finding.what, finding.value) == ("warn", "rows break `odd` and are kept", "2 rows")


def test_a_table_that_shrinks_by_half_is_told(shop: Shop) -> None:
    had, has = (Integrated(table="items", parts={}, inputs={}, rows=rows) for rows in (100, 49))
    (finding,) = shares.shrunk("items", has, had)
    assert finding.value == "100 → 49 rows"
    assert list(shares.shrunk("items", msgspec.structs.replace(has, rows=50), had)) == []
    assert list(shares.shrunk("items", None, had))
    assert list(shares.shrunk("items", has, None)) == []
