"""What serving calls to be seen: once a request, once a batch. Everything else happens beside it, each second."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import psutil

from motherlode.bundle import Bundle
from serving.sight import metrics as m
from serving.sight.answers import UNSEEN, BundleSight
from serving.sight.board import Board, Snapshot, bundles, merge, this
from serving.sight.counts import Family, Histogram, Series
from serving.sight.drift import SCORE, Window
from serving.sight.haproxy import HAProxy
from serving.sight.text import exposition

_log: Final = logging.getLogger(__name__)

_EVERY_S: Final = 1.0
_KEPT: Final = 2
"""Bundles besides the one that answers."""
GONE: Final = 499
"""The status of a request whose sender hung up, as nginx has it."""

Headers = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Health:
    """What stands beside the counts.

    Attributes:
        version, device: of the bundle that answers.
        refused: why the current bundle is refused.
        redis: whether it answers.
        waits: whether Redis is waited for: not where it did not answer again and again.
        fell_back: whether the CPU answers because CUDA failed.
        log_failing: whether the access log cannot be written.
        log_waiting: customers that wait to be written there.
        log_lost: requests that were not.
    """

    version: str
    device: str
    refused: str | None
    redis: bool
    waits: bool = True
    fell_back: bool = False
    log_failing: bool = False
    log_waiting: int = 0
    log_lost: int = 0


class Tracer(Protocol):
    """What traces requests: `serving.sight.tracing`, where an endpoint is named."""

    def begin(self, method: str, headers: Headers) -> Any:
        """A request begins; its route is known at its end."""

    def end(self, span: Any, route: str, status: int) -> None:
        """The same request is answered."""

    def stage(self, name: str, seconds: float) -> None:
        """A stage of the request at hand has ended."""

    def close(self) -> None:
        """Send what is left."""


class Sight:
    """One replica's counts.

    Args:
        folder: where replicas put them for one another; None: this one answers for itself.
        tracer: None: no traces.
        haproxy: where the socket lies that HAProxy tells its counts by; None: there is none.
    """

    def __init__(
        self, folder: Path | None = None, tracer: Tracer | None = None, haproxy: HAProxy | None = None
    ) -> None:
        self.tracer = tracer
        self._haproxy = haproxy
        self._kept_up = time.monotonic()
        self._families = {metric.name: Family(metric) for metric in m.METRICS}
        self._requests: dict[tuple[str, int], Histogram] = {}
        self._stages = {name: self._family(m.STAGES).histogram(name) for name in m.STAGE_NAMES}
        self._reasons = {name: self._family(m.DEGRADED).of(name) for name in m.REASONS}
        self._in_flight = self._family(m.IN_FLIGHT).of()
        for metric in (m.REFUSALS, m.SWAPS, m.CPU, m.LOG_LOST):
            self._family(metric).of()
        self._family(m.STARTS).of().value = 1
        self._board = None if folder is None else Board(folder)
        self._joined = False
        self._me = this()
        self._process = psutil.Process()
        self._seen: Health | None = None
        self._window: Window | None = None
        self._bundles: dict[str, BundleSight] = {}
        self._busy = asyncio.Lock()

    def begin(self, method: str, headers: Headers) -> tuple[float, Any]:
        """A request begins; `end` takes what this returns."""
        self._in_flight.value += 1
        span = None if self.tracer is None else self.tracer.begin(method, headers)
        return time.perf_counter(), span

    def end(self, begun: tuple[float, Any], route: str, status: int) -> None:
        """It is answered, or whoever asked is gone (`GONE`)."""
        began, span = begun
        self._in_flight.value -= 1
        counted = self._requests.get((route, status))
        if counted is None:
            counted = self._requests[route, status] = self._family(m.REQUESTS).histogram(route, str(status))
        counted.observe(time.perf_counter() - began)
        if span is not None and self.tracer is not None:
            self.tracer.end(span, route, status)

    def stage(self, name: str, began: float) -> float:
        """A stage that began at `time.perf_counter()` has ended; the time now."""
        now = time.perf_counter()
        if UNSEEN.get():
            return now
        self._stages[name].observe(now - began)
        if self.tracer is not None:
            self.tracer.stage(name, now - began)
        return now

    def kept_up(self) -> None:
        """Redis has all that the ledger of consents says."""
        self._kept_up = time.monotonic()

    def of(self, bundle: Bundle) -> "BundleSight":
        """What an engine tells of its answers."""
        made = BundleSight(bundle, self._family, self._reasons, self.stage)
        self._bundles[made.version] = made
        return made

    async def run(self, health: Callable[[], Awaitable[Health]]) -> None:
        """Tell the other replicas each second, for ever."""
        while True:
            try:
                await self.beat(await health())
            except Exception:  # noqa: BLE001 - whatever it is: without its beat a replica would be taken for dead
                _log.exception("Metrics failed.")
            await asyncio.sleep(_EVERY_S)

    async def beat(self, health: Health) -> None:
        """Take in what was sampled, and tell the other replicas."""
        async with self._busy:
            self._look(health)
            await asyncio.to_thread(self._drain)
            await asyncio.to_thread(self._tell, self._snapshot())
            answers = self._family(m.ANSWERS)
            if old := answers.values(m.BUNDLE_LABEL) - self._bundles.keys():
                answers.drop(m.BUNDLE_LABEL, old - await asyncio.to_thread(self._kept))

    async def text(self, health: Health) -> str:
        """All replicas' metrics, as Prometheus reads them."""
        await self.beat(health)
        return await asyncio.to_thread(self._text)

    def close(self) -> None:
        """Send the traces that are left."""
        if self.tracer is not None:
            self.tracer.close()

    def _family(self, metric: m.Metric) -> Family:
        return self._families[metric.name]

    def _look(self, health: Health) -> None:
        """What is not counted but so: the bundle, Redis, the process."""
        before, self._seen = self._seen, health
        if before is not None and before.version != health.version:
            self._family(m.SWAPS).of().value += 1
        if health.refused is not None and (before is None or before.refused != health.refused):
            self._family(m.REFUSALS).of().value += 1
        self._family(m.BUNDLE).clear()
        self._family(m.BUNDLE).of(health.version, health.device).value = 1
        self._family(m.BUNDLE_REFUSED).of().value = float(health.refused is not None)
        self._family(m.REDIS_UP).of().value = float(health.redis)
        self._family(m.BREAKER).of().value = float(not health.waits)
        self._family(m.FALLBACKS).of().value = float(health.fell_back)
        self._family(m.CONSENT_LAG).of().value = time.monotonic() - self._kept_up
        self._family(m.LOG_FAILING).of().value = float(health.log_failing)
        self._family(m.LOG_WAITING).of().value = health.log_waiting
        self._family(m.LOG_LOST).of().value = health.log_lost
        times = self._process.cpu_times()
        self._family(m.CPU).of().value = times.user + times.system
        self._family(m.MEMORY).of(f"{self._me[0]}-{self._me[1]}").value = self._process.memory_info().rss
        answering = self._bundles.get(health.version)
        if answering is not None:
            self._family(m.BUNDLE_CREATED).of().value = answering.created
            # The latest stay: one may be loaded that does not answer yet.
            for version in [each for each in self._bundles if each != health.version][:-_KEPT]:
                del self._bundles[version]

    def _drain(self) -> None:
        """Ages and drift of what was sampled, beside the event loop."""
        for each in list(self._bundles.values()):
            each.drain()
        answering = None if self._seen is None else self._bundles.get(self._seen.version)
        self._window = None if answering is None else answering.window

    def _snapshot(self) -> Snapshot:
        series = {name: family.now() for name, family in self._families.items()}
        window = self._window
        drift = [] if window is None else [(*name, counts.tolist()) for name, counts in window.counts.items()]
        version = "" if window is None else window.version
        return Snapshot(*self._me, time.time(), version, series, drift, list(self._bundles))

    def _tell(self, snapshot: Snapshot) -> None:
        self._latest = snapshot
        if self._board is None:
            return
        try:
            if not self._joined:
                self._board.join(snapshot)
                self._joined = True
            self._board.tell(snapshot)
        except OSError as error:
            _log.warning("Metrics are of one replica alone: %s", error.strerror)
            self._board = None

    def _kept(self) -> set[str]:
        """The bundles that some replica keeps."""
        return bundles([self._latest] if self._board is None else self._board.all()[0])

    def _text(self) -> str:
        living, gone = ([self._latest], []) if self._board is None else self._board.all()
        # By whoever is asked: it is one for all replicas.
        front = {} if self._haproxy is None else self._haproxy.series()
        return exposition(merge(living, gone) | self._indices(living) | front)

    def _indices(self, living: Sequence[Snapshot]) -> dict[str, list[Series]]:
        """The drift of the replicas that answer by the same bundle as this one."""
        window = self._window
        if window is None:
            return {}
        totals: dict[tuple[str, str], Any] = {}
        for each in living:
            if each.version == window.version:
                for view, feature, counts in each.drift:
                    if window.counts_so((view, feature), len(counts)):
                        totals[view, feature] = totals.get((view, feature), 0.0) + np.array(counts)
        found = window.indices(totals)
        most = max((float(each.sum()) for each in totals.values()), default=0.0)
        return {
            m.FEATURE_PSI.name: [Series(name, value) for name, value in found.items() if name[0] != SCORE],
            m.TRAINING_PSI.name: [Series(name, value) for name, value in window.moved().items()],
            m.NULL_SHARE.name: [
                Series(name, float(totals[name][-1] / totals[name].sum())) for name in found if name[0] != SCORE
            ],
            m.TRAINING_NULL_SHARE.name: [Series(name, value) for name, value in window.nulls().items()],
            m.SCORE_PSI.name: [Series(name[1:], value) for name, value in found.items() if name[0] == SCORE],
            m.DRIFT_CUSTOMERS.name: [Series((), most)],
        }
