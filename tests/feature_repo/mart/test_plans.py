"""Claims: a mistake in a company's own view is told by its file, its line where that is known, and a remedy."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from feature_repo.features import catalogue, own
from feature_repo.features.view import View, Words
from feature_repo.mart.plans import Plans
from feature_repo.mart.timeline import Timeline
from feature_repo.warehouse.contract import SCHEMAS
from motherlode import names
from motherlode.compute import choose, room
from motherlode.errors import DataError

AT = datetime(2025, 2, 1, tzinfo=UTC)
HEAD = '''"""Lines: how many a customer ever bought."""

import polars as pl

from feature_repo.features.frames import ROW, baskets, buyers, finish, seen, sums
from feature_repo.features.view import Feature

READS = ("transactions",)
FEATURES = {"lines": Feature(pl.Int64(), "lines", "ever bought")}


def build(tables, snapshots):
    found = seen(tables["transactions"].select("customer_id", "event_timestamp"), snapshots)
    made = found.group_by(ROW).agg(pl.len().alias("lines"))
    %s
'''
ACROSS = """
ACROSS = ("lines",)
{}

def across(rows):
    {}
"""
ROWS = 'return finish(made, {} if "ACROSS" in globals() else FEATURES)'
LINE = 15
PLANS = Plans(room(choose("cpu")), Timeline(1, {}, {}))


def made(project: Path, body: str, more: str = "") -> tuple[View, Path]:
    path = project / "features" / "mine.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(HEAD % body + more)
    return own.load(project, Words())[-1], path


def rows(view: View) -> pl.DataFrame:
    tables = {name: pl.LazyFrame(schema=schema) for name, schema in SCHEMAS.items()}
    line = {
        names.CUSTOMER_ID: "c1",
        names.BASKET_ID: "b",
        names.QUANTITY: 1.0,
        names.AMOUNT: 2.0,
        names.EVENT_TIMESTAMP: datetime(2025, 1, 1, tzinfo=UTC),
        names.LOCAL_TIMESTAMP: datetime(2025, 1, 1),
    }
    tables[names.TRANSACTIONS] = pl.LazyFrame([line] * 2, schema=SCHEMAS[names.TRANSACTIONS])
    return PLANS.rows(view, tables, [AT], named=True)


def test_a_view_as_it_should_be_gives_its_rows(tmp_path: Path) -> None:
    assert rows(made(tmp_path, ROWS)[0]).rows() == [("c1", AT, 2)]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("1 / 0", rf"line {LINE}, cannot be computed: ZeroDivisionError: division by zero\."),
        ("raise OSError('no such disk')", rf"line {LINE}, cannot be computed: OSError: no such disk"),
        ("return finish(made, FEATURES).collect()", r"line 12, has build give a DataFrame\. Return a LazyFrame"),
        ("pass", r"line 12, has build give nothing\. Return a LazyFrame, such as what `finish` gives"),
        (
            'return finish(made.with_columns(lines=pl.lit("x").cast(pl.Int64)), FEATURES)',
            "cannot be computed: InvalidOperationError: conversion from `str` to `i64` failed",
        ),
    ],
)
def test_a_mistake_in_build_is_told_by_file_and_line(tmp_path: Path, body: str, told: str) -> None:
    view, path = made(tmp_path, body)
    with pytest.raises(DataError, match=told) as caught:
        rows(view)
    assert str(path) in caught.value.problem
    assert caught.value.remedy


@pytest.mark.parametrize("whole", ["", "WHOLE = True"])
@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("1 / 0", "cannot be computed: ZeroDivisionError"),
        ("rows.sort('lines')", "has across give nothing"),
        ("return rows.with_columns(pl.lit('x').cast(pl.Int64).alias('lines'))", "cannot be computed: Invalid"),
    ],
)
def test_a_mistake_in_across_is_told_likewise(tmp_path: Path, whole: str, body: str, told: str) -> None:
    view, path = made(tmp_path, ROWS, ACROSS.format(whole, body))
    with pytest.raises(DataError, match=told) as caught:
        PLANS.compared(view, rows(view))
    assert str(path) in caught.value.problem


def test_a_mistake_in_a_view_of_the_catalogue_stays_what_it_is(tmp_path: Path) -> None:
    view, _ = made(tmp_path, "1 / 0")
    ours = next(iter(catalogue.MODULES))
    with pytest.raises(ZeroDivisionError):
        rows(View(ours, view.meanings, view.build, view.reads, view.doc, view.module))


def test_a_column_that_a_frame_lacks_is_told_with_the_name_that_the_time_has(tmp_path: Path) -> None:
    body = 'return made.select("customer_id", "event_timestamp", "lines")'
    with pytest.raises(DataError, match=r"asks a frame for a column that it lacks.*event_timestamp") as caught:
        rows(made(tmp_path, body)[0])
    assert "`frames` calls the time 'snapshot', until `finish` renames it." in caught.value.remedy
    body = 'made.select("nothing").collect_schema()'
    with pytest.raises(DataError, match=r"a column that it lacks.*nothing") as caught:
        rows(made(tmp_path, body)[0])
    assert caught.value.remedy.endswith(f"mine.py, line {LINE}.")


def test_a_row_twice_is_named(tmp_path: Path) -> None:
    view, _ = made(tmp_path, "return finish(pl.concat([made, made]), FEATURES)")
    with pytest.raises(DataError, match=r"1 rows twice, the first at 2025-02-01T00:00:00.* for customer_id 'c1'"):
        rows(view)
