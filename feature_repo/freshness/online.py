"""What a bounded sample of the online store says of each view.

One walk of `SCAN` over at most `KEYS` keys serves all views. The order of a walk is that of a keyed hash, so the keys
that it meets first are a random sample: where it does not reach the end, counts are those met, scaled by `DBSIZE`. In a
cluster each primary has its share of the walk, and is read by its own connection.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from motherlode import redis_server
from motherlode.errors import SchemaError
from motherlode.events import position_of, stream_key
from motherlode.online.keys import entity_text, row_key, schema_key
from motherlode.online.live import Live
from motherlode.online.reader import mget
from motherlode.packed import HEADER_SIZE, Schema, Status, decode, event_us_of, fingerprint_of

KEYS: Final = 200_000
"""Keys walked at the most: about a second. A view that has a fiftieth of the keys is then counted to 1.6 %."""
HEADS: Final = 2_000
"""Rows a view whose ages are taken: a median to about 1 % of the ranks, a 95th centile to 0.5 %."""
ROWS: Final = 300
"""Rows a view that are read whole, for nulls."""
SIZES: Final = 50
"""Rows a view whose memory is asked for."""
PROBES: Final = 1_000
"""Entities of the mart a view that are looked for, for coverage: to 1.6 % at the worst, exact for fewer entities."""
_STEP: Final = 1_000
DAY_S: Final = 86_400


class Ages(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds since the event times of a view's rows.

    Attributes:
        p50, p95, longest: of the rows looked at.
        newest: of the newest of them.
    """

    p50: float
    p95: float
    longest: float
    newest: float


class OnlineView(msgspec.Struct, frozen=True, kw_only=True):
    """A view's rows of the generation that is read.

    Attributes:
        rows: how many.
        estimated: whether that is an estimate.
        sampled: how many of those looked at are of this format, so that their age is known.
        ages: of those; None where there are none.
        stale: share of those that is older than the time to live: read as null.
        expiring: share of those that will be so within a day.
        corrupt: share of all that cannot be read.
        nulls: mean share of nulls over the features.
        most_null, most_nulls: the feature that lacks most, and its share.
        bytes: memory of all its generations, an estimate.
        generation: the number that is read.
        shadow: the number that is being made beside it; None where there is none.
    """

    rows: int = 0
    estimated: bool = False
    sampled: int = 0
    ages: Ages | None = None
    stale: float = 0.0
    expiring: float = 0.0
    corrupt: float = 0.0
    nulls: float | None = None
    most_null: str = ""
    most_nulls: float = 0.0
    bytes: int = 0
    generation: int = 0
    shadow: int | None = None


class Store(msgspec.Struct, frozen=True, kw_only=True):
    """The servers that hold the rows, together.

    Attributes:
        keys: all keys, other projects' too.
        walked: keys met.
        bytes: memory used.
        most_bytes: the limit that is set; 0: none.
    """

    keys: int
    walked: int
    bytes: int
    most_bytes: int


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """Events that wait to be counted and landed.

    Attributes:
        waiting: how many.
        oldest_s: seconds that the oldest of them has waited; 0 where none does.
    """

    waiting: int
    oldest_s: float


@dataclass
class _Found:
    """One generation of a view, on one server.

    Attributes:
        keys: a random sample of its keys, `HEADS` at the most.
        met: how many were met.
    """

    keys: list[bytes] = field(default_factory=list)
    met: int = 0

    def meet(self, key: bytes, chance: random.Random) -> None:
        self.met += 1
        if len(self.keys) < HEADS:
            self.keys.append(key)
        elif (place := chance.randrange(self.met)) < HEADS:
            self.keys[place] = key


@dataclass
class Walk:
    """What a walk met on one server.

    Attributes:
        server: its own connection.
        keys: that it has.
        walked: that were met.
        whole: whether those were all.
        found: (view, generation) → its keys.
    """

    server: Any
    keys: int
    walked: int
    whole: bool
    found: Mapping[tuple[str, int], _Found]

    @property
    def scale(self) -> float:
        """Keys that one met stands for."""
        return 1.0 if self.whole or not self.walked else self.keys / self.walked


