"""The feature store as the other rooms use it: apply, materialise, training frames, erase."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import polars as pl
import yaml
from feast import FeatureService, FeatureStore, FeatureView
from feast.errors import FeastObjectNotFoundException
from feast.infra.common.materialization_job import MaterializationTask
from feast.repo_config import RepoConfig
from sqlalchemy import URL

from feature_repo.declared import declare
from feature_repo.mart import views
from feature_repo.stores import dtypes, leakage
from feature_repo.stores.engine import MotherlodeEngine
from feature_repo.stores.job import MotherlodeRetrievalJob
from feature_repo.warehouse import privacy, state
from motherlode import audit, names, redis_server
from motherlode.bundle import Service
from motherlode.errors import DataError, StoreError
from motherlode.online import OnlineWriter, ViewRequest, entity_text
from motherlode.packed import Column
from motherlode.settings import Settings

REPO: Final = Path(__file__).parent
_NAMED: Final = 100
"""Customers whose pseudonyms one audit entry lists; of more it tells the number."""


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
) -> None:
    """Bring every view's newest rows online, from where the last run ended; late rows too.

    While a pseudonym key is being replaced, erasures go on under the new key before any row is written under it.

    Args:
        settings: bound to a server, or the embedded Valkey runs for the life of this process.
        until: the last event time to take; now by default. A naive time is UTC.
        on_view: told each view's name and how many rows were sent, once it is done.

    Raises:
        StoreError, DataError: nothing is registered, or a view cannot be written. The views before it are done,
            and its own watermark has not moved.
    """
    store = open_store(settings)
    end = _aware(until or datetime.now(UTC))
    wanted = [view for view in store.list_feature_views() if view.online and view.enabled]
    if not wanted:
        raise StoreError(f"No view is registered in {settings.registry}.", "Run `feature_repo.store.apply` first.")
    engine = getattr(store.provider, "batch_engine", None)
    if not isinstance(engine, MotherlodeEngine):
        raise StoreError(f"The engine is a {type(engine).__name__}.", "Restore batch_engine in feature_store.yaml.")
    if settings.previous_pseudonym_keys:
        carry_erasures(settings, privacy.outside_ids(settings, state.read(settings)))
    for view in wanted:
        start = _start(view, end)
        task = MaterializationTask(settings.project, view, start, end)
        job = engine.run(task)
        if job.failure is not None:
            raise job.failure
        store.registry.apply_materialization(view, settings.project, start, end)
        if on_view is not None:
            on_view(view.name, job.rows)


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
        requests.append(ViewRequest(view.name, columns, None if ttl is None else ttl // 1_000_000))
    return Service(service, tuple(requests))


def erase(settings: Settings, customer_ids: Iterable[int | str]) -> None:
    """Forget customers online: a tombstone in every view, which no later materialisation replaces.

    They are forgotten under every pseudonym key that is current or previous. The tombstones lie in Redis alone: where
    Redis loses its data, erase again.

    Args:
        settings: bound to a server, or the embedded Valkey runs for the life of this process.
        customer_ids: as the company has them.
    """
    audit.check(settings)
    identity, erased = settings.identity, []
    with _writing(settings) as (writer, written):
        for customer_id in customer_ids:
            for key in identity.join_keys(customer_id):
                writer.erase(entity_text([key]), written)
            erased.append(identity.join_key(customer_id))
    who = {names.CUSTOMER_ID: ",".join(erased)} if len(erased) <= _NAMED else {}
    audit.record(settings, "erase", f"{len(erased)} customers online", **who)


def carry_erasures(settings: Settings, outside_ids: Sequence[str]) -> int:
    """Forget under the current pseudonym key whoever was forgotten under a previous one; returns how many.

    Args:
        settings: as in `erase`.
        outside_ids: every customer that may have rows.
    """
    now, *before = settings.identity.every_join_key_of(outside_ids)
    gone: set[str] = set()
    with _writing(settings) as (writer, written):
        for keys in before:
            erased = writer.erased([entity_text([key]) for key in keys], written)
            gone |= {key for key, is_erased in zip(now, erased, strict=True) if is_erased}
        for key in gone:
            writer.erase(entity_text([key]), written)
    return len(gone)


def remove_renamed(settings: Settings, outside_ids: Sequence[str]) -> int:
    """Remove the rows that customers have under previous pseudonym keys; returns how many there were.

    Args:
        settings, outside_ids: as in `carry_erasures`.
    """
    with _writing(settings) as (writer, written):
        _, *before = settings.identity.every_join_key_of(outside_ids)
        return sum(writer.remove([entity_text([key]) for key in keys], written) for keys in before)


@contextmanager
def _writing(settings: Settings) -> Iterator[tuple[OnlineWriter, list[str]]]:
    """A writer, and the views whose one join key is the customer's."""
    written = [view.name for view in _customer_views(open_store(settings))]
    with redis_server.connect(settings.with_redis(redis_server.ensure(settings))) as client:
        yield OnlineWriter(client, settings.project), written


def _customer_views(store: FeatureStore) -> Sequence[FeatureView]:
    """The views whose one join key is the customer's."""
    return [view for view in store.list_feature_views() if view.join_keys == [names.CUSTOMER_ID]]


def _service(store: FeatureStore, name: str) -> FeatureService:
    try:
        return store.get_feature_service(name)
    except FeastObjectNotFoundException as error:
        known = ", ".join(service.name for service in store.list_feature_services()) or "none"
        raise StoreError(f"There is no feature service {name!r}.", f"Registered: {known}.") from error


def _start(view: FeatureView, end: datetime) -> datetime:
    """Where a run begins: at the watermark, else as far back as a row can still be fresh."""
    if view.most_recent_end_time is not None:
        return _aware(view.most_recent_end_time)
    return end - view.ttl if view.ttl else datetime(1970, 1, 1, tzinfo=UTC)


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
