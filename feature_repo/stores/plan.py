"""What a materialisation will take, before it writes: rows, Redis' memory, time.

The rows are marked as a run would mark them. A sample of them is packed, and keys and values of the same lengths lie in
Redis for a moment, without what customers have in them: Redis itself says how much each takes.
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

from feature_repo.mart.manifest import Manifest
from feature_repo.stores import rollout, runs, stream
from feature_repo.stores.engine import wanted_of
from feature_repo.stores.picks import Marks
from feature_repo.stores.rows import Packed, Packer
from feature_repo.stores.sources import open_view
from feature_repo.stores.state import settings_of, steadily
from motherlode import redis_server
from motherlode.online import live
from motherlode.online.keys import complete_key, owner, row_key

Kind = Literal["incremental", "full", "shadow"]
"""What is planned: the next run, all there is into what is read, or all there is beside it."""

SAMPLE: Final = 2000
"""Rows packed and weighed a view, at the most."""
_SLABS: Final = 4
"""Places that they are taken from."""
_SCRATCH_MS: Final = 10_000
"""When Redis forgets a sample by itself, where this process is killed."""
# Bytes, measured with Valkey 9.1.2: `used_memory` before and after 2,500, 20,000 and 200,000 keys of 35 bytes.
_TABLE: Final = 20
"""A key's part of Redis' tables, that MEMORY USAGE leaves out: 13 to 16, and 20 to 48 of the few keys."""
_EXPIRES: Final = 15
"""Likewise, of a key that expires: 14."""
_SET: Final = 90
"""A customer's set of row keys, beside these: 85 of one, 99 of three, 107 of ten."""
_ROW: Final = 40
"""A row beside its key's name and its value: 39 to 44."""
_BEGIN_S: Final = 0.05
"""Seconds that a view takes beside marking and rows: its schema, its checkpoint, the first batch on its way. A guess
that matters for views of few rows alone."""
_WRITER: Final = 300_000_000
"""Bytes: the most that batches, shares of keys and Parquet buffers take in the process that writes. 17 views of 2,500
customers, 137,000 rows, took 152,000,000."""
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
        rows, bytes: of all.
        seconds: of all, added up. That is what runs before took as a whole (`runs.Run`); where views were probed alone,
            the most: it is less by what several at a time, on several cores, save.
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
    used, limit, policy = _memory(client)
    evicts = policy != "noeviction"
    found = [steadily(store.config, partial(_view, store, view, end, kind, evicts)) for view in views]
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


def _view(store: FeatureStore, view: FeatureView, end: datetime, kind: Kind, evicts: bool, mart: Manifest) -> ViewPlan:
    began = time.perf_counter()
    client, project, packer = rollout.client_of(store), store.project, Packer(view)
    source = open_view(store.config, view, mart)
    source.require([*packer.keys, *(column.name for column in packer.schema.columns)])
    start = rollout.start_of(view, end) if kind == "incremental" else datetime(1970, 1, 1, tzinfo=UTC)
    generation = live.read(client, project).generation(view.name)
    whole = client.get(complete_key(project, view.name, generation)) != packer.mark.encode()
    task = MaterializationTask(project, view, start, end)
    marks = stream.newest(source, packer.keys, wanted_of(task, packer, whole=whole))
    marking_s, rows = time.perf_counter() - began, int(marks.sum())
    if rows == 0:
        return ViewPlan(view=view.name, rows=0, new=0, row_bytes=0.0, bytes=0, seconds=marking_s, by="probe")
    frames = [frame for _, frame in stream.batches(source, _sample(marks), packer)]
    began = time.perf_counter()
    packed = packer.from_frame(pl.concat(frames))
    packing_s = time.perf_counter() - began
    weighed = _weigh(client, project, view.name, packed, indexed=packer.target.indexed, evicts=evicts)
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


def _weigh(client: Any, project: str, view: str, packed: Packed, *, indexed: bool, evicts: bool) -> _Weight:
    """Let Redis weigh keys and values as long as these; where it takes none, their lengths do.

    No customer's values are among them, and where Redis might push out others' for them they are not sent.
    """
    prefix, names = f"{project}/@plan/", [row_key(project, view, entity) for entity in packed.entities]
    keys = [prefix + str(i).zfill(max(0, len(name.encode()) - len(prefix))) for i, name in enumerate(names)]
    key_bytes = sum(len(name.encode()) for name in names) / len(names)
    outside: float = _TABLE + (0 if packed.forget_at_ms is None else _EXPIRES)
    if indexed:
        outside += key_bytes + _SET * len(set(map(owner, packed.entities))) / len(names)
    lengths = _Weight(sum(map(len, packed.rows)) / len(packed.rows) + key_bytes + _ROW + outside, 0.0)
    if evicts:
        return lengths
    try:
        try:
            began = time.perf_counter()
            with client.pipeline(transaction=False) as pipeline:
                for key, row in zip(keys, packed.rows, strict=True):
                    pipeline.set(key, bytes(len(row)), px=_SCRATCH_MS)
                pipeline.execute()
            seconds = time.perf_counter() - began
            with client.pipeline(transaction=False) as pipeline:
                for key in keys:
                    pipeline.memory_usage(key)
                usage = [found for found in pipeline.execute() if found is not None]
        finally:
            redis_server.unlink(client, keys)
    except redis.ResponseError:  # Redis is full, or does not let this user ask
        return lengths
    return _Weight(sum(usage) / len(usage) + outside, seconds) if usage else lengths


def _held(client: Any, project: str, view: str, generation: int, entities: Sequence[str]) -> float:
    """The share of the entities that have a row already."""
    with client.pipeline(transaction=False) as pipeline:
        for entity in entities:
            pipeline.exists(row_key(project, view, entity, generation))
        return float(sum(pipeline.execute()) / len(entities))


def _memory(client: Any) -> tuple[int, int, str]:
    """Redis' memory in use, the most that it may use, and what it does then; of a cluster's primaries together.

    Those without a limit of their own have their machine's memory, once a machine.
    """
    used, limit, policy, machines = 0, 0, "noeviction", dict[Any, int]()
    for server in redis_server.servers(client):
        found: Any = server.info("memory")
        used += found["used_memory"]
        limit += found.get("maxmemory", 0)
        if found.get("maxmemory"):
            policy = found.get("maxmemory_policy", policy)
        else:
            machine = server.connection_pool.connection_kwargs.get("host")
            machines[machine] = found.get("total_system_memory", 0)
    return used, limit + sum(machines.values()), policy


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
