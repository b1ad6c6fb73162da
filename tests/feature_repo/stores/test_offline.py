"""Feast's other calls on the offline store: pulls, writes, schema inference, validation."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from feast import Entity, FeatureView, FileSource, ValueType
from feast.types import Float64, Int64, String

from feature_repo.mart import manifest
from feature_repo.stores.state import settings_of
from motherlode.errors import DataError

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
US = timedelta(microseconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def test_the_latest_rows_are_pulled_per_key_both_ends_included(repo: Any) -> None:
    rows = repo.history(
        ("a", NOON, 1.0),
        ("a", NOON, 2.0),
        ("b", NOON - DAY, 3.0),
        ("b", NOON + DAY + US, 4.0),
        ("c", NOON + DAY, None),
        created=[NOON + HOUR, NOON, NOON, NOON, NOON],
    )
    view = repo.view("v", rows)
    latest = repo.store.provider.offline_store.pull_latest_from_table_or_query(
        repo.config, view.batch_source, ["k"], ["x"], "t", "created", NOON - DAY, NOON + DAY
    ).to_arrow()
    assert latest.column_names == ["k", "x", "t", "created"]
    assert dict(zip(latest["k"].to_pylist(), latest["x"].to_pylist(), strict=True)) == {"a": 1.0, "b": 3.0, "c": None}
    everything = repo.store.provider.offline_store.pull_all_from_table_or_query(
        repo.config, view.batch_source, ["k"], ["x"], "t", None, NOON
    )
    assert everything.to_arrow()["x"].to_pylist() == [1.0, 2.0, 4.0, None]


def test_rows_written_to_the_offline_store_are_appended_whole(repo: Any) -> None:
    view = repo.view("v", repo.history(("a", NOON, 1.0)))
    repo.apply(view)
    more = repo.history(("a", NOON + HOUR, 2.0)).select("x", "k", "created", "t").to_pandas()
    repo.store.write_to_offline_store("v", more)
    assert repo.xs(repo.ask(view, ["v:x"], repo.labels(("a", NOON), ("a", NOON + DAY)))) == [1.0, 2.0]
    assert [path.name for path in repo.mart.glob("*.tmp")] == []
    with pytest.raises(ValueError, match="missing_expected_columns: \\['x'\\]"):
        repo.store.write_to_offline_store("v", more.drop(columns="x"))


def test_rows_written_to_a_view_in_the_mart_are_a_piece_of_their_own_which_builds_keep(repo: Any) -> None:
    """Of equal times and created times what was written wins; written twice it is there once."""
    view = repo.view("v", None, dtypes={"k": String, "x": Float64})
    repo.build("v", repo.history(("a", NOON, 1.0), ("b", NOON, 1.0)))
    repo.apply(view)
    more = repo.history(("a", NOON, 2.0)).select("x", "k", "created", "t").to_pandas()
    for _ in range(2):
        repo.store.write_to_offline_store("v", more)
    asked = repo.labels(("a", NOON), ("b", NOON))
    assert repo.xs(repo.ask(view, ["v:x"], asked)) == [2.0, 1.0]
    repo.build("v", repo.history(("a", NOON, 1.0), ("b", NOON, 5.0)))
    assert repo.xs(repo.ask(view, ["v:x"], asked)) == [2.0, 5.0]
    built = manifest.read(settings_of(repo.config)).views["v"]
    assert [(piece.rows, piece.partition) for piece in built.written] == [(1, -1)]
    with pytest.raises(ValueError, match="missing_expected_columns"):
        repo.store.write_to_offline_store("v", more.drop(columns="x"))


def test_writers_at_once_lose_nothing(repo: Any) -> None:
    view = repo.view("v", None, dtypes={"k": String, "x": Float64})
    repo.build("v", repo.history(("a", NOON, 0.0)))
    table = [repo.history(("a", NOON + i * HOUR, float(i))).to_arrow() for i in range(1, 9)]
    with ThreadPoolExecutor(8) as pool:
        write = repo.store.provider.offline_store.offline_write_batch
        list(pool.map(lambda each: write(repo.config, view, each, None), table))
    asked = repo.labels(*(("a", NOON + i * HOUR) for i in range(9)))
    assert repo.xs(repo.ask(view, ["v:x"], asked)) == [float(i) for i in range(9)]


def test_a_schema_that_was_not_declared_is_read_from_the_file(repo: Any) -> None:
    repo.view("v", repo.history(("a", NOON, 1), x=pl.Int64))
    customer = Entity(name="customer", join_keys=["k"], value_type=ValueType.STRING)
    source = FileSource(path="v.parquet", timestamp_field="t", created_timestamp_column="created")
    bare = FeatureView(name="v", entities=[customer], source=source)
    repo.store.apply([customer, bare])
    assert [(field.name, field.dtype) for field in repo.store.get_feature_view("v").features] == [("x", Int64)]


def test_apply_checks_a_source_that_is_there_and_waits_for_one_that_is_not(repo: Any, caplog: Any) -> None:
    store = repo.store.provider.offline_store
    missing = FileSource(path="nowhere.parquet", timestamp_field="t")
    store.validate_data_source(repo.config, missing)
    assert "no 'nowhere.parquet'" in caplog.text
    view = repo.view("v", repo.history(("a", NOON, 1.0)).drop("t"))
    with pytest.raises(DataError, match="'v_source' has no column 't'"):
        store.validate_data_source(repo.config, view.batch_source)
    repo.history(("a", NOON, 1.0)).with_columns(pl.lit("noon").alias("t")).write_parquet(repo.mart / "v.parquet")
    with pytest.raises(DataError, match="'t' is String"):
        repo.ask(view, ["v:x"], repo.labels(("a", NOON))).to_arrow()
