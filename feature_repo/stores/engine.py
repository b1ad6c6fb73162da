"""Feast's compute engine: materialisation as a stream of column batches, from Parquet to packed rows.

Feast's own engines hand an online store one protobuf a value; this one hands Polars columns to the packer, several
views at once (`feature_repo.stores.stream` reads, `feature_repo.stores.sink` writes).
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from threading import Lock
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa
from feast import Entity, FeatureView
from feast.infra.common.materialization_job import MaterializationJob, MaterializationJobStatus, MaterializationTask
from feast.infra.compute_engines.base import ComputeEngine
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel

from feature_repo.mart.manifest import Manifest
from feature_repo.stores import resume, sink, stream
from feature_repo.stores.join import EVENT
from feature_repo.stores.online import MotherlodeOnlineStore
from feature_repo.stores.picks import NEVER
from feature_repo.stores.rows import Packer, micros
from feature_repo.stores.sources import Source, open_view
from feature_repo.stores.state import steadily
from feature_repo.stores.stream import Wanted
from motherlode.errors import DataError, StoreError
from motherlode.online import live
from motherlode.online.keys import complete_key
from motherlode.online.reader import now_us
from motherlode.online.writer import Target, Written

VIEWS: Final = 4
"""Views that are materialised at a time, at the most."""

LATENESS: Final = timedelta(days=1)
"""How long after its created time a row may come to lie in its source. An incremental run looks for late rows
(old event time, new created time) from this long before its watermark, since a snapshot is stamped when its
build begins and lies there when it ends."""

_MINUTE_MS: Final = 60_000

Watch = Callable[[str, int, int], None]
"""Told a view, how many of its rows are in, and of how many; from any thread."""


class MotherlodeEngineConfig(FeastConfigBaseModel):
    """`batch_engine` of feature_store.yaml."""

    type: str = "feature_repo.stores.engine.MotherlodeEngine"


@dataclass
class MotherlodeJob(MaterializationJob):
    """One view's materialisation, over.

    Attributes:
        task: what was to be done.
        rows: how many rows were sent; those that were older than Redis' are among them, and those that an earlier run
            of the same work had sent before it was cut short.
        refused: how many of them are of customers who were erased.
        seconds: wall time.
        sent: how many rows this run itself sent.
        sending_s: wall time that it took them to be packed and written.
        forgotten: of a shadow's rows, how many Redis may forget by the end of each minute since 1970.
        failure: what went wrong; None where nothing did.
    """

    task: MaterializationTask
    rows: int = 0
    refused: int = 0
    seconds: float = 0.0
    sent: int = 0
    sending_s: float = 0.0
    forgotten: Mapping[int, int] = field(default_factory=dict)
    failure: Exception | None = None

    def held(self, now_us: int) -> int:
        """Rows that Redis must hold of those that were written: without those whose time is over."""
        over = sum(rows for minute, rows in self.forgotten.items() if minute * _MINUTE_MS * 1000 <= now_us)
        return max(0, self.rows - self.refused - over)

    def status(self) -> MaterializationJobStatus:
        return MaterializationJobStatus.ERROR if self.failure else MaterializationJobStatus.SUCCEEDED

    def error(self) -> BaseException | None:
        return self.failure

    def should_be_retried(self) -> bool:
        return False

    def job_id(self) -> str:
        return f"{self.task.feature_view.name}-{self.task.start_time}-{self.task.end_time}"

    def url(self) -> str | None:
        return None


class MotherlodeEngine(ComputeEngine):
    """Writes each entity's newest row of a range, where it is newer than the one in Redis."""

    @property
    def supports_batch(self) -> bool:
        """Feast then hands over all views at once, and one that fails keeps its watermark alone."""
        return True

    def update(
        self,
        project: str,
        views_to_delete: Sequence[Any],
        views_to_keep: Sequence[Any],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
    ) -> None:
        """Nothing to prepare."""

    def teardown_infra(self, project: str, fvs: Sequence[Any], entities: Sequence[Entity]) -> None:
        """Nothing to remove."""

    def materialize(
        self, registry: BaseRegistry, tasks: MaterializationTask | list[MaterializationTask], **kwargs: Any
    ) -> list[MaterializationJob]:
        """Feast moves the watermarks of views whose jobs come back without a failure: after the data."""
        wanted = [tasks] if isinstance(tasks, MaterializationTask) else list(tasks)
        jobs = {id(job.task): job for job in self.run(wanted)}
        return [jobs[id(task)] for task in wanted]

    def run(
        self,
        tasks: Sequence[MaterializationTask],
        watch: Watch | None = None,
        generations: Mapping[str, int] | None = None,
    ) -> Iterator[MotherlodeJob]:
        """Materialise views, several at once; what goes wrong with one comes back in its job.

        Args:
            tasks: a view and a range each.
            watch: told how far each view is.
            generations: the one to write of each view, alone; what is live and its shadow by default.

        Yields:
            Each view's job as soon as it is over.
        """
        passes = Lock()
        with sink.opened() as out, ThreadPoolExecutor(VIEWS, thread_name_prefix="materialise") as views:
            futures = [
                views.submit(self._one, task, _Run(out, passes, watch, (generations or {}).get(task.feature_view.name)))
                for task in tasks
            ]
            try:
                for future in as_completed(futures):
                    yield future.result()
            finally:
                # Whoever is interrupted, or wants no more jobs, does not wait for views to be written to their end.
                out.end()
                for future in futures:
                    future.cancel()

    def _one(self, task: MaterializationTask, run: "_Run") -> MotherlodeJob:
        began = time.perf_counter()
        try:
            job = steadily(self.repo_config, lambda mart: self._write(task, run, mart))
        except Exception as error:  # noqa: BLE001 - Feast raises it from the job, once the other views are done
            return MotherlodeJob(task, seconds=time.perf_counter() - began, failure=error)
        return replace(job, seconds=time.perf_counter() - began)

    def _write(self, task: MaterializationTask, run: "_Run", mart: Manifest) -> MotherlodeJob:
        """Write one view from one state of the mart."""
        store, view = self._store(), _plain(task.feature_view)
        packer, client = Packer(view), store.client(self.repo_config)
        source = open_view(self.repo_config, view, mart)
        source.require([*packer.keys, *(column.name for column in packer.schema.columns)])
        before = live.read(client, task.project).generation(view.name)
        target = packer.target if run.generation is None else replace(packer.target, generations=(run.generation,))
        generation = before if run.generation is None else run.generation
        mark, fingerprint = complete_key(task.project, view.name, generation), packer.mark
        held: Any = client.get(mark)
        wanted = wanted_of(task, packer, whole=held != fingerprint.encode())
        with run.passes, _readable(view.name):  # one view's keys are in memory at a time
            marks = stream.newest(source, packer.keys, wanted)
        checkpoint = resume.Checkpoint(client, task.project, generation, packer.schema, source, marks)
        began, forgotten = time.perf_counter(), Counter[int]()
        written = self._send(task, run, source, packer, target, checkpoint, forgotten)
        sending_s = time.perf_counter() - began
        after = before if run.generation is not None else live.read(client, task.project).generation(view.name)
        if after == before and (run.generation is not None or _continues(task) or not view.materialization_intervals):
            # Only now, as with the watermark: a run that was cut short leaves the view to be written again.
            client.set(mark, fingerprint)
        checkpoint.clear()
        return MotherlodeJob(
            task,
            checkpoint.total,
            written.refused,
            sent=checkpoint.total - checkpoint.sent,
            sending_s=sending_s,
            forgotten=forgotten,
        )

    def _send(
        self,
        task: MaterializationTask,
        run: "_Run",
        source: Source,
        packer: Packer,
        target: Target,
        checkpoint: resume.Checkpoint,
        forgotten: Counter[int],
    ) -> Written:
        """Pack and write the marked rows, from where an earlier run was cut short.

        A shadow's are counted in `forgotten` by when Redis may forget them.

        Raises:
            DataError: a column does not hold what the view declares, or cannot be read.
        """
        name, total = task.feature_view.name, checkpoint.total
        store = self._store()
        store.writer(self.repo_config).declare(packer.schema, target)
        bar = task.tqdm_builder(total) if task.tqdm_builder else None
        if bar is not None:
            bar.set_description_str(name)
        sent = checkpoint.sent

        def done(rows: int, up_to: int) -> None:
            nonlocal sent
            sent += rows
            checkpoint.reached(up_to)
            if bar is not None:
                bar.update(rows)
            if run.watch is not None:
                run.watch(name, sent, total)

        done(0, checkpoint.after)
        batches = stream.batches(source, checkpoint.marks, packer, checkpoint.after)
        if run.generation is not None:
            batches = _counted(batches, packer, forgotten)
        try:
            with _readable(name):
                return run.out.take(batches, packer, lambda: store.writer(self.repo_config), target, done)
        finally:
            if bar is not None:
                bar.close()

    def _store(self) -> MotherlodeOnlineStore:
        if not isinstance(self.online_store, MotherlodeOnlineStore):
            raise StoreError(
                f"The online store is a {type(self.online_store).__name__}.",
                "MotherlodeEngine writes to MotherlodeOnlineStore.",
            )
        return self.online_store


