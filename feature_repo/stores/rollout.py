"""Materialisation of a store's views: into what is read, or into a shadow that is compared and flipped to.

Feast's registry keeps each view's watermark. It moves after the data, view by view; after a flip, where there is a
shadow. A rollback leaves it: the generation that comes back is written whole by the next run.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import msgspec
import redis
from feast import FeatureStore, FeatureView
from feast.infra.common.materialization_job import MaterializationTask

from feature_repo.stores import runs, shadow
from feature_repo.stores.compare import Comparison, Thresholds, compare
from feature_repo.stores.engine import MotherlodeEngine, MotherlodeJob, Watch
from feature_repo.stores.online import MotherlodeOnlineStore
from feature_repo.stores.picks import NEVER
from feature_repo.stores.rows import Packer, micros
from feature_repo.stores.state import settings_of
from motherlode import audit, names
from motherlode.errors import StoreError
from motherlode.online import live
from motherlode.online.reader import now_us
from motherlode.online.writer import Target

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a shadow.

    Attributes:
        flipped: whether the new generations are read now.
        forced: whether they are in spite of refusals.
        comparisons: a view each.
    """

    flipped: bool
    forced: bool
    comparisons: tuple[Comparison, ...]

    @property
    def refused(self) -> bool:
        """Whether a view was found too different from what is read."""
        return any(each.refusals for each in self.comparisons)


def chosen(store: FeatureStore, wanted: Sequence[str] = ()) -> list[FeatureView]:
    """The views that are materialised: those named, or all; the live one is written by `motherlode stream` alone.

    Raises:
        StoreError: nothing is registered, or a view that is named is not.
    """
    views = [view for view in store.list_feature_views() if view.online and view.enabled and view.name != names.LIVE]
    if not views:
        raise StoreError(f"No view is registered in {store.config.registry.path}.", "Run `motherlode features` first.")
    known = {view.name: view for view in views}
    for name in wanted:
        if name not in known:
            raise StoreError(f"There is no view {name!r} to materialise.", f"Registered: {', '.join(sorted(known))}.")
    return [known[name] for name in dict.fromkeys(wanted)] if wanted else views


def engine_of(store: FeatureStore) -> MotherlodeEngine:
    """The store's engine.

    Raises:
        StoreError: it is another than ours.
    """
    engine = getattr(store.provider, "batch_engine", None)
    if not isinstance(engine, MotherlodeEngine):
        raise StoreError(f"The engine is a {type(engine).__name__}.", "Restore batch_engine in feature_store.yaml.")
    return engine


def start_of(view: FeatureView, end: datetime) -> datetime:
    """Where an incremental run begins: at the watermark, else as far back as a row can still be fresh."""
    if view.most_recent_end_time is not None:
        return aware(view.most_recent_end_time)
    return end - view.ttl if view.ttl else _EPOCH


def incrementally(
    store: FeatureStore,
    end: datetime,
    views: Sequence[FeatureView],
    watch: Watch | None = None,
    done: Callable[[MotherlodeJob], None] | None = None,
) -> list[MotherlodeJob]:
    """Bring views' rows online from where the last run ended; each view's watermark moves as soon as it is done.

    Args:
        store: Feast's.
        end: the last event time to take.
        views: which (`chosen`).
        watch: told how far each view is.
        done: told each view's job, once its watermark has moved.

    Returns:
        The jobs, in the order they ended.

    Raises:
        StoreError, DataError: a view cannot be written; the others are done, and its own watermark has not moved.
    """
    tasks = [MaterializationTask(store.project, view, start_of(view, end), end) for view in views]
    began, jobs = time.perf_counter(), []
    for job in engine_of(store).run(tasks, watch):
        if job.failure is None:
            store.registry.apply_materialization(job.task.feature_view, store.project, job.task.start_time, end)
            if done is not None:
                done(job)
        jobs.append(job)
    _raise(jobs)
    runs.record(settings_of(store.config), jobs, time.perf_counter() - began)
    return jobs


