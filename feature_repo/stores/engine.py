"""Feast's compute engine: materialisation as a stream of column batches, from Parquet to packed rows.

Feast's own engines hand an online store one protobuf a value; this one hands Polars columns to the packer,
and memory holds a slice of the rows, a share of the keys and a byte a row, never the view.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
from feast import Entity, FeatureView
from feast.infra.common.materialization_job import MaterializationJob, MaterializationJobStatus, MaterializationTask
from feast.infra.compute_engines.base import ComputeEngine
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel

from feature_repo.stores import dtypes
from feature_repo.stores.join import CREATED, EVENT, ROW
from feature_repo.stores.online import MotherlodeOnlineStore, complete_key
from feature_repo.stores.rows import Packer, micros
from feature_repo.stores.sources import Source, open_view
from motherlode.errors import DataError, StoreError
from motherlode.online import OnlineWriter, now_us

BATCH: Final = 20_000
"""Rows packed and written at a time."""

READ: Final = 200_000
"""Rows read at a time."""

SHARE: Final = 500_000
"""Rows among which the newest of each key is looked for at a time."""

LATENESS: Final = timedelta(days=1)
"""How long after its created time a row may come to lie in its source. An incremental run looks for late rows
(old event time, new created time) from this long before its watermark, since a snapshot is stamped when its
build begins and lies there when it ends."""


class MotherlodeEngineConfig(FeastConfigBaseModel):
    """`batch_engine` of feature_store.yaml."""

    type: str = "feature_repo.stores.engine.MotherlodeEngine"


@dataclass
class MotherlodeJob(MaterializationJob):
    """One view's materialisation, over.

    Attributes:
        task: what was to be done.
        rows: how many rows were read and sent; those that were older than Redis' are among them.
        failure: what went wrong; None where nothing did.
    """

    task: MaterializationTask
    rows: int = 0
    failure: Exception | None = None

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

    def _materialize_one(self, registry: BaseRegistry, task: MaterializationTask, **kwargs: Any) -> MotherlodeJob:
        """Feast moves the view's watermark when this comes back without a failure: after the data."""
        return self.run(task)

    def run(self, task: MaterializationTask) -> MotherlodeJob:
        """Materialise one view; what goes wrong comes back in the job."""
        try:
            return MotherlodeJob(task, rows=self._write(task))
        except Exception as error:  # noqa: BLE001 - Feast raises it from the job, once the other views are done
            return MotherlodeJob(task, failure=error)

    def _write(self, task: MaterializationTask) -> int:
        """Write one view; returns how many rows were sent."""
        store = self.online_store
        if not isinstance(store, MotherlodeOnlineStore):
            raise StoreError(
                f"The online store is a {type(store).__name__}.", "MotherlodeEngine writes to MotherlodeOnlineStore."
            )
        view = _plain(task.feature_view)
        packer = Packer(view)
        source = open_view(self.repo_config, view)
        source.require([*packer.keys, *(column.name for column in packer.schema.columns)])
        client = store.client(self.repo_config)
        mark, fingerprint = complete_key(task.project, view.name), f"{packer.schema.fingerprint:016x}"
        held: Any = client.get(mark)
        wanted = _wanted(task, packer, whole=held != fingerprint.encode())
        sent = _send(source, wanted, packer, store.writer(self.repo_config), task)
        if _continues(task) or not view.materialization_intervals:
            # Only now, as with the watermark: a run that was cut short leaves the view to be written again.
            client.set(mark, fingerprint)
        return sent


def _send(source: Source, wanted: pl.Expr, packer: Packer, writer: OnlineWriter, task: MaterializationTask) -> int:
    """Pack and write each key's newest row of those wanted, a batch at a time; returns how many there were.

    Raises:
        DataError: a column does not hold what the view declares.
    """
    name = task.feature_view.name
    newest = _newest(source, packer.keys, wanted)
    total = int(newest.sum())
    writer.declare(packer.schema)
    with closing(task.tqdm_builder(total)) if task.tqdm_builder else nullcontext() as bar:
        if bar is not None:
            bar.set_description_str(name)
        try:
            for batch in _batches(source, newest, packer):
                packed = packer.from_frame(batch)
                writer.write(name, packed.entities, packed.rows, packed.forget_at_ms)
                if bar is not None:
                    bar.update(batch.height)
        except pl.exceptions.PolarsError as error:
            raise DataError(
                f"View {name!r} cannot be read as it is declared: {error}", "Correct the view or its source."
            ) from error
    return total


def _newest(source: Source, keys: Sequence[str], wanted: pl.Expr) -> npt.NDArray[np.bool_]:
    """Which rows of the source are their key's newest, of those wanted; shape (rows of the source,).

    Keys are looked at a share at a time, by their hash, so that memory holds a share and one byte a row.
    """
    times = source.frame.select(source.event_us(), source.created_us())
    n, considered = times.select(pl.len(), wanted.sum()).collect(engine="streaming").row(0)
    shares = 1 + considered // SHARE if keys else 1
    newest = np.zeros(n, dtype=np.bool_)
    for share in range(shares):
        mine = wanted if shares == 1 else wanted & (pl.struct(keys).hash() % shares == share)
        rows = source.newest(keys, mine).select(ROW).collect(engine="streaming")
        newest[rows[ROW].to_numpy()] = True
    return newest


def _batches(source: Source, newest: npt.NDArray[np.bool_], packer: Packer) -> Iterator[pl.DataFrame]:
    """The newest rows, a batch at a time, in the packer's types."""
    features = [pl.col(column.name).cast(dtypes.polars_type(column.dtype)) for column in packer.schema.columns]
    rows = source.frame.select(
        source.event_us(), source.created_us(), *packer.keys, *(column.name for column in packer.schema.columns)
    )
    for start in range(0, len(newest), READ):
        marks = newest[start : start + READ]
        if marks.any():
            # Not `collect_batches`: it runs ahead of its reader and holds what it has read.
            read = rows.slice(start, READ).collect(engine="streaming")
            yield from read.filter(pl.Series(marks)).with_columns(features).iter_slices(BATCH)


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


def _continues(task: MaterializationTask) -> bool:
    """Whether the task goes on where the last one ended: an incremental run."""
    last = task.feature_view.most_recent_end_time
    return last is not None and micros(last) == micros(task.start_time)


def _wanted(task: MaterializationTask, packer: Packer, *, whole: bool) -> pl.Expr:
    """Which rows a task is about, of EVENT and CREATED.

    An incremental run takes late rows too, whatever their event time; and everything, where Redis holds none of
    the view's rows or holds them with other columns.

    Args:
        task: its range, both ends included.
        packer: the view's.
        whole: whether Redis lacks the view as it is now defined.
    """
    start = micros(task.start_time)
    wanted = pl.col(EVENT) >= start
    if _continues(task):
        late = pl.col(CREATED) > start - LATENESS // timedelta(microseconds=1)
        wanted = pl.lit(True) if whole else wanted | late.fill_null(False)
    wanted = wanted & (pl.col(EVENT) <= micros(task.end_time))
    horizon = packer.horizon_us(now_us())
    return wanted if horizon is None else wanted & (pl.col(EVENT) > horizon)
