"""The feature store as the other rooms use it, on the real catalogue, a real registry and a real Valkey."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from feast import Field, FileSource
from feast.feature_view import FeatureView
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.types import Float64

from feature_repo import store
from feature_repo.declared import declare
from feature_repo.features import catalogue
from feature_repo.features.view import Words
from feature_repo.mart import manifest
from feature_repo.mart.manifest import Manifest
from feature_repo.stores.rows import GRACE
from motherlode import audit, names
from motherlode.errors import DataError, StoreError
from motherlode.identity import Identity
from motherlode.online.reader import OnlineReader
from motherlode.online.tombstones import Tombstones
from motherlode.online.writer import OnlineWriter
from motherlode.packed import Status
from motherlode.redis_server import connect, running
from motherlode.settings import Settings

WORDS = Words(
    departments={"drug_gm": "DRUG GM"},
    campaign_types={"type_a": "Type A"},
    channels={"web": "web"},
    attributes={"age": "Int64"},
    purposes=("marketing",),
)
VIEWS = catalogue.views(WORDS)
BY_NAME = {view.name: view for view in VIEWS}
CUSTOMERS = 20
WEEKS = 4
LATEST = datetime.combine(datetime.now(UTC) - timedelta(days=1), datetime.min.time(), UTC)
TIME = pl.Datetime("us", "UTC")


def column(dtype: pl.DataType, n: int, rng: np.random.Generator) -> pl.Series:
    if isinstance(dtype, pl.List):
        rows = [list(range(int(k))) for k in rng.integers(0, 5, n)]
        return pl.Series(rows, dtype=pl.List(pl.Int64)).cast(dtype)
    values = [
        None if empty else float(value) for empty, value in zip(rng.random(n) < 0.1, rng.integers(1, 6, n), strict=True)
    ]
    return pl.Series(values, dtype=pl.Float64).cast(pl.Int64).cast(dtype)


def write_mart(settings: Settings, ids: list[str], latest: datetime = LATEST) -> None:
    """Snapshots of every view of the catalogue, with values of the right types."""
    manifest.write(settings, Manifest(words=WORDS))
    rng = np.random.default_rng(0)
    for view in VIEWS:
        times = [latest - timedelta(weeks=week) for week in range(1 if view.latest_only else WEEKS)]
        keys = pl.DataFrame({view.key: ids}).join(pl.DataFrame({names.EVENT_TIMESTAMP: times}), how="cross")
        frame = keys.with_columns(
            pl.col(names.EVENT_TIMESTAMP).cast(TIME),
            *(column(dtype, keys.height, rng).alias(name) for name, dtype in view.features.items()),
            pl.lit(datetime.now(UTC), TIME).alias(names.CREATED_TIMESTAMP),
        )
        frame.write_parquet(settings.mart / f"{view.name}.parquet")


@pytest.fixture(scope="module")
def bound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A home whose name would trip a careless URL, with a mart, registered and materialised."""
    home = tmp_path_factory.mktemp("a home") / "50% of what?" / ".motherlode"
    with running(Settings(home=home, project="shop", device="cpu")) as settings:
        write_mart(settings, [f"{i}" for i in range(CUSTOMERS)])
        store.apply(settings)
        store.materialise(settings)
        yield settings


def read(settings: Settings, service: str, ids: list[str]) -> Any:
    with connect(settings) as client:
        return OnlineReader(client, settings.project, store.resolve(settings, service).views).read(ids)


def writing(settings: Settings) -> OnlineWriter:
    return OnlineWriter(connect(settings), settings.project, Tombstones(settings).of_entity)


def modelled(view: str) -> list[str]:
    """What the services of models hold of a view: all but its words for people, such as the class of `rfm`."""
    return [name for name, dtype in BY_NAME[view].features.items() if dtype != pl.String]


def test_every_view_of_the_catalogue_is_registered_and_online(bound: Settings) -> None:
    feast = store.open_store(bound)
    assert {view.name for view in feast.list_feature_views()} == {*(view.name for view in VIEWS), names.LIVE}
    assert bound.registry.is_file()
    ids = [f"{i}" for i in range(CUSTOMERS)]
    for service in (names.SCORING, names.RECOMMENDATION, names.PORTRAIT):
        for rows in read(bound, service, [*ids, "nobody"]).values():
            assert rows.status.tolist() == [Status.PRESENT] * CUSTOMERS + [Status.UNKNOWN]
            assert set(rows.event_us.tolist()) == {int(LATEST.timestamp()) * 1_000_000, 0}