@dataclass(frozen=True)
class _Run:
    """What the views of one run share.

    Attributes:
        out: where their batches go.
        passes: held by the view whose keys are in memory.
        watch: told how far each is.
        generation: the one to write, alone; None: what is live, and its shadow.
    """

    out: sink.Sink
    passes: Any
    watch: Watch | None
    generation: int | None


@contextmanager
def _readable(view: str) -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, pa.ArrowException) as error:
        raise DataError(
            f"View {view!r} cannot be read as it is declared: {error}", "Correct the view or its source."
        ) from error


def _plain(view: Any) -> FeatureView:
    """A view whose rows lie in its source as they are.

    Raises:
        StoreError: the view has a transformation or aggregations, which this engine does not compute.
    """
    if getattr(view, "feature_transformation", None) is not None or getattr(view, "aggregations", None):
        raise StoreError(
            f"View {view.name!r} has a transformation.",
            "Compute it into the source (feature_repo/features), or use an on-demand view.",
        )
    found: FeatureView = view
    return found


def _counted(
    batches: Iterator[tuple[int, pl.DataFrame]], packer: Packer, forgotten: Counter[int]
) -> Iterator[tuple[int, pl.DataFrame]]:
    """The batches, and on their way by which minute their rows may be forgotten."""
    minute_us, kept_us = _MINUTE_MS * 1000, packer.horizon_us(0)
    for up_to, frame in batches:
        if kept_us is not None:
            ends = (frame[EVENT].to_numpy() - kept_us) // minute_us
            forgotten.update(dict(zip(*(found.tolist() for found in np.unique(ends, return_counts=True)), strict=True)))
        yield up_to, frame


def _continues(task: MaterializationTask) -> bool:
    """Whether the task goes on where the last one ended: an incremental run."""
    last = task.feature_view.most_recent_end_time
    return last is not None and micros(last) == micros(task.start_time)


def wanted_of(task: MaterializationTask, packer: Packer, *, whole: bool) -> Wanted:
    """Which rows a task is about.

    An incremental run takes late rows too, whatever their event time; and everything, where Redis holds none of
    the view's rows or holds them with other columns.

    Args:
        task: its range, both ends included.
        packer: the view's.
        whole: whether Redis lacks the view as it is now defined.
    """
    start, last, horizon = micros(task.start_time), micros(task.end_time), packer.horizon_us(now_us())
    if not _continues(task):
        return Wanted(start, last, None, horizon)
    if whole:
        return Wanted(NEVER, last, None, horizon)
    return Wanted(start, last, start - LATENESS // timedelta(microseconds=1), horizon)
