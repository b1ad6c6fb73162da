"""Claims: a view that sees past its snapshot is refused, and so is one that asks for what it may not see."""

import random
from datetime import UTC, datetime
from typing import Any

import pytest

from feature_repo.mart import manifest
from motherlode import names
from motherlode.errors import DataError

LAST = datetime(2024, 4, 15, tzinfo=UTC)

HEAD = '''
"""Odd: a view that does not keep to the rules."""
import polars as pl
from feature_repo.features.frames import ROW, SNAPSHOT, finish, seen
from feature_repo.features.view import Feature
READS = ({reads},)
FEATURES = {{"odd": Feature(pl.Float64(), "pieces", "whatever")}}
def build(tables, snapshots):
    events = tables["{table}"]
    known = seen(events.select("customer_id", "event_timestamp"), snapshots).group_by(ROW).agg(pl.len().alias("odd"))
    {body}
'''
JOINED = """known = known.join(events.select("customer_id", "{}").unique("customer_id"), on="customer_id")
    return known.select("customer_id", event_timestamp="snapshot", odd="odd")"""
FINISH = 'return finish(known, {"odd": pl.Float64()})'


def odd(shop: Any, body: str, table: str = "transactions", reads: str = "") -> None:
    shop.own(odd=HEAD.format(table=table, reads=reads or f'"{table}"', body=body))


@pytest.fixture
def built(shop: Any) -> Any:
    rows = shop.history(random.Random(1), 75)
    rows[names.FEEDBACK].append({**rows[names.FEEDBACK][0], names.CUSTOMER_ID: "new", names.EVENT_TIMESTAMP: LAST})
    shop.write(rows)
    shop.build(partitions=2)
    return shop


def refused(shop: Any) -> DataError:
    before = manifest.read(shop.settings)
    with pytest.raises(DataError) as caught:
        shop.build()
    assert manifest.read(shop.settings) == before
    assert "'odd'" in caught.value.problem
    return caught.value


def test_a_view_that_keeps_to_its_snapshot_is_built(built: Any) -> None:
    odd(built, FINISH)
    built.build()
    assert built.rows("odd").height > 0


def test_a_value_from_the_future_is_found_and_the_feature_named(built: Any) -> None:
    odd(
        built,
        'total = events.group_by("customer_id").agg(pl.col("amount").sum())\n'
        '    known = known.join(total, on="customer_id").with_columns(odd=pl.col("amount"))\n'
        f"    {FINISH}",
    )
    error = refused(built)
    assert "sees past its snapshot" in error.problem
    assert "another 'odd'" in error.problem
    assert "event_timestamp < the snapshot" in error.remedy
    assert "odd.py" in error.remedy


def test_a_row_of_a_customer_who_is_not_known_yet_is_found(built: Any) -> None:
    odd(
        built,
        'known = events.select("customer_id").unique().join(snapshots, how="cross")\n'
        "    return known.with_columns(odd=pl.lit(1.0))",
        table="feedback",
    )
    assert "other rows" in refused(built).problem


def test_a_column_that_is_known_after_the_outcome_is_refused_by_name(built: Any) -> None:
    odd(
        built,
        JOINED.format("duration"),
        table="contacts",
    )
    error = refused(built)
    assert "'duration' of contacts, which is known only after the outcome" in error.problem
    assert "after_outcome" in error.remedy


def test_free_text_does_not_leave_the_warehouse(built: Any) -> None:
    odd(
        built,
        JOINED.format("text"),
        table="feedback",
    )
    assert "'text' of feedback, which is of a privacy class" in refused(built).problem


def test_a_column_that_is_nowhere_is_told(built: Any) -> None:
    odd(built, f'known = known.with_columns(pl.col("nonsense"))\n    {FINISH}')
    error = refused(built)
    assert 'asks a frame for a column that it lacks: unable to find column "nonsense"' in error.problem
    assert "nonsense" in error.problem


def test_a_table_that_is_not_declared_is_refused(built: Any) -> None:
    odd(built, FINISH, table="feedback", reads='"contacts"')
    error = refused(built)
    assert "reads the table 'feedback', that it does not declare" in error.problem
    assert "READS" in error.remedy


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ('return finish(known, {"odd": pl.Float32()})', "gave odd as Float32"),
        ('return finish(known, {"odd": pl.Float64()}).drop("odd")', "gave odd as nothing"),
        ('return finish(known, {"odd": pl.Float64()}).with_columns(more=pl.lit(1))', "more, undeclared"),
        ('found = finish(known, {"odd": pl.Float64()})\n    return pl.concat([found, found])', "rows twice"),
        (
            'found = finish(known, {"odd": pl.Float64()})\n'
            '    return found.with_columns(pl.col("event_timestamp") + pl.duration(days=1))',
            "no snapshots",
        ),
    ],
)
def test_a_view_that_does_not_keep_to_its_declaration_is_refused(built: Any, body: str, told: str) -> None:
    odd(built, body)
    assert told in refused(built).problem
