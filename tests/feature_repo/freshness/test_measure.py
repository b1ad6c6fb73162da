"""One measurement of a home: the mart, Feast's registry and the store, held against each other."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from feature_repo import store
from feature_repo.features import catalogue
from feature_repo.features.view import Words
from feature_repo.freshness.measure import Mart, ViewFreshness, measure
from feature_repo.mart import manifest
from feature_repo.mart.manifest import Built, Manifest, Piece
from motherlode import names
from motherlode.online.writer import OnlineWriter, Target
from motherlode.packed import Column, Schema, Values, encode
from motherlode.redis_server import connect, running
from motherlode.settings import Settings

VIEW = next(view for view in catalogue.views(Words()) if view.name == names.RFM)
NEWEST = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
BUILT = NEWEST + timedelta(seconds=30)
TIME = pl.Datetime("us", "UTC")


def write_mart(settings: Settings) -> None:
    """Two snapshots of one view: 5 customers a week ago, 10 in the newest."""
    rows = [(f"{i}", NEWEST - timedelta(weeks=1)) for i in range(5)] + [(f"{i}", NEWEST) for i in range(10)]
    keys = pl.DataFrame(rows, schema={names.CUSTOMER_ID: pl.String, names.EVENT_TIMESTAMP: TIME}, orient="row")
    frame = keys.with_columns(*(pl.lit(None, dtype).alias(name) for name, dtype in VIEW.features.items()))
    settings.mart.mkdir(parents=True)
    frame.with_columns(pl.lit(BUILT, TIME).alias(names.CREATED_TIMESTAMP)).write_parquet(
        settings.mart / "rfm.0.parquet"
    )
    piece = Piece(path="rfm.0.parquet", partition=0, era="2026-11", rows=frame.height, sha256="")
    built = Built(view=VIEW.name, code="", pieces=(piece,), rows=frame.height, created_at=BUILT, seconds=0.0)
    snapshots = (NEWEST - timedelta(weeks=1), NEWEST)
    manifest.write(settings, Manifest(views={VIEW.name: built}, anchor=NEWEST, partitions=1, snapshots=snapshots))


def write_online(settings: Settings, customers: int) -> None:
    """Rows as of a week before the mart's newest."""
    schema = Schema(VIEW.name, (Column("x", "float64"),))
    event = np.full(customers, int((NEWEST - timedelta(weeks=1)).timestamp() * 1e6), dtype=np.int64)
    with connect(settings) as client:
        writer = OnlineWriter(client, settings.project, lambda entity: entity)
        writer.declare(schema, Target(VIEW.name))
        values = {"x": Values(np.zeros(customers), np.ones(customers, dtype=np.bool_))}
        entities = [f"{i}" for i in range(customers)]
        writer.write(Target(VIEW.name), entities, encode(schema, values, event, event))


@pytest.fixture(scope="module")
def bound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(Settings(home=tmp_path_factory.mktemp("a home") / ".motherlode", project="shop")) as settings:
        write_mart(settings)
        write_online(settings, 8)
        yield settings


def rfm(settings: Settings) -> ViewFreshness:
    return next(each for each in measure(settings).views if each.name == VIEW.name)


def test_coverage_and_how_far_the_mart_is_ahead_of_what_is_online(bound: Settings) -> None:
    found = rfm(bound)
    assert found.offline is not None and found.online is not None
    assert (found.offline.rows, found.offline.snapshots, found.offline.entities) == (15, 2, 10)
    assert found.offline.newest == NEWEST
    assert (found.online.rows, found.coverage, found.probed) == (8, 0.8, 10)
    assert found.behind_s == pytest.approx(7 * 86_400)
    assert found.ttl_s == VIEW.ttl.total_seconds()


def test_who_measures_often_reads_the_mart_once_for_as_long_as_it_stays(tmp_path: Path) -> None:
    settings, mart = Settings(home=tmp_path), Mart()
    write_mart(settings)

    def told() -> tuple[int, datetime | None]:
        found = next(each for each in measure(settings, mart=mart).views if each.name == VIEW.name).offline
        assert found is not None
        return found.entities, found.newest

    assert told() == (10, NEWEST)
    file = settings.mart / "rfm.0.parquet"
    file.write_bytes(b"")  # not asked again
    assert told() == (10, NEWEST)
    file.unlink()
    settings.mart.rename(tmp_path / "before")
    write_mart(settings)
    now = manifest.read(settings)
    built = msgspec.structs.replace(now.views[VIEW.name], pieces=now.views[VIEW.name].pieces[:0], rows=0)
    manifest.write(settings, msgspec.structs.replace(now, views={VIEW.name: built}))
    assert told() == (0, None)


def test_the_lag_is_how_much_newer_the_mart_is_than_feasts_watermark(bound: Settings) -> None:
    assert (rfm(bound).watermark, rfm(bound).lag_s) == (None, None)
    store.apply(bound)
    feast = store.open_store(bound)
    for end, lag in ((BUILT - timedelta(hours=3), 3 * 3600), (BUILT + timedelta(hours=1), 0)):
        feast.registry.apply_materialization(feast.get_feature_view(VIEW.name), "shop", NEWEST - timedelta(9), end)
        found = rfm(bound)
        assert (found.watermark, found.lag_s) == (end, lag)


def test_where_the_store_does_not_answer_the_rest_is_measured(bound: Settings) -> None:
    for settings in (replace(bound, redis_url=None), bound.with_redis("redis://127.0.0.1:1/0")):
        found = measure(settings)
        assert found.problem and found.store is None and found.stream is None
        view = next(each for each in found.views if each.name == VIEW.name)
        assert view.online is None and view.coverage is None
        assert view.offline is not None and view.offline.entities == 10


def test_an_empty_home_has_the_catalogues_views_and_nothing_is_made_in_it(bound: Settings, tmp_path: Path) -> None:
    found = measure(Settings(home=tmp_path, project="empty", redis_url=bound.redis_url))
    assert {each.name for each in found.views} == {view.name for view in catalogue.views(Words())}
    for view in found.views:
        assert view.offline is None and view.watermark is None and view.coverage is None
        assert view.online is not None and view.online.rows == 0
    assert list(tmp_path.iterdir()) == []