def test_what_is_online_is_the_latest_snapshot(bound: Settings) -> None:
    for service in (names.SCORING, names.RECOMMENDATION):
        for view, rows in read(bound, service, ["3"]).items():
            mart = pl.read_parquet(bound.mart / f"{view}.parquet")
            (latest,) = mart.filter(
                (pl.col(names.CUSTOMER_ID) == "3") & (pl.col(names.EVENT_TIMESTAMP) == LATEST)
            ).to_dicts()
            for name, values in rows.columns.items():
                found = values.data[0] if values.valid[0] else None
                found = found.tolist() if isinstance(found, np.ndarray | np.generic) else found
                assert found == latest[name]


def test_a_service_resolves_to_what_the_catalogue_declares(bound: Settings) -> None:
    service = store.resolve(bound, names.RECOMMENDATION)
    assert service.name == names.RECOMMENDATION
    assert [request.view for request in service.views] == [names.HISTORY, names.PURCHASES, names.RFM, names.AFFINITY]
    for request in service.views:
        assert [column.name for column in request.columns] == modelled(request.view)
        assert request.ttl_s == BY_NAME[request.view].ttl.total_seconds()
    types = {column.name: column.dtype for request in service.views for column in request.columns}
    assert types["latest_items"] == "list<string>"
    assert types["top_weights"] == "list<float32>"
    assert "rfm_class" not in types
    assert types["recency_score"] == "int32"
    assert types["recency_days"] == "float32"


def test_a_training_frame_keeps_every_label_and_adds_the_features_of_its_time(bound: Settings) -> None:
    times = [LATEST, LATEST - timedelta(days=6), LATEST - timedelta(weeks=4), LATEST + timedelta(days=36), LATEST]
    labels = pl.DataFrame(
        {
            "recency_days": [1, 2, 3, 4, 5],
            names.CUSTOMER_ID: ["3", "3", "3", "3", "nobody"],
            names.EVENT_TIMESTAMP: [time.replace(tzinfo=None) for time in times],
            "redeemed": [True, False, None, True, False],
        }
    )
    frame = store.training_frame(bound, labels, names.SCORING)
    assert frame.select(labels.columns).equals(labels)
    views = (names.RFM, names.SPENDING, names.PRICE_SENSITIVITY, names.AFFINITY, names.CAMPAIGN_HISTORY)
    features = [f"{view}__{name}" for view in views for name in modelled(view)]
    assert frame.columns == [*labels.columns, *features]
    mart = pl.read_parquet(bound.mart / "rfm.parquet").filter(pl.col(names.CUSTOMER_ID) == "3")
    by_time = dict(mart.select(names.EVENT_TIMESTAMP, "tenure_days").iter_rows())
    seen = [by_time[LATEST], by_time[LATEST - timedelta(weeks=1)], None, None, None]
    assert frame["rfm__tenure_days"].to_list() == seen
    assert frame.schema["rfm__recency_score"] == pl.Int32


def test_a_training_frame_without_labels_has_its_columns_and_types(bound: Settings) -> None:
    labels = pl.DataFrame(schema={names.CUSTOMER_ID: pl.String, names.EVENT_TIMESTAMP: TIME})
    frame = store.training_frame(bound, labels, names.RECOMMENDATION)
    assert frame.height == 0
    assert frame.schema["history__latest_items"] == pl.List(pl.String)


def test_an_unknown_service_is_named_beside_those_there_are(bound: Settings) -> None:
    with pytest.raises(StoreError, match=r"no feature service 'scorng'\. Registered: .*scoring"):
        store.resolve(bound, "scorng")


def test_integer_customer_ids_in_labels_are_refused_with_the_remedy(bound: Settings) -> None:
    with pytest.raises(DataError, match="'customer_id' is Int64 in the labels"):
        store.training_frame(bound, pl.DataFrame({"customer_id": [3], "event_timestamp": [LATEST]}), names.SCORING)


def test_materialise_tells_each_view_and_moves_its_watermark(bound: Settings) -> None:
    told: list[tuple[str, int]] = []
    until = datetime.now(UTC)
    store.materialise(bound, until, lambda view, rows: told.append((view, rows)))
    assert sorted(told) == sorted((view.name, CUSTOMERS) for view in VIEWS)
    materialised = [view for view in store.open_store(bound).list_feature_views() if view.name != names.LIVE]
    assert {view.most_recent_end_time for view in materialised} == {until}