def beside(
    store: FeatureStore,
    end: datetime,
    views: Sequence[FeatureView],
    thresholds: Thresholds,
    *,
    force: bool = False,
    watch: Watch | None = None,
) -> Rollout:
    """Write views anew beside what is read, compare, and flip to the new generations or remove them.

    Whatever goes wrong leaves what is read as it was.

    Args:
        store: Feast's.
        end: the last event time to take.
        views: which; they flip all at once, or none does.
        thresholds: from where on a new generation should not be read.
        force: flip all the same.
        watch: told how far each view is.

    Raises:
        StoreError, DataError: a view cannot be written, or Redis has no room for both generations.
    """
    client, project, targets = client_of(store), store.project, targets_of(views)
    settings = settings_of(store.config)
    audit.check(settings)
    flipped = False
    numbers = shadow.begin(client, project, targets)
    try:
        jobs, seconds = _fill(store, end, views, numbers, watch)
        comparisons = tuple(
            compare(
                client,
                project,
                job.task.feature_view.name,
                (
                    live.read(client, project).generation(job.task.feature_view.name),
                    numbers[job.task.feature_view.name],
                ),
                partial(_held, job),
                thresholds,
            )
            for job in jobs
        )
        refused = any(each.refusals for each in comparisons)
        if not refused or force:
            shadow.flip(client, project, numbers)
            flipped = True
    except redis.OutOfMemoryError as error:
        raise StoreError(
            "Redis has no room for a second generation; what is read was not touched, and the shadow is gone.",
            "`motherlode plan --shadow` says how much it takes: raise maxmemory, or name some views.",
        ) from error
    finally:
        if not flipped:
            shadow.abandon(client, project, targets)
    if flipped:
        for job in jobs:
            store.registry.apply_materialization(job.task.feature_view, project, job.task.start_time, end)
        runs.record(settings, jobs, seconds)
        audit.record(settings, "flip", _named(numbers), forced="yes" if refused else "no")
    return Rollout(flipped=flipped, forced=refused and flipped, comparisons=comparisons)


def back(store: FeatureStore, views: Sequence[str] = ()) -> Mapping[str, int]:
    """Read again what was read before the last flip; returns view → the generation that is read now.

    Args:
        store: Feast's.
        views: which; by default all that have a previous generation.

    Raises:
        StoreError: there is none.
    """
    client, project, settings = client_of(store), store.project, settings_of(store.config)
    audit.check(settings)
    kept = sorted(view for view in live.read(client, project).previous if view != names.LIVE)
    wanted = chosen(store, views or kept or _none(project))
    since = {view.name: _watermark(view) for view in wanted}
    writer = _online(store).writer(store.config)
    numbers = shadow.rollback(client, project, targets_of(wanted), writer, since)
    audit.record(settings, "rollback", _named(numbers))
    return numbers


def clear(store: FeatureStore) -> int:
    """Remove shadows that killed runs left; how many rows. Whoever calls holds the lock of the pipeline's commands.

    Where a rollback was killed, nothing of what it was to restore goes.
    """
    left = [view for view in live.read(client_of(store), store.project).shadows if view != names.LIVE]
    known = [view for view in chosen(store) if view.name in left] if left else []
    return shadow.abandon(client_of(store), store.project, targets_of(known)) if known else 0


def drop(store: FeatureStore, views: Sequence[str] = ()) -> int:
    """Remove what is kept for a rollback, and what a killed shadow left; returns how many rows there were."""
    return shadow.drop_previous(client_of(store), store.project, targets_of(chosen(store, views)))


def targets_of(views: Sequence[FeatureView]) -> list[Target]:
    """The views' rows in Redis."""
    return [Packer(view).target for view in views]


def aware(time: datetime) -> datetime:
    """A naive time is UTC."""
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def _fill(
    store: FeatureStore, end: datetime, views: Sequence[FeatureView], numbers: Mapping[str, int], watch: Watch | None
) -> tuple[list[MotherlodeJob], float]:
    """Write shadows whole: what the offline store has, and what was pushed since the watermark.

    Returns:
        The jobs, and the seconds that all of them took.
    """
    began = time.perf_counter()
    tasks = [MaterializationTask(store.project, view, _EPOCH, end) for view in views]
    jobs = list(engine_of(store).run(tasks, watch, numbers))
    seconds = time.perf_counter() - began
    _raise(jobs)
    client, writer = client_of(store), _online(store).writer(store.config)
    now = live.read(client, store.project)
    for view, target in zip(views, targets_of(views), strict=True):
        since = _watermark(view)
        after = NEVER if since is None else since
        shadow.carry(client, store.project, target, writer, now.generation(view.name), after)
    return jobs, seconds


def _held(job: MotherlodeJob) -> int:
    return job.held(now_us())


def _raise(jobs: Sequence[MotherlodeJob]) -> None:
    for job in jobs:
        if job.failure is not None:
            raise job.failure


def _watermark(view: FeatureView) -> int | None:
    return None if view.most_recent_end_time is None else micros(view.most_recent_end_time)


def _none(project: str) -> list[str]:
    raise StoreError(
        f"No view of project {project!r} has a generation to roll back to.",
        "One is kept from a flip (`motherlode materialize --shadow`) until the next, or --drop-previous.",
    )


def _named(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{view} to generation {number}" for view, number in sorted(numbers.items()))


def _online(store: FeatureStore) -> MotherlodeOnlineStore:
    online = store.provider.online_store if hasattr(store.provider, "online_store") else None
    if not isinstance(online, MotherlodeOnlineStore):
        raise StoreError(f"The online store is a {type(online).__name__}.", "Restore it in feature_store.yaml.")
    return online


def client_of(store: FeatureStore) -> Any:
    """The online store's connection.

    Raises:
        StoreError: the online store is another than ours.
    """
    return _online(store).client(store.config)
