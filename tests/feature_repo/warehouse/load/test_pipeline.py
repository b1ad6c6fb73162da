"""A load: what is landed when, what becomes of its rows, what a second one changes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from feature_repo.warehouse import contract, lineage, state, tables
from motherlode import audit, names
from motherlode.errors import DataError, StoreError
from motherlode.lock import exclusive

JANUARY = [
    ("anna", "r1", 1, "tea", 2, 7.0, 0, "2024-01-05T10:00:00Z"),
    ("anna", "r1", 2, "milk", 1, 1.5, 0, "2024-01-05T10:00:00Z"),
    ("ben", "r2", 1, "tea", 1, 3.5, 0, "2024-01-31T23:59:59Z"),
]
FEBRUARY = [("cleo", "r3", 1, "bread", 1, 2.25, 0, "2024-02-01T00:00:00Z")]


def stamps(home: Path) -> dict[Path, int]:
    return {
        path: path.stat().st_mtime_ns for path in sorted(home.rglob("*")) if path.is_file() and ".lock" not in path.name
    }


def contents(home: Path) -> dict[str, bytes]:
    layers = ("clean", "quarantine", "integrated")
    return {
        path.relative_to(home).as_posix(): path.read_bytes()
        for layer in layers
        for path in (home / layer).rglob("*.parquet")
    }


def test_a_file_goes_through_every_layer(company: Any) -> None:
    company.sales("sales_01.csv", *JANUARY)
    told = company.load()
    assert told.changed
    lines = company.table(names.TRANSACTIONS)
    assert lines.select(names.CUSTOMER_ID, names.ITEM_ID, names.AMOUNT).rows() == [
        ("anna", "tea", 7.0), ("anna", "milk", 1.5), ("ben", "tea", 3.5)
    ]  # fmt: skip
    assert company.table(names.ITEMS).select(names.ITEM_ID, names.OUTSIDE_ID, names.ITEM_NAME).rows() == [
        ("milk", "milk", "Item milk"), ("tea", "tea", "Item tea")
    ]  # fmt: skip
    assert company.table(names.CUSTOMERS)[names.CUSTOMER_ID].to_list() == ["anna", "ben"]
    assert company.table(names.CONTACTS).height == 0
    assert list(company.table(names.CONTACTS).columns) == list(contract.SCHEMAS[names.CONTACTS])
    assert list(company.state.integrated[names.TRANSACTIONS].parts) == ["2024-01"]


def test_the_same_files_twice_change_nothing_not_even_the_state_file(company: Any) -> None:
    company.sales("sales_01.csv", *JANUARY)
    company.load()
    before = stamps(company.settings.home)
    company.write("sales_01 copy.csv", (company.folder / "sales_01.csv").read_text())
    told = company.load()
    assert not told.changed
    assert stamps(company.settings.home) == before


def test_a_late_file_lands_in_its_own_month_and_leaves_the_others_as_they_are(company: Any) -> None:
    company.sales("sales_02.csv", *FEBRUARY)
    company.sales("sales_03.csv", ("anna", "r9", 1, "tea", 1, 3.5, 0, "2024-03-01T10:00:00Z"))
    company.load()
    parts = dict(company.state.integrated[names.TRANSACTIONS].parts)
    company.sales("sales_02_late.csv", ("dora", "r8", 1, "tea", 1, 3.5, 0, "2024-02-29T10:00:00Z"))
    company.load()
    now = company.state.integrated[names.TRANSACTIONS].parts
    assert now["2024-03"] == parts["2024-03"]
    assert now["2024-02"] != parts["2024-02"]
    february = pl.read_parquet(company.settings.home / now["2024-02"].path)
    assert sorted(february[names.CUSTOMER_ID]) == ["cleo", "dora"]


def test_a_corrected_file_of_the_same_name_replaces_all_rows_of_the_old_one(company: Any) -> None:
    company.sales("sales_01.csv", *JANUARY)
    company.sales("sales_02.csv", *FEBRUARY)
    company.load()
    company.sales("sales_01.csv", JANUARY[0], ("ben", "r2", 1, "tea", 1, 4.5, 0, "2024-03-01T00:00:00Z"))
    company.load()
    lines = company.table(names.TRANSACTIONS).sort(names.EVENT_TIMESTAMP)
    assert lines.select(names.BASKET_ID, names.AMOUNT).rows() == [("r1", 7.0), ("r3", 2.25), ("r2", 4.5)]
    assert [landed.status for landed in company.state.raw] == ["superseded", "active", "active"]
    # Raw keeps both.
    assert all((company.settings.home / landed.path).is_file() for landed in company.state.raw)


def test_an_old_content_that_is_back_under_its_name_counts_again(company: Any) -> None:
    old = company.sales("sales_01.csv", *JANUARY).read_text()
    company.load()
    company.sales("sales_01.csv", JANUARY[0])
    company.load()
    assert company.table(names.TRANSACTIONS).height == 1
    company.write("sales_old.csv", old)
    assert not company.load().changed
    (company.folder / "sales_old.csv").unlink()
    company.write("sales_01.csv", old)
    company.load()
    assert company.table(names.TRANSACTIONS).height == 3


def test_a_file_that_was_renamed_is_corrected_under_its_new_name(company: Any) -> None:
    old = company.sales("sales_01.csv", *JANUARY)
    company.load()
    old.rename(company.folder / "sales_january.csv")
    assert not company.load().changed
    assert company.state.raw[0].also == ("sales_january.csv",)
    company.sales("sales_january.csv", JANUARY[0])
    company.load()
    assert company.table(names.TRANSACTIONS).height == 1
    assert not company.load().changed


def test_a_copy_beside_its_original_takes_nobodys_place(company: Any) -> None:
    company.sales("sales_01.csv", *JANUARY)
    company.load()
    company.sales("sales_01 (1).csv", *JANUARY)
    assert not company.load().changed
    company.sales("sales_01 (1).csv", *FEBRUARY)
    company.load()
    assert company.table(names.TRANSACTIONS).height == 4
    assert not company.load().changed


def test_a_refused_file_is_told_as_long_as_it_is_there(company: Any) -> None:
    company.sales("sales_01.csv", *JANUARY)
    empty = company.write("sales_02.csv", "")
    assert [each.name for each in company.load().refused] == ["sales_02.csv"]
    again = company.load()
    assert (again.changed, [each.name for each in again.refused]) == (False, ["sales_02.csv"])
    empty.unlink()
    assert company.load().refused == ()


def test_files_that_were_moved_away_after_landing_stay_in(company: Any) -> None:
    company.sales("sales_01.csv", *JANUARY).rename(company.folder / "later.txt")
    with pytest.raises(DataError, match=r"sales\*\.csv"):
        company.load()
    (company.folder / "later.txt").rename(company.folder / "sales_01.csv")
    company.load()
    (company.folder / "sales_01.csv").unlink()
    assert not company.load().changed
    company.sales("sales_02.csv", *FEBRUARY)
    company.load()
    assert company.table(names.TRANSACTIONS).height == 4


def test_a_later_file_wins_a_key_and_what_it_replaced_is_in_the_ledger(company: Any) -> None:
    company.sales("sales_01.csv", *JANUARY)
    company.load()
    company.sales("sales_02.csv", JANUARY[0], ("anna", "r1", 2, "milk", 3, 4.5, 0, "2024-01-05T10:00:00Z"))
    company.load()
    assert company.table(names.TRANSACTIONS)[names.AMOUNT].to_list() == [7.0, 3.5, 4.5]
    told = company.merged().select("file", "line", "into_file", "into_line", "rule").sort("rule").rows()
    assert told == [
        ("sales_02.csv", 2, "sales_01.csv", 2, "landed twice"),
        ("sales_01.csv", 3, "sales_02.csv", 3, "replaced by a later file"),
    ]


def test_two_rows_of_one_key_in_one_file_leave_the_first(company: Any) -> None:
    company.sales("sales_01.csv", JANUARY[0], ("ben", "r1", 1, "tea", 1, 9.0, 0, "2024-01-05T10:00:00Z"), JANUARY[0])
    company.load()
    assert company.count(names.TRANSACTIONS) == {
        "landed": 3, "excluded": 0, "quarantined": 1, "merged": 1, "derived": 0, "integrated": 1
    }  # fmt: skip
    [row] = company.quarantine().rows(named=True)
    assert (row["line"], row["rule"], row["value"]) == (3, "two rows of one key", "r1, 1")


def test_equal_rows_are_kept_where_the_mapping_says_so(company: Any) -> None:
    company.mapping = company.mapping.replace("key: [basket_id, line_id]", "duplicates: keep")
    company.sales("sales_01.csv", JANUARY[0], JANUARY[0])
    company.load()
    assert company.table(names.TRANSACTIONS).height == 2
    company.mapping = company.mapping.replace("duplicates: keep", "duplicates: merge")
    company.load()
    assert company.table(names.TRANSACTIONS).height == 1


def test_a_rejected_row_stands_in_quarantine_with_file_line_column_value_rule_and_comes_in_when_corrected(
    company: Any,
) -> None:
    company.sales("sales_01.csv", JANUARY[0], ("ben", "r2", 1, "tea", "two", 3.5, 0, "2024-01-06T10:00:00Z"))
    company.load()
    [row] = company.quarantine(names.TRANSACTIONS).rows(named=True)
    assert (row["file"], row["line"], row["row"], row["column"], row["value"]) == (
        "sales_01.csv", 3, 2, names.QUANTITY, "two"
    )  # fmt: skip
    assert row["remedy"]
    company.mapping = company.mapping.replace(
        "quantity: pieces", 'quantity: { from: pieces, values: { "two": 2 }, otherwise: keep }'
    )
    company.load()
    assert company.quarantine().height == 0
    assert company.table(names.TRANSACTIONS)[names.QUANTITY].to_list() == [2.0, 2.0]


def test_rows_that_the_mapping_sets_aside_are_told_apart_from_rejected_ones(company: Any) -> None:
    company.mapping += "    where: \"item <> 'tea'\"\n"
    company.sales("sales_01.csv", *JANUARY)
    company.load()
    assert company.count(names.TRANSACTIONS)["excluded"] == 2
    assert set(company.quarantine()["rule"]) == {"excluded"}


def test_an_event_after_its_landing_is_rejected(company: Any) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    company.sales("sales_01.csv", *JANUARY, ("ben", "r5", 1, "tea", 1, 3.5, 0, tomorrow))
    company.load()
    assert company.quarantine().select("line", "rule").rows() == [(5, "in the future")]


def test_dates_move_so_that_the_last_day_lies_in_the_last_seven_and_stay_there(company: Any) -> None:
    company.mapping = "move_dates: true\n" + company.mapping
    company.sales("sales_01.csv", *JANUARY)
    company.load()
    moved = company.table(names.TRANSACTIONS)[names.EVENT_TIMESTAMP]
    last, today = moved.max().date(), datetime.now(UTC).date()
    assert today - timedelta(days=7) <= last <= today - timedelta(days=1)
    assert last.weekday() == datetime(2024, 1, 31).weekday()
    shift = company.state.shift_weeks
    company.sales("sales_02.csv", ("cleo", "r3", 1, "bread", 1, 2.25, 0, "2024-02-01T00:00:00Z"))
    company.load()
    assert company.state.shift_weeks == shift


def test_each_layer_is_rebuilt_from_the_one_before_to_the_same_bytes(company: Any) -> None:
    company.sales("sales_01.csv", *JANUARY, JANUARY[0], ("ben", "r2", 1, "tea", "two", 3.5, 0, "2024-01-06T10:00:00Z"))
    company.sales("sales_02.csv", *FEBRUARY)
    company.load()
    before = contents(company.settings.home)
    for layer in ("clean", "integrated"):
        assert company.load(rebuild=layer).changed
        assert contents(company.settings.home) == before


def test_a_damaged_file_is_made_again_without_being_asked_for(company: Any) -> None:
    company.sales("sales_01.csv", *JANUARY)
    company.load()
    before = contents(company.settings.home)
    for layer in ("clean", "integrated"):
        path = next((company.settings.home / layer / names.TRANSACTIONS).glob("*.parquet"))
        path.write_bytes(path.read_bytes()[:-20])
        company.load()
        assert contents(company.settings.home) == before


def test_a_file_that_cannot_be_used_is_refused_and_the_others_go_on(company: Any) -> None:
    company.sales("sales_01.csv", *JANUARY)
    company.write("sales_02.csv", "customer,receipt,line,item,pieces,money\ncleo,r3,1,bread,1,2.25\n")
    told = company.load()
    [refused] = told.refused
    assert refused.name == "sales_02.csv"
    assert "sold" in refused.problem or "coupon" in refused.problem
    assert company.table(names.TRANSACTIONS).height == 3
    again = company.load()
    assert not again.changed
    assert again.refused == told.refused, "it is still there"
    company.sales("sales_02.csv", *FEBRUARY)
    assert not company.load().refused
    assert company.table(names.TRANSACTIONS).height == 4


def test_a_refused_correction_leaves_the_file_that_it_was_to_replace(company: Any) -> None:
    company.sales("sales_01.csv", *JANUARY)
    company.sales("sales_02.csv", *FEBRUARY)
    company.load()
    company.write("sales_01.csv", "customer;receipt\nanna;r1\n")
    assert [file.name for file in company.load().refused] == ["sales_01.csv"]
    assert company.table(names.TRANSACTIONS).height == 4


def test_a_mapping_that_fits_no_file_is_an_error_that_names_the_column(company: Any) -> None:
    company.sales("sales_01.csv", *JANUARY)
    company.mapping = company.mapping.replace("amount: money", "amount: mony")
    with pytest.raises(DataError, match="mony"):
        company.load()
    assert not company.state.loads


def test_a_load_that_the_gate_refuses_leaves_the_last_good_state(company: Any) -> None:
    company.sales("sales_01.csv", *JANUARY)
    company.load()
    before, known = company.table(names.TRANSACTIONS), company.state
    bad = [("ben", f"x{n}", 1, "tea", "many", 1, 0, "2024-02-01T00:00:00Z") for n in range(20)]
    company.sales("sales_02.csv", *bad)
    with pytest.raises(DataError, match="refused"):
        company.load()
    assert company.state == known
    assert company.table(names.TRANSACTIONS).equals(before)


def test_files_of_the_generation_before_last_are_cleared(company: Any) -> None:
    company.sales("sales_01.csv", *JANUARY)
    company.load()
    first = company.state
    company.sales("sales_01.csv", JANUARY[0])
    company.load()
    reader = company.settings.home / first.integrated[names.TRANSACTIONS].parts["2024-01"].path
    assert reader.is_file(), "somebody may still read the state before"
    company.sales("sales_01.csv", JANUARY[1])
    company.load()
    assert not reader.exists()


def test_a_load_beside_another_is_refused(company: Any) -> None:
    company.sales("sales_01.csv", *JANUARY)
    with exclusive(company.settings, "warehouse"), pytest.raises(StoreError, match="is being changed by process"):
        company.load()
    company.load()


def test_a_load_is_recorded_with_its_mapping(company: Any) -> None:
    company.sales("sales_01.csv", *JANUARY)
    company.load()
    [load] = company.state.loads
    assert load.rows[names.TRANSACTIONS] == 3
    kept = company.settings.home / "lineage" / f"{load.mapping}.yaml"
    assert kept.read_bytes() == (company.folder / "motherlode.yaml").read_bytes()
    assert [entry.action for entry in audit.read(company.settings)] == ["load"]
    assert audit.verify(company.settings) == 1


def test_with_a_key_only_raw_knows_the_outside_ids(company: Any) -> None:
    shop = company.keyed("a secret of enough bytes")
    shop.sales("sales_01.csv", *JANUARY, ("anna", "r7", 1, "tea", "x", 1, 0, "2024-01-05T10:00:00Z"))
    shop.load()
    keys = tables.outside_ids(shop.settings)
    identity = shop.settings.identity
    assert keys.rows() == [("anna", identity.join_key("anna")), ("ben", identity.join_key("ben"))]
    assert shop.table(names.CUSTOMERS)[names.CUSTOMER_ID].sort().to_list() == sorted(keys[names.CUSTOMER_ID])
    for path in shop.settings.home.rglob("*"):
        if path.is_file() and "raw" not in path.relative_to(shop.settings.home).parts:
            found = path.read_bytes()
            if path.suffix == ".parquet":
                found = pl.read_parquet(path).write_csv().encode()
            assert b"anna" not in found, path


def test_another_key_makes_everything_anew(company: Any) -> None:
    shop = company.keyed("a secret of enough bytes")
    shop.sales("sales_01.csv", *JANUARY)
    shop.load()
    old = shop.settings.identity.join_key("anna")
    other = company.keyed("another secret of enough bytes")
    with pytest.raises(DataError, match="known by"):
        other.load()
    other.settings = replace(other.settings, previous_pseudonym_keys=("a secret of enough bytes",))
    other.load()
    assert old not in set(other.table(names.CUSTOMERS)[names.CUSTOMER_ID])
    assert tables.outside_ids(other.settings)[names.OUTSIDE_ID].to_list() == ["anna", "ben"]


def test_another_contract_makes_everything_anew(company: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    company.sales("sales_01.csv", *JANUARY)
    company.load()
    monkeypatch.setattr(contract, "VERSION", 10_000)
    assert company.load().changed


def test_progress_is_told_by_file_and_by_table(company: Any) -> None:
    company.sales("sales_01.csv", *JANUARY)
    company.load()
    told = "\n".join(company.steps)
    assert "sales_01.csv: 3 rows landed" in told
    assert "transactions: sales_01.csv" in told
    assert "transactions: integrated" in told


def test_without_a_load_the_remedy_is_named(company: Any) -> None:
    with pytest.raises(DataError, match="Nothing was loaded"):
        tables.scan(company.settings, names.ITEMS)
    with pytest.raises(DataError, match="motherlode ingest"):
        lineage.fingerprint(company.settings)


def test_a_state_of_a_newer_layout_is_not_touched(company: Any) -> None:
    company.settings.home.mkdir()
    path = company.settings.home / state.STATE
    path.write_bytes(msgspec.json.encode({"version": state.VERSION + 1}))
    company.sales("sales_01.csv", *JANUARY)
    with pytest.raises(DataError, match="layout"):
        company.load()