def test_applying_again_keeps_watermarks_and_drops_what_is_no_longer_declared(bound: Settings) -> None:
    feast = store.open_store(bound)
    before = {view.name: view.most_recent_end_time for view in feast.list_feature_views()}
    extra = FeatureView(
        name="extra",
        entities=[declare(VIEWS).entities["customer"]],
        schema=[Field(name="x", dtype=Float64)],
        source=FileSource(name="extra_source", path="extra.parquet", timestamp_field="event_timestamp"),
    )
    feast.apply([extra])
    frame = pl.DataFrame({"customer_id": ["3"], "event_timestamp": [LATEST], "x": [1.0]}).to_pandas()
    feast.write_to_online_store("extra", frame)
    store.apply(bound)
    after = store.open_store(bound)
    assert {view.name: view.most_recent_end_time for view in after.list_feature_views()} == before
    assert "extra_source" not in {source.name for source in after.list_data_sources()}
    with connect(bound) as client:
        assert list(client.scan_iter("shop/extra/*")) == []


def test_an_erased_customer_stays_erased_through_a_later_materialisation(bound: Settings) -> None:
    store.erase(bound, [7, "8"])
    store.materialise(bound)
    for rows in (
        read(bound, names.SCORING, ["7", "8", "9"]) | read(bound, names.RECOMMENDATION, ["7", "8", "9"])
    ).values():
        assert rows.status.tolist() == [Status.UNKNOWN, Status.UNKNOWN, Status.PRESENT]


def test_erase_finds_a_customer_by_the_pseudonym(bound: Settings, tmp_path: Path) -> None:
    keyed = replace(bound, home=tmp_path / "home", project="keyed", pseudonym_key="a secret of sixteen")
    key = Identity(keyed.pseudonym_key).join_key(7)
    store.apply(keyed)
    store.erase(keyed, [7])
    assert writing(keyed).erased([key, "7"]) == [True, False]


def test_materialising_before_apply_says_what_to_do(bound: Settings) -> None:
    with pytest.raises(StoreError, match="No view is registered"):
        store.materialise(replace(bound, project="empty"))


def test_a_failing_view_raises_and_keeps_its_watermark(bound: Settings, tmp_path: Path) -> None:
    settings = replace(bound, home=tmp_path / "home", project="failing")
    write_mart(settings, ["1"])
    store.apply(settings)
    (settings.mart / "rfm.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match="'rfm_snapshots' cannot be read"):
        store.materialise(settings)
    assert store.open_store(settings).get_feature_view("rfm").most_recent_end_time is None


def test_stale_outlives_its_time_to_live_by_the_grace(bound: Settings, tmp_path: Path) -> None:
    """A row that has just gone stale is still told from an unknown one."""
    assert min(view.ttl for view in VIEWS) > timedelta(0)
    settings = replace(bound, home=tmp_path / "home", project="late")
    write_mart(settings, ["1"], latest=LATEST - VIEWS[0].ttl - GRACE / 2)
    store.apply(settings)
    store.open_store(settings).materialize(LATEST - timedelta(days=365), datetime.now(UTC))
    assert read(settings, names.SCORING, ["1", "2"])["rfm"].status.tolist() == [Status.STALE, Status.UNKNOWN]


def test_an_erasure_reaches_a_customer_under_every_key_and_names_nobody_in_the_log(
    bound: Settings, tmp_path: Path
) -> None:
    settings = replace(
        bound,
        home=tmp_path / "home",
        project="twice",
        pseudonym_key="the key that comes after",
        previous_pseudonym_keys=("the key that was before", "none"),
    )
    store.apply(settings)
    told = store.erase(settings, ["anna@example.com"])
    assert told.complete
    assert writing(settings).erased(list(settings.identity.join_keys("anna@example.com"))) == [True] * 3
    begun, ended = audit.read(settings)
    assert (begun.action, begun.subject) == ("erase", f"begun, certificate {told.id}")
    assert (ended.action, ended.subject) == ("erase", f"ended, certificate {told.id}")
    log = (settings.home / audit.LOG).read_text()
    assert not any(key in log for key in ("anna", *settings.identity.join_keys("anna@example.com")))


def test_saved_data_sets_that_lie_elsewhere_are_known(bound: Settings, tmp_path: Path) -> None:
    settings = replace(bound, home=tmp_path / "home", project="saved")
    assert store.saved_elsewhere(settings) == []
    write_mart(settings, ["7", "9"])
    store.apply(settings)
    labels = pl.DataFrame({names.CUSTOMER_ID: ["7", "9"], "event_timestamp": [LATEST, LATEST]}).to_pandas()
    feast, place = store.open_store(settings), tmp_path / "elsewhere.parquet"
    job = feast.get_historical_features(labels, features=feast.get_feature_service(names.SCORING))
    feast.create_saved_dataset(job, "spring", SavedDatasetFileStorage(str(place)))
    assert store.saved_elsewhere(settings) == [place]
    store.erase(settings, ["7"])
    assert pl.read_parquet(place)[names.CUSTOMER_ID].to_list() == ["9"]
