"""What a materialisation will take, before it writes: rows, Redis' memory, time.

The rows are marked as a run would mark them. A sample of them is packed and lies in Redis for a moment, under a project
that no other has the name of: Redis itself says how much each takes.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Literal

import msgspec
import numpy as np
import polars as pl
import redis
from feast import FeatureStore, FeatureView
from feast.infra.common.materialization_job import MaterializationTask
from redis.cluster import RedisCluster

from feature_repo.mart.manifest import Manifest
from feature_repo.stores import rollout, runs, stream
from feature_repo.stores.engine import wanted_of
from feature_repo.stores.picks import Marks
from feature_repo.stores.rows import Packed, Packer
from feature_repo.stores.sources import open_view
from feature_repo.stores.state import settings_of, steadily
from motherlode.online import live
from motherlode.online.keys import complete_key, row_key

Kind = Literal["incremental", "full", "shadow"]
"""What is planned: the next run, all there is into what is read, or all there is beside it."""

SAMPLE: Final = 2000
"""Rows packed and weighed a view, at the most."""
_SLABS: Final = 4
"""Places that they are taken from."""
_SCRATCH_MS: Final = 60_000
"""When Redis forgets a sample by itself."""
_TABLE: Final = 20
"""Bytes a key in Redis' tables that MEMORY USAGE leaves out (measured: Valkey 9.1, 2,500 to 200,000 keys)."""
_EXPIRES: Final = 15
"""Likewise, of a key that expires."""
_MEMBER: Final = 48
"""Bytes of a member of a customer's set of row keys, beside the key itself."""
_BEGIN_S: Final = 0.05
"""Seconds that a view takes before its first row."""
_WRITER: Final = 200 << 20
"""Bytes: the most that batches, shares of keys and Parquet buffers took in the process that writes."""
_FULL: Final = 0.9
"""Share of the server's memory beyond which a run is warned of."""


class ViewPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What one view will take.

    Attributes:
        view: its name.
        rows: that will be sent.
        new: of these, how many Redis does not hold yet, as the sample says.
        row_bytes: Redis' memory a row, its key and its place in the tables included.
        bytes: that Redis' memory will grow by.
        seconds: wall time.
        by: what the time goes by: the view's "last run", or a "probe".
    """

    view: str
    rows: int
    new: int
    row_bytes: float
    bytes: int
    seconds: float
    by: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a materialisation will take.

    Attributes:
        kind: what is planned.
        views: each view's part.
        rows, bytes, seconds: of all; views share two cores, so their times add up.
        freed: bytes that go first: a shadow removes the generation that is kept for a rollback. An estimate.
        used, limit: Redis' memory now, and the most that it may take; `limit` is 0 where nobody knows.
        writer_bytes: the most that the writing process takes, above what it has when idle.
        warnings: what to look at before.
    """

    kind: Kind
    views: tuple[ViewPlan, ...]
    rows: int
    bytes: int
    seconds: float
    freed: int
    used: int
    limit: int
    writer_bytes: int
    warnings: tuple[str, ...]


def predict(store: FeatureStore, end: datetime, views: Sequence[FeatureView], kind: Kind) -> Plan:
    """Predict a materialisation.

    Args:
        store: Feast's.
        end: the last event time to take.
        views: which (`rollout.chosen`).
        kind: what is planned.

    Raises:
        StoreError, DataError: a view cannot be read or packed.
    """
    client = rollout.client_of(store)
    now = live.read(client, store.project)
    found = [steadily(store.config, partial(_view, store, view, end, kind)) for view in views]
    used, limit, policy = _memory(client)
    kept = {each.view for each in found if each.view in now.previous or each.view in now.shadows}
    freed = sum(round(each.row_bytes * each.rows) for each in found if each.view in kept) if kind == "shadow" else 0
    grows = sum(each.bytes for each in found)
    return Plan(
        kind=kind,
        views=tuple(found),
        rows=sum(each.rows for each in found),
        bytes=grows,
        seconds=sum(each.seconds for each in found),
        freed=freed,
        used=used,
        limit=limit,
        writer_bytes=_WRITER + max((each.rows for each in found), default=0),
        warnings=tuple(_warnings(grows - freed, used, limit, policy)),
    )


