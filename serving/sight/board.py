"""Where replicas put their counts, so that whichever of them is asked answers for all.

Each replica writes a file of its own, whole or not at all, and never smaller counts than before. What a dead one had
counted goes on to be told: counters must not go back. A server that starts anew begins at nothing, as any does.
"""

import fcntl
import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec
import psutil

from serving.sight.counts import Labels, Series
from serving.sight.metrics import ANSWERS, BUNDLE_LABEL, METRICS, REPLICAS, Merge, Metric

FRESH_S: Final = 5.0
"""A replica that has not been heard of for longer answers nobody."""
_FORGOTTEN_S: Final = 3600.0
"""After which a replica on another machine is taken for dead; on this one its process is looked for."""
_GONE: Final = "gone"
"""The file of what dead replicas counted."""
_LOCK: Final = "lock"


class Snapshot(msgspec.Struct, frozen=True):
    """What one replica tells.

    Attributes:
        host, pid, started: which.
        at: when, seconds since 1970 UTC.
        version: of its bundle.
        series: by the metric's name.
        drift: counts by bin: view, feature, counts.
        bundles: those whose counts it keeps.
    """

    host: str
    pid: int
    started: float
    at: float
    version: str
    series: Mapping[str, Sequence[Series]]
    drift: Sequence[tuple[str, str, list[float]]] = ()
    bundles: Sequence[str] = ()

    @property
    def replica(self) -> str:
        """Its name."""
        return f"{self.host}-{self.pid}"


def this() -> tuple[str, int, float]:
    """Host, process and its start: of this replica."""
    return socket.gethostname(), os.getpid(), psutil.Process().create_time()


class Board:
    """The folder of a server's replicas.

    Args:
        folder: made where it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def join(self, snapshot: Snapshot) -> None:
        """A replica begins: what the dead left is put together; where all are dead, it is dropped.

        Raises:
            OSError: the folder cannot be written.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._locked(fcntl.LOCK_EX):
            found = {path: self._read(path) for path in self._files()}
            living = [path for path, each in found.items() if each is not None and _lives(each)]
            gone = [each for path, each in found.items() if each is not None and path not in living]
            if living:
                before = self._read(self._folder / _GONE)
                kept = counted([*gone, *([before] if before else [])], bundles([*map(found.get, living), snapshot]))
                self._write(_GONE, Snapshot("", 0, 0.0, 0.0, "", kept))
            else:
                (self._folder / _GONE).unlink(missing_ok=True)
            for path in found.keys() - set(living):
                path.unlink(missing_ok=True)
            self.tell(snapshot)

    def tell(self, snapshot: Snapshot) -> None:
        """Put a replica's counts in place of those before.

        Raises:
            OSError: they cannot be written.
        """
        self._write(f"{snapshot.replica}.json", snapshot)

    def all(self) -> tuple[list[Snapshot], list[Snapshot]]:
        """The replicas that answer, and those that do not any more.

        Raises:
            OSError: the folder cannot be read.
        """
        with self._locked(fcntl.LOCK_SH):
            found = [each for path in self._files() if (each := self._read(path)) is not None]
            before = self._read(self._folder / _GONE)
        now = time.time()
        fresh = [each for each in found if abs(now - each.at) <= FRESH_S]
        gone = [each for each in found if abs(now - each.at) > FRESH_S]
        return fresh, [*gone, *([before] if before else [])]

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("*.json"))

    def _read(self, path: Path) -> Snapshot | None:
        """A snapshot; None where there is none, or none that this release can read."""
        with suppress(FileNotFoundError, msgspec.DecodeError):
            return msgspec.json.decode(path.read_bytes(), type=Snapshot)
        return None

    def _write(self, name: str, snapshot: Snapshot) -> None:
        scratch = self._folder / f".{name}.{os.getpid()}"
        scratch.write_bytes(msgspec.json.encode(snapshot))
        scratch.replace(self._folder / name)

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        with (self._folder / _LOCK).open("a") as lock:
            fcntl.flock(lock, how)
            yield


def merge(living: Sequence[Snapshot], gone: Sequence[Snapshot]) -> dict[str, list[Series]]:
    """What all replicas together tell: gauges of the living, counts of all."""
    merged = counted([*living, *gone], bundles(living))
    for metric in METRICS:
        if metric.kind == "gauge":
            merged[metric.name] = _merged(metric, living)
    merged[REPLICAS.name] = [Series((), len(living))]
    return merged


def bundles(living: Iterable[Snapshot | None]) -> set[str]:
    """The bundles that one of the living keeps."""
    return {name for each in living if each is not None for name in (each.version, *each.bundles)}


def counted(snapshots: Sequence[Snapshot], kept: Set[str]) -> dict[str, list[Series]]:
    """Counters and histograms of all, added up.

    Args:
        snapshots: of all.
        kept: the bundles that are told of. Another's counts go as a whole, every replica's at once: a counter may go,
            but must not go back.
    """
    merged = {metric.name: _merged(metric, snapshots) for metric in METRICS if metric.kind != "gauge"}
    at = ANSWERS.labels.index(BUNDLE_LABEL)
    merged[ANSWERS.name] = [each for each in merged[ANSWERS.name] if each.labels[at] in kept]
    return merged


def _merged(metric: Metric, snapshots: Sequence[Snapshot]) -> list[Series]:
    merged: dict[Labels, Series] = {}
    for snapshot in snapshots:
        for each in snapshot.series.get(metric.name, ()):
            known = merged.get(each.labels)
            if known is None:
                merged[each.labels] = each.copy()
                continue
            known.value = _one(metric.merge, known.value, each.value)
            known.counts = [a + b for a, b in zip(known.counts, each.counts, strict=True)]
    return list(merged.values())


def _one(how: Merge, a: float, b: float) -> float:
    if how == "sum":
        return a + b
    return min(a, b) if how == "min" else max(a, b)


def _lives(snapshot: Snapshot) -> bool:
    if snapshot.host != socket.gethostname():
        return abs(time.time() - snapshot.at) <= _FORGOTTEN_S
    with suppress(psutil.Error):
        return bool(abs(psutil.Process(snapshot.pid).create_time() - snapshot.started) < 1.0)
    return False
