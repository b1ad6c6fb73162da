"""One measurement of every view: what the mart has of it, what Feast's registry says, what is online."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import polars as pl
import redis

from feature_repo.features.view import View
from feature_repo.freshness import online, registry
from feature_repo.freshness.online import OnlineView, Store, Stream
from feature_repo.freshness.registry import Registered
from feature_repo.mart import manifest, schedule, views
from feature_repo.mart.manifest import Built, Manifest
from motherlode import names, redis_server
from motherlode.errors import StoreError
from motherlode.online import live as generations
from motherlode.online.reader import now_us
from motherlode.settings import Settings


class Offline(msgspec.Struct, frozen=True, kw_only=True):
    """A view in the mart.

    Attributes:
        snapshots: how many times.
        rows: of all of them.
        built_at: when the newest rows were made, UTC.
        newest: the newest event time.
        entities: that have a row at that time.
    """

    snapshots: int
    rows: int
    built_at: datetime
    newest: datetime | None
    entities: int


class ViewFreshness(msgspec.Struct, frozen=True, kw_only=True):
    """One view.

    Attributes:
        name: of the view.
        ttl_s: its time to live, seconds; None: rows do not go stale.
        offline: None where it was not built.
        watermark: up to when Feast materialised it, UTC; None where it never did.
        lag_s: seconds that rows of the mart are newer than the watermark: what `motherlode materialize` would send;
            None where one of the two is not there.
        behind_s: seconds that the mart's newest event time is ahead of the newest online.
        online: None where the store does not answer.
        coverage: share of the mart's newest entities that have a row online; None where that cannot be told.
        probed: how many of them were looked for.
    """

    name: str
    ttl_s: float | None
    offline: Offline | None = None
    watermark: datetime | None = None
    lag_s: float | None = None
    behind_s: float | None = None
    online: OnlineView | None = None
    coverage: float | None = None
    probed: int = 0


class Freshness(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement.

    Attributes:
        at: when, UTC.
        project: the Feast project.
        views: those of the catalogue and the company's own, then others that Feast knows.
        store: None where the store does not answer.
        stream: events that wait; None where none ever came in, or the store does not answer.
        problem: why the store does not answer; "" where it does.
    """

    at: datetime
    project: str
    views: tuple[ViewFreshness, ...]
    store: Store | None = None
    stream: Stream | None = None
    problem: str = ""


class Mart:
    """What was found of each view in the mart, for as long as its files stay: who measures often reads them once."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Built, _Newest]] = {}

    def newest(self, settings: Settings, view: View, built: Built) -> "_Newest":
        """The newest snapshot of a view as it was built."""
        known = self._known.get(view.name)
        if known is None or known[0] != built:
            newest = _newest(settings, view) if built.pieces else _Newest(None, 0, ())
            known = self._known[view.name] = (built, newest)
        return known[1]


@dataclass(frozen=True)
class _Newest:
    """A view's newest snapshot.

    Attributes:
        at: its event time; None where there is none.
        entities: that have a row at that time.
        probes: some of them, at random where there are many.
    """

    at: datetime | None
    entities: int
    probes: Sequence[str]


def measure(settings: Settings, most_keys: int = online.KEYS, mart: Mart | None = None) -> Freshness:
    """Measure every view.

    Args:
        settings: bound to a server; where it is not, or the server does not answer, what is offline is measured.
        most_keys: keys of the store to walk over at the most.
        mart: what was found of the mart before; where it has not changed its files are not read again.

    Raises:
        DataError, StoreError: the mart or the registry cannot be read.
    """
    mart = Mart() if mart is None else mart
    at, built = datetime.now(UTC), manifest.read(settings)
    known = {each.name: each for each in views.load(settings)}
    registered = registry.read(settings)
    probes = {
        name: mart.newest(settings, view, built.views[name]).probes
        for name, view in known.items()
        if name in built.views
    }
    found = []
    for name in dict.fromkeys([*known, *registered]):
        told = registered.get(name) or Registered(ttl=known[name].ttl, watermark=None)
        offline = _offline(settings, known[name], built, mart) if name in known else None
        found.append(
            ViewFreshness(
                name=name,
                ttl_s=told.ttl.total_seconds() if told.ttl else None,
                offline=offline,
                watermark=told.watermark,
                lag_s=_lag(offline, told.watermark),
            )
        )
    result = Freshness(at=at, project=settings.project, views=tuple(found))
    if settings.redis_url is None:
        return msgspec.structs.replace(result, problem="No Redis is running.")
    try:
        with redis_server.connect(settings) as client:
            return _online(client, settings, result, probes, most_keys)
    except (redis.RedisError, StoreError, OSError) as error:
        return msgspec.structs.replace(result, problem=f"The online store cannot be measured: {error}.")


def _offline(settings: Settings, view: View, built: Manifest, mart: Mart) -> Offline | None:
    entry = built.views.get(view.name)
    if entry is None:
        return None
    newest = mart.newest(settings, view, entry)
    return Offline(
        snapshots=len(schedule.stood(view, built)),
        rows=entry.rows,
        built_at=entry.created_at,
        newest=newest.at,
        entities=newest.entities,
    )


def _newest(settings: Settings, view: View) -> _Newest:
    rows = manifest.scan(settings, view.name)
    at: datetime | None = rows.select(pl.col(names.EVENT_TIMESTAMP).max()).collect().item()
    if at is None:
        return _Newest(None, 0, ())
    keys = rows.filter(pl.col(names.EVENT_TIMESTAMP) == at).select(view.key).unique().collect().to_series()
    return _Newest(at, len(keys), keys.sample(min(len(keys), online.PROBES), seed=0).to_list())


def _lag(offline: Offline | None, watermark: datetime | None) -> float | None:
    if offline is None or offline.newest is None or watermark is None:
        return None
    return max(0.0, (max(offline.newest, offline.built_at) - watermark).total_seconds())


def _online(
    client: Any, settings: Settings, result: Freshness, probes: Mapping[str, Sequence[str]], most_keys: int
) -> Freshness:
    live, time = generations.read(client, settings.project), now_us()
    walks = online.walk(client, settings.project, most_keys)
    found = []
    for each in result.views:
        here = online.view(client, walks, settings.project, each.name, live, each.ttl_s, time)
        keys = probes.get(each.name, ())
        found.append(
            msgspec.structs.replace(
                each,
                online=here,
                behind_s=_behind(each.offline, here, time),
                coverage=online.coverage(client, settings.project, each.name, here.generation, keys),
                probed=len(keys),
            )
        )
    return msgspec.structs.replace(
        result,
        views=tuple(found),
        store=online.store(walks),
        stream=online.stream(client, settings.project, time),
    )


def _behind(offline: Offline | None, here: OnlineView, time_us: int) -> float | None:
    if offline is None or offline.newest is None or here.ages is None:
        return None
    return max(0.0, offline.newest.timestamp() - (time_us / 1e6 - here.ages.newest))
