"""Rows of one key: which live on, which merge, which are rejected."""

from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.warehouse import duplicates, parts
from feature_repo.warehouse.contract import LINE, ROW
from feature_repo.warehouse.duplicates import CONFLICT, MONTH, OUTDATED, REPLACED, TWICE, UNIT, Unit
from feature_repo.warehouse.parts import KEY
from feature_repo.warehouse.state import Cleaned
from motherlode.settings import Settings

Row = tuple[int, int, str | None, int | None]
"""Unit, row, key, content."""

ROWS = st.lists(
    st.lists(st.tuples(st.sampled_from(["a", "b", "c", None]), st.sampled_from([1, 2, None])), max_size=8),
    min_size=1,
    max_size=4,
).map(lambda files: [(unit, row + 1, *cells) for unit, rows in enumerate(files) for row, cells in enumerate(rows)])
HASHES = {
    "none": [],
    "good": [pl.col("k").hash().alias(KEY)],
    "two keys of one hash": [(pl.col("k").hash() % 2).alias(KEY)],
    "all of one hash": [pl.lit(7, pl.UInt64).alias(KEY)],
}


def frame(rows: list[Row]) -> pl.DataFrame:
    schema = {UNIT: pl.UInt32, ROW: pl.UInt32, "k": pl.String, "v": pl.Int64}
    found = pl.DataFrame(rows, schema=schema, orient="row").with_columns((pl.col(ROW) + 1).alias(LINE))
    return found.select(UNIT, ROW, LINE, "k", "v")


def told(rows: list[Row], *, keep: bool) -> dict[tuple[int, int], tuple[str | None, tuple[int, int]]]:
    """The rules, row by row: (unit, row) → what becomes of it, and the row of its key that lives on."""
    by_key: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row[2] is not None:
            by_key[row[2]].append(row)
    found: dict[tuple[int, int], tuple[str | None, tuple[int, int]]] = {}
    for group in by_key.values():
        if len(group) < 2:
            continue
        firsts = {row[0]: row for row in reversed(group)}
        files = sorted(firsts)
        wins = firsts[files[-1]][3]
        survivor = firsts[files[-1]]
        for unit in reversed(files):
            if firsts[unit][3] != wins:
                break
            survivor = firsts[unit]
        for row in group:
            fate: str | None = TWICE
            if row[3] != firsts[row[0]][3]:
                fate = CONFLICT
            elif row[3] != wins:
                fate = REPLACED
            elif row is survivor or keep:
                fate = None
            found[row[:2]] = (fate, survivor[:2])
    return found


@given(rows=ROWS, keep=st.booleans(), hashing=st.sampled_from(list(HASHES)))
@settings(max_examples=100, deadline=None)
def test_where_the_last_row_wins_a_file_is_as_good_as_one_file_a_row(rows: list[Row], keep: bool, hashing: str) -> None:
    found = duplicates.resolve(frame(rows).with_columns(HASHES[hashing]), ["k"], keep=keep, last=True)
    apart = [(number, 1, key, value) for number, (_, _, key, value) in enumerate(rows)]
    wanted = told(apart, keep=keep)
    number = {row[:2]: number for number, row in enumerate(rows)}
    for row in found.rows(named=True):
        fate, into = wanted.pop((number[row[UNIT], row[ROW]], 1))
        assert number[row["into_unit"], row["into_row"]] == into[0]
        assert row["_fate"] == (OUTDATED if fate == REPLACED and row["into_unit"] == row[UNIT] else fate)
    assert wanted == {}


@given(rows=ROWS, keep=st.booleans(), hashing=st.sampled_from(list(HASHES)))
@settings(max_examples=150, deadline=None)
def test_every_row_of_a_key_becomes_what_the_rules_say(rows: list[Row], keep: bool, hashing: str) -> None:
    found = duplicates.resolve(frame(rows).with_columns(HASHES[hashing]), ["k"], keep=keep)
    assert {
        (row[UNIT], row[ROW]): (row["_fate"], (row["into_unit"], row["into_row"])) for row in found.rows(named=True)
    } == told(rows, keep=keep)


def test_without_a_key_the_whole_content_counts_and_nulls_are_equal() -> None:
    rows: list[Row] = [(0, 1, "a", None), (0, 2, "a", None), (1, 1, "a", 1), (1, 2, None, None), (1, 3, None, None)]
    found = duplicates.resolve(frame(rows), [])
    assert found.select(ROW, "_fate").rows() == [(1, None), (2, TWICE)]


def unit(place: Settings, number: int, rows: list[tuple[str, float, datetime]]) -> Unit:
    table = pl.DataFrame(rows, schema={"k": pl.String, "v": pl.Float64, "at": pl.Datetime("us", "UTC")}, orient="row")
    table = table.with_row_index(ROW, offset=1).with_columns(
        (pl.col(ROW) + 1).alias(LINE), pl.col("k").hash().alias(KEY)
    )
    part = parts.write(place, "clean/table", str(number), [table])
    told = Cleaned(
        table="table", entry=0, source="s", file_id="f", name=f"file {number}", order=number, inputs="",
        rows_in=len(rows), clean=part, quarantine=None, excluded=0, rejected=0,
    )  # fmt: skip
    return Unit(number, told)


@pytest.mark.parametrize(("hashes", "whole_rows"), [(128_000_000, 4_000_000), (100, 30)])
def test_passes_over_clean_files_find_the_same_whatever_fits_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hashes: int, whole_rows: int
) -> None:
    monkeypatch.setattr(duplicates, "_KEYS_A_PASS", hashes)
    monkeypatch.setattr(duplicates, "_ROWS_A_PASS", whole_rows)
    place = Settings(home=tmp_path)
    day = datetime(2024, 3, 31, tzinfo=UTC)
    first = [(f"k{n}", 1.0, day) for n in range(300)]
    second = [(f"k{n}", 1.0 + n % 2, day) for n in range(200, 400)]
    found = duplicates.find(place, [unit(place, 0, first), unit(place, 1, second)], ("k",), "at", keep=False)
    assert found.merged.group_by("rule").len().sort("rule").rows() == [(TWICE, 50), (REPLACED, 50)]
    assert found.drops.rows() == sorted(found.drops.rows())
    assert set(found.drops[MONTH]) == {2024 * 12 + 2}
    assert found.of_month(2024 * 12 + 2).height == 100
    names = {0: "file 0", 1: "file 1"}
    ledger = pl.concat(duplicates.ledger("table", found.merged, names))
    assert ledger.height == 100
    assert set(ledger.select("file", "into_file").rows()) == {("file 0", "file 1"), ("file 1", "file 0")}


def test_a_rejected_row_names_its_key(tmp_path: Path) -> None:
    place = Settings(home=tmp_path)
    day = datetime(2024, 3, 31, tzinfo=UTC)
    mine = unit(place, 0, [("a", 1.0, day), ("a", 2.0, day)])
    found = duplicates.find(place, [mine], ("k",), None, keep=False)
    [row] = duplicates.quarantined("table", found.rejected, {0: "file"}, ("k",)).rows(named=True)
    assert (row["file"], row["line"], row["column"], row["value"], row["rule"]) == ("file", 3, "k", "a", CONFLICT)


def test_nothing_is_looked_for_where_equal_rows_are_kept() -> None:
    nowhere: Any = None
    assert duplicates.find(nowhere, [], (), None, keep=True).drops.height == 0
