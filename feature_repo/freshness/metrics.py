"""A measurement as Prometheus metrics, in its text exposition format 0.0.4."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from feature_repo.freshness.measure import Freshness, Offline, ViewFreshness
from feature_repo.freshness.online import Ages, OnlineView

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX: Final = "motherlode_"
_QUANTILES: Final[tuple[tuple[str, Callable[[Ages], float]], ...]] = (
    ("0", lambda ages: ages.newest),
    ("0.5", lambda ages: ages.p50),
    ("0.95", lambda ages: ages.p95),
    ("1", lambda ages: ages.longest),
)

Value = float | int | None
"""None: not known, and left out."""


@dataclass(frozen=True)
class _Gauge:
    """A gauge of every view.

    Attributes:
        name: behind `motherlode_feature_`.
        help: what it says.
        of: its value.
    """

    name: str
    help: str
    of: Callable[[ViewFreshness], Value]


def _online(of: Callable[[OnlineView], Value]) -> Callable[[ViewFreshness], Value]:
    return lambda it: None if it.online is None else of(it.online)


def _aged(of: Callable[[OnlineView], Value]) -> Callable[[ViewFreshness], Value]:
    """Of rows whose ages are known, where there are any."""
    return lambda it: None if it.online is None or it.online.ages is None else of(it.online)


def _offline(of: Callable[[Offline], Value]) -> Callable[[ViewFreshness], Value]:
    return lambda it: None if it.offline is None else of(it.offline)


def _seconds(time: datetime | None) -> float | None:
    return None if time is None else time.timestamp()


_VIEWS: Final = (
    _Gauge("online_rows", "Rows online of the generation that is read.", _online(lambda it: it.rows)),
    _Gauge(
        "online_rows_estimated",
        "Whether the number of rows is an estimate (1) or exact (0).",
        _online(lambda it: int(it.estimated)),
    ),
    _Gauge("coverage_ratio", "Share of the mart's newest entities that have a row online.", lambda it: it.coverage),
    _Gauge(
        "stale_ratio",
        "Share of online rows older than their time to live: they read as null.",
        _aged(lambda it: it.stale),
    ),
    _Gauge("expiring_ratio", "Share of online rows that go stale within a day.", _aged(lambda it: it.expiring)),
    # Where no row at all can be read, none has an age.
    _Gauge(
        "corrupt_ratio",
        "Share of online rows that cannot be read.",
        _online(lambda it: it.corrupt if it.rows else None),
    ),
    _Gauge("null_ratio", "Mean share of nulls over the view's features.", _online(lambda it: it.nulls)),
    _Gauge("memory_bytes", "Memory of all its generations, an estimate.", _online(lambda it: it.bytes)),
    _Gauge("generation", "The generation that is read.", _online(lambda it: it.generation)),
    _Gauge("ttl_seconds", "Time to live; absent where rows do not go stale.", lambda it: it.ttl_s),
    _Gauge("offline_rows", "Rows in the mart, of all snapshots.", _offline(lambda it: it.rows)),
    _Gauge("offline_entities", "Entities of the mart's newest snapshot.", _offline(lambda it: it.entities)),
    _Gauge(
        "offline_newest_timestamp_seconds",
        "The newest event time in the mart.",
        _offline(lambda it: _seconds(it.newest)),
    ),
    _Gauge("watermark_timestamp_seconds", "Up to when the view was materialised.", lambda it: _seconds(it.watermark)),
    _Gauge("watermark_lag_seconds", "How much newer the mart is than the watermark.", lambda it: it.lag_s),
    _Gauge(
        "behind_seconds", "How much newer the mart's newest event is than the newest online.", lambda it: it.behind_s
    ),
)


def exposition(found: Freshness) -> str:
    """The metrics as text, each with its HELP and TYPE; a value that is not known is left out."""
    return "".join(f"{line}\n" for line in _lines(found))


def _lines(found: Freshness) -> Iterator[str]:
    up = int(found.store is not None)
    yield from _family("online_up", "Whether the online store answers.", [("", up)])
    yield from _family("measured_timestamp_seconds", "When this was measured.", [("", found.at.timestamp())])
    if found.store is not None:
        yield from _family("online_keys", "Keys in the store, other projects' too.", [("", found.store.keys)])
        yield from _family("online_memory_bytes", "Memory that the store uses.", [("", found.store.bytes)])
        most = found.store.most_bytes or None
        yield from _family("online_memory_limit_bytes", "Its limit; absent where there is none.", [("", most)])
    if found.stream is not None:
        yield from _family("events_waiting", "Events that wait to be landed.", [("", found.stream.waiting)])
        yield from _family("events_oldest_seconds", "How long the oldest has waited.", [("", found.stream.oldest_s)])
    for gauge in _VIEWS:
        samples = [(_labels(view=each.name), gauge.of(each)) for each in found.views]
        yield from _family(f"feature_{gauge.name}", gauge.help, samples)
    yield from _family(
        "feature_age_seconds",
        "Seconds since the event times of online rows, by quantile; 0 is the newest row.",
        [
            (_labels(view=each.name, quantile=quantile), of(each.online.ages))
            for each in found.views
            if each.online and each.online.ages
            for quantile, of in _QUANTILES
        ],
    )
    yield from _family(
        "feature_most_null_ratio",
        "Share of nulls of the feature that lacks most.",
        [
            (_labels(view=each.name, feature=each.online.most_null), each.online.most_nulls)
            for each in found.views
            if each.online and each.online.most_null
        ],
    )


def _family(name: str, said: str, samples: list[tuple[str, Value]]) -> Iterator[str]:
    known = [(labels, value) for labels, value in samples if value is not None]
    if known:
        yield f"# HELP {_PREFIX}{name} {said}"
        yield f"# TYPE {_PREFIX}{name} gauge"
        for labels, value in known:
            yield f"{_PREFIX}{name}{labels} {float(value)!r}"


def _labels(**labels: str) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