def walk(client: Any, project: str, most: int = KEYS) -> list[Walk]:
    """Walk over the keys of every server.

    Args:
        client: a connection that answers bytes, to one server or a cluster.
        project: whose rows to tell apart.
        most: keys to walk over, on all servers together.
    """
    servers = redis_server.servers(client)
    return [_walk(server, project, max(_STEP, most // len(servers))) for server in servers]


def _walk(server: Any, project: str, most: int) -> Walk:
    prefix, chance = f"{project}/".encode(), random.Random(0)
    found: dict[tuple[str, int], _Found] = defaultdict(_Found)
    seen: set[bytes] = set()
    cursor, keys = 0, int(server.dbsize())
    while True:
        cursor, batch = server.scan(cursor, count=_STEP)
        for key in batch:
            if key not in seen:  # a table that is being resized is met twice
                seen.add(key)
                if key.startswith(prefix) and (name := _named(key[len(prefix) :])):
                    found[name].meet(key, chance)
        if cursor == 0 or len(seen) >= most:
            return Walk(server, max(keys, len(seen)), len(seen), cursor == 0, found)


def _named(rest: bytes) -> tuple[str, int] | None:
    """(view, generation) of a row's key, from behind its project on; None for another key."""
    view, _, behind = rest.partition(b"/")
    generation, _, entity = behind.partition(b"/")
    if view.startswith(b"@") or not generation.isdigit() or not entity.startswith(b"{"):
        return None
    return view.decode(), int(generation)


def store(walks: Sequence[Walk]) -> Store:
    """The servers together."""
    memory = [each.server.info("memory") for each in walks]
    return Store(
        keys=sum(each.keys for each in walks),
        walked=sum(each.walked for each in walks),
        bytes=sum(int(each["used_memory"]) for each in memory),
        most_bytes=sum(int(each.get("maxmemory", 0)) for each in memory),
    )


def view(
    client: Any, walks: Sequence[Walk], project: str, name: str, live: Live, ttl_s: float | None, now_us: int
) -> OnlineView:
    """One view.

    Args:
        client: a connection that answers bytes, to one server or a cluster.
        walks: of every server.
        project: the Feast project.
        name: the view's.
        live: what is read.
        ttl_s: its time to live, seconds; None: rows do not go stale.
        now_us: to judge ages by, microseconds since 1970 UTC.
    """
    generation = live.generation(name)
    here = [(each, each.found[name, generation]) for each in walks if (name, generation) in each.found]
    rows = round(sum(each.scale * found.met for each, found in here))
    every = sum(each.scale * found.met for each in walks for (other, _), found in each.found.items() if other == name)
    sizes = np.concatenate([_sizes(each, found) for each, found in here] or [np.zeros(0)])
    result = OnlineView(
        rows=rows,
        estimated=any(not each.whole for each in walks),
        bytes=round(every * float(sizes.mean())) if len(sizes) else 0,
        generation=generation,
        shadow=live.shadows.get(name),
    )
    # Of several servers each has its part in the sample that it has in the rows.
    parts = [each.scale * found.met / max(rows, 1) for each, found in here]
    ages = np.concatenate(
        [_ages(each, _some(found.keys, HEADS * part), now_us) for (each, found), part in zip(here, parts, strict=True)]
        or [np.zeros(0)]
    )
    looked_at = [(each, _some(found.keys, ROWS * part)) for (each, found), part in zip(here, parts, strict=True)]
    corrupt, nulls = _nulls(client, looked_at, project)
    worst = max(nulls, key=lambda feature: nulls[feature], default="")
    result = msgspec.structs.replace(
        result,
        corrupt=corrupt,
        nulls=float(np.mean(list(nulls.values()))) if nulls else None,
        most_null=worst,
        most_nulls=nulls.get(worst, 0.0),
    )
    if not len(ages):
        return result
    limit = ttl_s or np.inf
    p50, p95 = np.percentile(ages, [50, 95])
    return msgspec.structs.replace(
        result,
        sampled=len(ages),
        ages=Ages(p50=float(p50), p95=float(p95), longest=float(ages.max()), newest=float(ages.min())),
        stale=float((ages > limit).mean()),
        expiring=float(((ages <= limit) & (ages > limit - DAY_S)).mean()),
    )


def _some(keys: list[bytes], most: float) -> list[bytes]:
    return keys[: max(1, round(most))]


def _ages(walked: Walk, keys: Sequence[bytes], now_us: int) -> npt.NDArray[np.float64]:
    """Seconds, of the rows that are still there and of this format."""
    with walked.server.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.getrange(key, 0, HEADER_SIZE - 1)
        events = [event for event in map(event_us_of, pipeline.execute()) if event is not None]
    return (now_us - np.array(events, dtype=np.float64)) / 1e6


def _sizes(walked: Walk, found: _Found) -> npt.NDArray[np.float64]:
    """Bytes a row, what Redis keeps beside it included."""
    with walked.server.pipeline(transaction=False) as pipeline:
        for key in found.keys[:SIZES]:
            pipeline.memory_usage(key)
        return np.array([size for size in pipeline.execute() if size is not None], dtype=np.float64)


def _nulls(client: Any, here: Sequence[tuple[Walk, list[bytes]]], project: str) -> tuple[float, dict[str, float]]:
    """The share of rows that cannot be read, and feature → share of nulls in the others."""
    every, rows = 0, defaultdict[int, list[bytes]](list)
    for walked, keys in here:
        with walked.server.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.get(key)
            for row in pipeline.execute():
                every += row is not None
                if row is not None and (mark := fingerprint_of(row)) is not None:
                    rows[mark].append(row)
    data = mget(client, [schema_key(project, mark) for mark in rows]) if rows else []
    read, present, null = 0, Counter[str](), Counter[str]()
    for mark, known in zip(rows, data, strict=True):
        if known is None:
            continue
        # A later version's schema: its rows cannot be read here, and no others.
        with suppress(msgspec.DecodeError, SchemaError):
            schema = Schema.from_json(known)
            decoded = decode(rows[mark], schema.columns, {mark: schema}, now_us=0)
            whole = decoded.status == Status.PRESENT
            read += int(whole.sum())
            for name, values in decoded.columns.items():
                present[name] += int(whole.sum())
                null[name] += int((whole & ~values.valid).sum())
    shares = {name: null[name] / count for name, count in present.items() if count}
    return (1 - read / every if every else 0.0), shares


def coverage(client: Any, project: str, name: str, generation: int, keys: Sequence[str]) -> float | None:
    """The share of entities that have a row online; None where none are asked for.

    Args:
        client: a connection that answers bytes, to one server or a cluster.
        project: the Feast project.
        name: the view's.
        generation: that is read.
        keys: join keys, of a view that has one.
    """
    if not keys:
        return None
    with client.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.exists(row_key(project, name, entity_text([key]), generation))
        return float(sum(pipeline.execute()) / len(keys))


def stream(client: Any, project: str, now_us: int) -> Stream | None:
    """The events that wait; None where no event ever came in."""
    key = stream_key(project)
    waiting = int(client.xlen(key))
    first = client.xrange(key, count=1) if waiting else []
    if not waiting and not client.exists(key):
        return None
    return Stream(waiting=waiting, oldest_s=(now_us - position_of(first[0][0])) / 1e6 if first else 0.0)
