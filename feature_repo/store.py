"""The feature store as the other rooms use it: apply, materialise, training frames, erase."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import polars as pl
import yaml
from feast import FeatureService, FeatureStore
from feast.errors import FeastObjectNotFoundException
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.repo_config import RepoConfig
from sqlalchemy import URL

from feature_repo.declared import declare
from feature_repo.erasure import job as erasing
from feature_repo.erasure.certificate import Certificate
from feature_repo.mart import views
from feature_repo.stores import dtypes, leakage, rollout
from feature_repo.stores import plan as planning
from feature_repo.stores.compare import Thresholds
from feature_repo.stores.engine import MotherlodeJob, Watch
from feature_repo.stores.job import MotherlodeRetrievalJob
from feature_repo.stores.plan import Kind, Plan
from feature_repo.stores.rollout import Rollout
from motherlode import names
from motherlode.errors import DataError, StoreError
from motherlode.manifest import Service
from motherlode.online.reader import ViewRequest
from motherlode.packed import Column
from motherlode.settings import Settings

REPO: Final = Path(__file__).parent


def open_store(settings: Settings) -> FeatureStore:
    """Feast's store on these settings: `feature_store.yaml` with the state folder's paths in it."""
    raw: dict[str, Any] = yaml.safe_load((REPO / "feature_store.yaml").read_text())
    raw["project"] = settings.project
    raw["registry"]["path"] = URL.create("sqlite", database=str(settings.registry)).render_as_string()
    raw["offline_store"] |= {"home": str(settings.home), "device": settings.device}
    raw["online_store"] |= {"home": str(settings.home), "redis_url": settings.redis_url}
    settings.home.mkdir(parents=True, exist_ok=True)
    config = RepoConfig(**raw)
    config.repo_path = REPO
    return FeatureStore(config=config)


def apply(settings: Settings) -> None:
    """Register the views of the mart, the company's own among them, and drop what is no longer there, rows included.

    Raises:
        DataError: a view of the company's own cannot be used (`feature_repo.mart.views.load`).
        StoreError: a declaration cannot be kept, naming it.
    """
    store, wanted = open_store(settings), declare(views.load(settings))
    declared: list[Any] = list(wanted.objects)
    kept = {thing.name for thing in (*declared, *(view.batch_source for view in wanted.views.values()))}
    registered: list[Any] = [*store.list_feature_services(), *store.list_feature_views(), *store.list_data_sources()]
    gone = [thing for thing in registered if thing.name not in kept]
    store.apply(declared, objects_to_delete=gone, partial=False)


def materialise(
    settings: Settings,
    until: datetime | None = None,
    on_view: Callable[[str, int], None] | None = None,
    *,
    views: Sequence[str] = (),
    watch: Watch | None = None,
) -> list[MotherlodeJob]:
    """Bring views' newest rows online, from where the last run ended; late rows too. Several views at once.

    Args:
        settings: bound to a server, or the embedded Valkey runs for the life of this process.
        until: the last event time to take; now by default. A naive time is UTC.
        on_view: told each view's name and how many rows were sent, once it is done.
        views: which; all by default.
        watch: told a view, how many of its rows are in, and of how many; from any thread.

    Returns:
        A job a view: rows sent, those refused because their customer was erased, seconds.

    Raises:
        StoreError, DataError: nothing is registered, or a view cannot be written. The others are done, and its own
            watermark has not moved.
    """
    store = open_store(settings)

    def done(job: MotherlodeJob) -> None:
        if on_view is not None:
            on_view(job.task.feature_view.name, job.rows)

    return rollout.incrementally(store, _until(until), rollout.chosen(store, views), watch, done)


def shadow(
    settings: Settings,
    until: datetime | None = None,
    *,
    views: Sequence[str] = (),
    thresholds: Thresholds | None = None,
    force: bool = False,
    watch: Watch | None = None,
) -> Rollout:
    """Write a new generation of views beside the one that is read, compare them, and flip or refuse.

    Args:
        settings, until, views, watch: as in `materialise`.
        thresholds: from where on a new generation should not be read; `Thresholds()` by default.
        force: flip all the same.

    Raises:
        StoreError, DataError: as in `materialise`, or Redis has no room for both. What is read was not touched.
    """
    store = open_store(settings)
    wanted = rollout.chosen(store, views)
    return rollout.beside(store, _until(until), wanted, thresholds or Thresholds(), force=force, watch=watch)


def rollback(settings: Settings, views: Sequence[str] = ()) -> Mapping[str, int]:
    """Read again what was read before the last flip of views, by default of all; view → its generation now.

    Raises:
        StoreError: there is none.
    """
    return rollout.back(open_store(settings), views)


def clear_shadows(settings: Settings) -> int:
    """Remove new generations that killed runs left beside what is read; how many rows there were.

    Call it where no shadow can be under way: under the lock of the pipeline's commands (`motherlode.lock.exclusive`).
    """
    return rollout.clear(open_store(settings))


def drop_previous(settings: Settings, views: Sequence[str] = ()) -> int:
    """Remove what is kept for a rollback of views, by default of all; how many rows there were."""
    return rollout.drop(open_store(settings), views)


def plan(settings: Settings, kind: Kind, until: datetime | None = None, *, views: Sequence[str] = ()) -> Plan:
    """What a materialisation will take of time and of Redis' memory, before it writes.

    Args:
        settings, until, views: as in `materialise`.
        kind: "incremental", "full" or "shadow".

    Raises:
        StoreError, DataError: nothing is registered, or a view cannot be read.
    """
    store = open_store(settings)
    return planning.predict(store, _until(until), rollout.chosen(store, views), kind)


def training_frame(
    settings: Settings,
    labels: pl.DataFrame,
    service: str,
    *,
    label: str | None = None,
    window_start: str | None = None,
) -> pl.DataFrame:
    """The features of each label as they were known at its time.

    Args:
        settings: whose mart, and on what device to join.
        labels: `customer_id` (the join key: what `settings.identity.join_key` makes of the company's id),
            `event_timestamp` (naive is UTC) and any columns of its own. `label_start` and `label_end`, where they are
            there, are the window that the label is measured over.
        service: the feature service: `names.SCORING`, `names.RECOMMENDATION` or `names.PORTRAIT`.
        label: the column that is predicted, `label` by default: it alone may be one that the mapping calls
            `after_outcome`.
        window_start: the column that says when the label's window starts, where it is not called `label_start`.

    Returns:
        Every label row once, in its order: its own columns, then the features as `view__feature`; null where
        the customer had none or they were older than their time to live.

    Raises:
        StoreError, DataError: the service is unknown, or the labels do not fit, or lack a column that is named; a
            label's window starts, or has ended, before its features end; the labels carry a column that is known only
            after the outcome.
    """
    if not isinstance(labels, pl.DataFrame):
        raise DataError(
            f"The labels are a {type(labels).__module__.partition('.')[0]} {type(labels).__name__}.",
            "Give a Polars DataFrame: pl.from_pandas(labels), or labels.collect() of a LazyFrame.",
        )
    if label is not None:
        leakage.require(labels, label)
    leakage.check_windows(labels, window_start)
    leakage.check_columns(settings, labels, label or names.LABEL)
    store = open_store(settings)
    asked = _service(store, service)
    _refuse_taken(labels, asked)
    job = store.get_historical_features(
        entity_df=labels,  # our store reads Polars; Feast only passes it on
        features=asked,
        full_feature_names=True,
    )
    if not isinstance(job, MotherlodeRetrievalJob):
        raise StoreError(
            f"The offline store answers a {type(job).__name__}.", "Restore offline_store in feature_store.yaml."
        )
    return labels.hstack(job.features())


def _refuse_taken(labels: pl.DataFrame, service: FeatureService) -> None:
    for projection in service.feature_view_projections:
        for field in projection.features:
            if (name := f"{projection.name_alias or projection.name}__{field.name}") in labels.columns:
                raise StoreError(f"The labels have a column {name!r}, and so is a feature called.", "Rename theirs.")


def resolve(settings: Settings, service: str) -> Service:
    """A feature service as a bundle keeps it: what to read online, with types and times to live.

    Raises:
        StoreError: the service is unknown.
    """
    store = open_store(settings)
    requests = []
    for projection in _service(store, service).feature_view_projections:
        view = store.get_feature_view(projection.name)
        columns = tuple(Column(field.name, dtypes.kind(view.name, field).packed) for field in projection.features)
        ttl = dtypes.ttl_us(view)
        requests.append(ViewRequest(view.name, columns, None if ttl is None else -(-ttl // 1_000_000)))
    return Service(service, tuple(requests))


def erase(
    settings: Settings,
    customer_ids: Sequence[int | str],
    *,
    verify: bool | None = None,
    on_step: Callable[[str], None] | None = None,
) -> Certificate:
    """Take customers out of the warehouse, the mart, saved data sets and the online store, and keep them out.

    Args:
        settings, customer_ids, verify, on_step: as in `feature_repo.erasure.job.erase`.

    Raises:
        DataError, StoreError: likewise.
    """
    return erasing.erase(settings, customer_ids, beside=saved_elsewhere(settings), verify=verify, on_step=on_step)


def saved_elsewhere(settings: Settings) -> list[Path]:
    """Where saved data sets lie that are not in the home folder."""
    if not settings.registry.is_file():
        return []
    storages = (each.storage for each in open_store(settings).list_saved_datasets())
    places = (storage.file_options.uri for storage in storages if isinstance(storage, SavedDatasetFileStorage))
    return [Path(place) for place in places if Path(place).is_absolute()]


def _service(store: FeatureStore, name: str) -> FeatureService:
    try:
        return store.get_feature_service(name)
    except FeastObjectNotFoundException as error:
        known = ", ".join(service.name for service in store.list_feature_services()) or "none"
        raise StoreError(f"There is no feature service {name!r}.", f"Registered: {known}.") from error


def _until(until: datetime | None) -> datetime:
    return rollout.aware(until or datetime.now(UTC))