def _view(store: FeatureStore, view: FeatureView, end: datetime, kind: Kind, mart: Manifest) -> ViewPlan:
    began = time.perf_counter()
    client, project, packer = rollout.client_of(store), store.project, Packer(view)
    source = open_view(store.config, view, mart)
    source.require([*packer.keys, *(column.name for column in packer.schema.columns)])
    start = rollout.start_of(view, end) if kind == "incremental" else datetime(1970, 1, 1, tzinfo=UTC)
    generation = live.read(client, project).generation(view.name)
    whole = client.get(complete_key(project, view.name, generation)) != f"{packer.schema.fingerprint:016x}".encode()
    task = MaterializationTask(project, view, start, end)
    marks = stream.newest(source, packer.keys, wanted_of(task, packer, whole=whole))
    marking_s, rows = time.perf_counter() - began, int(marks.sum())
    if rows == 0:
        return ViewPlan(view=view.name, rows=0, new=0, row_bytes=0.0, bytes=0, seconds=marking_s, by="probe")
    frames = [frame for _, frame in stream.batches(source, _sample(marks), packer)]
    began = time.perf_counter()
    packed = packer.from_frame(pl.concat(frames))
    packing_s = time.perf_counter() - began
    weighed = _weigh(client, project, view.name, packed, indexed=packer.target.indexed)
    held = 0.0 if kind == "shadow" else _held(client, project, view.name, generation, packed.entities)
    new = round(rows * (1 - held))
    run = runs.read(settings_of(store.config)).get(view.name)
    a_row = max(packing_s, weighed.seconds) / len(packed.rows) if run is None else run.seconds / run.rows
    return ViewPlan(
        view=view.name,
        rows=rows,
        new=new,
        row_bytes=weighed.row_bytes,
        bytes=round(new * weighed.row_bytes),
        seconds=marking_s + _BEGIN_S + rows * a_row,
        by="probe" if run is None else "last run",
    )


def _sample(marks: Marks) -> Marks:
    """Some of the marked rows, from places all over the source."""
    numbers = np.flatnonzero(marks)
    if len(numbers) <= SAMPLE:
        return marks
    size = SAMPLE // _SLABS
    starts = np.linspace(0, len(numbers) - size, _SLABS).astype(np.int64)
    sampled = np.zeros_like(marks)
    for start in starts:
        sampled[numbers[start : start + size]] = True
    return sampled


@dataclass(frozen=True)
class _Weight:
    """Redis' memory a row, and the seconds that it took to write the sample."""

    row_bytes: float
    seconds: float


def _weigh(client: Any, project: str, view: str, packed: Packed, *, indexed: bool) -> _Weight:
    """Let Redis weigh rows; where it takes none, their lengths do."""
    scratch = f"{project}@plan"  # no project's name has an @
    # Of a key's name its length counts alone: the true project's name is as much shorter as this is longer.
    keys = [row_key(scratch, view, entity) for entity in packed.entities]
    names = sum(map(len, keys)) / len(keys) - len("@plan")
    outside = _TABLE + (0 if packed.forget_at_ms is None else _EXPIRES) + (names + _MEMBER if indexed else 0)
    try:
        began = time.perf_counter()
        with client.pipeline(transaction=False) as pipeline:
            for key, row in zip(keys, packed.rows, strict=True):
                pipeline.set(key, row, px=_SCRATCH_MS)
            pipeline.execute()
        seconds = time.perf_counter() - began
        with client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.memory_usage(key)
            usage = [found for found in pipeline.execute() if found is not None]
        with client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.unlink(key)
            pipeline.execute()
        if usage:
            return _Weight(sum(usage) / len(usage) - len("@plan") + outside, seconds)
    except redis.ResponseError:
        seconds = 0.0  # Redis is full, or does not let this user ask
    lengths = sum(map(len, packed.rows)) / len(packed.rows)
    return _Weight(lengths + names + 40 + outside, seconds)


def _held(client: Any, project: str, view: str, generation: int, entities: Sequence[str]) -> float:
    """The share of the entities that have a row already."""
    with client.pipeline(transaction=False) as pipeline:
        for entity in entities:
            pipeline.exists(row_key(project, view, entity, generation))
        return float(sum(pipeline.execute()) / len(entities))


def _memory(client: Any) -> tuple[int, int, str]:
    """Redis' memory in use, the most that it may use, and what it does then; of a cluster's primaries together."""
    if isinstance(client, RedisCluster):
        found: Any = client.info("memory", target_nodes=RedisCluster.PRIMARIES)
        nodes = list(found.values()) if "used_memory" not in found else [found]
    else:
        nodes = [client.info("memory")]
    limits = [node.get("maxmemory") or node.get("total_system_memory", 0) for node in nodes]
    return sum(node["used_memory"] for node in nodes), sum(limits), nodes[0].get("maxmemory_policy", "noeviction")


def _warnings(grows: int, used: int, limit: int, policy: str) -> list[str]:
    found = []
    if limit and used + grows > limit:
        found.append(
            f"Redis may use {limit / 2**20:,.0f} MiB and would need {(used + grows) / 2**20:,.0f}: "
            + ("it would refuse to write" if policy == "noeviction" else f"it would drop other keys ({policy})")
        )
    elif limit and used + grows > _FULL * limit:
        found.append(f"Redis would be {(used + grows) / limit:.0%} full.")
    if policy.startswith("allkeys"):
        found.append(f"Redis drops any key when it is full ({policy}): set maxmemory-policy to noeviction.")
    return found
