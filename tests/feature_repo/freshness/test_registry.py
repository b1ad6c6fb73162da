"""The registry read without Feast says what Feast says."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.repo_config import RepoConfig
from feast.types import Float64

from feature_repo.freshness import registry
from motherlode.errors import DataError
from motherlode.settings import Settings


def feast(settings: Settings) -> FeatureStore:
    path = {"registry_type": "sql", "path": f"sqlite:///{settings.registry}"}
    return FeatureStore(config=RepoConfig(project="shop", provider="local", registry=path))


def test_times_to_live_and_watermarks_are_feasts_own(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "a home", project="shop")
    settings.home.mkdir()
    store = feast(settings)
    entity = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)
    pl.DataFrame({"customer_id": ["1"], "x": [1.0], "event_timestamp": [datetime.now(UTC)]}).write_parquet(
        tmp_path / "s.parquet"
    )
    source = FileSource(name="s", path=str(tmp_path / "s.parquet"), timestamp_field="event_timestamp")
    schema = [Field(name="x", dtype=Float64)]
    views = [
        FeatureView(name=name, entities=[entity], ttl=ttl, schema=schema, source=source, tags={"é": "\x80"})
        for name, ttl in (("rfm", timedelta(days=35, microseconds=7)), ("web", timedelta(0)), ("never", None))
    ]
    store.apply([entity, *views])
    begin = datetime(2026, 11, 1, tzinfo=UTC)
    for days in (7, 3):  # in any order: the furthest counts
        end = begin + timedelta(days=days, microseconds=123_456)
        store.registry.apply_materialization(store.get_feature_view("rfm"), "shop", begin, end)
    said = {view.name: (view.ttl or None, view.most_recent_end_time) for view in feast(settings).list_feature_views()}
    read = registry.read(settings)
    assert {name: (each.ttl, each.watermark) for name, each in read.items()} == said
    assert read["rfm"].watermark == begin + timedelta(days=7, microseconds=123_456)
    assert registry.read(Settings(home=settings.home, project="other")) == {}


def test_where_there_is_no_registry_none_is_made(tmp_path: Path) -> None:
    assert registry.read(Settings(home=tmp_path)) == {}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("message", [b"\x12", b"\x12\x05\x1a", b"\x13\x00", b"\x0a\x02\x30\x01"])
def test_a_registry_that_cannot_be_read_is_named(tmp_path: Path, message: bytes) -> None:
    settings = Settings(home=tmp_path, project="shop")
    with closing(sqlite3.connect(settings.registry)) as made:
        made.execute("create table feature_views (feature_view_name text, project_id text, feature_view_proto blob)")
        made.execute("insert into feature_views values ('rfm', 'shop', ?)", (message,))
        made.commit()
    with pytest.raises(DataError, match=r"registry\.db cannot be read"):
        registry.read(settings)
    settings.registry.write_bytes(b"no database, whatever its name says" * 100)
    with pytest.raises(DataError, match=r"registry\.db cannot be read"):
        registry.read(settings)
