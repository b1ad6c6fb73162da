"""What one bundle's answers rest on, counted; and a sample of them for ages and drift."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from motherlode import names
from motherlode.api import Neighbours, Recommendation, Score
from motherlode.bundle import Bundle
from motherlode.online.reader import ViewRequest
from motherlode.packed import Status, ViewRows
from serving.sight import metrics as m
from serving.sight.counts import Family, Histogram, Series
from serving.sight.drift import SCORE, Window

_SAMPLED: Final = 256
"""Customers a second whose rows are looked at again, for ages and drift; one batch more where it is larger."""
_SAMPLES: Final = 32
"""Batches a second, of which that many customers may be."""
_NOTED: Final = "imputed: "
_ROW: Final[Mapping[int, str]] = {
    Status.STALE: m.STALE,
    Status.UNKNOWN: m.MISSING_ROW,
    Status.CORRUPT: m.CORRUPT,
}
_LESS: Final = ("stale", "degraded")
"""Statuses of answers that rest on less than everything."""
_STARTS: Final = ((" timeout", m.REDIS_TIMEOUT), (" connection", m.REDIS_CONNECTION))
UNSEEN: Final = ContextVar("unseen", default=False)
"""Whether nobody gets the answers at hand."""

Rows = Mapping[str, ViewRows]
Matrix = npt.NDArray[np.float32]
Answers = Sequence[Score | Recommendation]


@contextmanager
def unseen() -> Iterator[None]:
    """Around answers that nobody gets: they are not counted."""
    token = UNSEEN.set(True)
    try:
        yield
    finally:
        UNSEEN.reset(token)


@dataclass(frozen=True)
class _Sample:
    requests: Sequence[ViewRequest]
    rows: Rows
    answers: Answers
    at_us: int


class BundleSight:
    """What is seen of one bundle's answers.

    Args:
        bundle: the bundle.
        family: of a metric.
        reasons: why answers rest on less, counted.
        stage: see `Sight.stage`.
    """

    def __init__(
        self,
        bundle: Bundle,
        family: Callable[[m.Metric], Family],
        reasons: Mapping[str, Series],
        stage: Callable[[str, float], float],
    ) -> None:
        self.version = bundle.manifest.version
        self.created = datetime.fromisoformat(bundle.manifest.created_at).timestamp()
        self.window = Window(bundle)
        self.stage = stage
        self._family = family
        self._reasons = reasons
        self._answers: dict[tuple[str, str, str], Series] = {}
        self._batches: dict[str, Histogram] = {}
        self._ages: dict[str, Histogram] = {}
        self._samples: deque[_Sample] = deque()
        self._room, self._places = _SAMPLED, _SAMPLES

    def answered(self, route: str, answers: Answers, requests: Sequence[ViewRequest], rows: Rows, at_us: int) -> None:
        """N customers were scored, or recommended to.

        Args:
            route: which.
            answers: N of them.
            requests: what was asked of the store.
            rows: what it had, N rows a view.
            at_us: the time to judge ages by.
        """
        if UNSEEN.get():
            return
        self._batch(route).observe(len(answers))
        known = self._answers
        for i, each in enumerate(answers):
            status, source = each.status, each.source if isinstance(each, Recommendation) else ""
            counted = known.get((route, status, source))
            if counted is None:
                counted = self._counted(route, status, source)
            counted.value += 1
            if status in _LESS:
                self._blame({view.statuses[i] for view in rows.values()})
            for note in each.notes:
                if note.startswith(_NOTED):
                    self._reasons[m.IMPUTED].value += 1
        self._sample(requests, rows, answers, len(answers), at_us)

    def looked_up(
        self,
        route: str,
        n: int,
        requests: Sequence[ViewRequest],
        rows: Rows,
        at_us: int,
        hidden: Sequence[str | None] = (),
    ) -> None:
        """N customers' features were read; see `answered`.

        Args:
            route, requests, rows, at_us: see `answered`.
            n: how many.
            hidden: the status of whoever is told none of theirs, None of others; empty: all are told.
        """
        if UNSEEN.get():
            return
        self._batch(route).observe(n)
        if not hidden and not any(any(view.statuses) for view in rows.values()):  # PRESENT is 0
            self._count(route, "ok", "", n)
        else:
            each = zip(*(view.statuses for view in rows.values()), strict=True)
            for statuses, status in zip(each, hidden or [None] * n, strict=True):
                if status is None:
                    self._lookup(route, set(statuses))
                else:
                    self._count(route, status, "")
        self._sample(requests, rows, (), n, at_us)

    def failed(self, route: str, reason: str, n: int, source: str = "") -> None:
        """N customers are answered without features, because Redis gave none.

        Args:
            route: which.
            reason: as `UnavailableError` has it.
            n: how many.
            source: of the answers.
        """
        if UNSEEN.get():
            return
        self._batch(route).observe(n)
        self._count(route, "degraded", source, n)
        found = next((name for start, name in _STARTS if reason.startswith("redis" + start)), m.REDIS_OTHER)
        self._reasons[found].value += n

    def found(self, route: str, answers: Sequence[Neighbours]) -> None:
        """N items' neighbours were looked for."""
        if UNSEEN.get():
            return
        self._batch(route).observe(len(answers))
        for each in answers:
            self._count(route, each.status, "")
        self.late(sum(each.status == "degraded" for each in answers))

    def late(self, n: int) -> None:
        """N answers are not what they might be, since ranking took longer than it may."""
        if not UNSEEN.get():
            self._reasons[m.RANK_TIMEOUT].value += n

    def waited(self, since: float) -> None:
        """A batch begins that waited since `since`."""
        self.stage(m.QUEUE, since)

    def drain(self) -> None:
        """Take in what was sampled: ages and drift. Not on the event loop."""
        samples = [self._samples.popleft() for _ in range(len(self._samples))]
        self._room, self._places = _SAMPLED, _SAMPLES
        seen: dict[tuple[str, tuple[str, ...]], list[Matrix]] = {}
        for sample in samples:
            # Of whom there is no row at all: training saw none of those.
            known = ~np.all([rows.status == Status.UNKNOWN for rows in sample.rows.values()], axis=0)
            for request in sample.requests:
                rows = sample.rows[request.view]
                self._age(request.view, rows, sample.at_us)
                wanted = self._profiled(request)
                if wanted:
                    seen.setdefault((request.view, wanted), []).append(rows.matrix(wanted)[known])
        for (view, wanted), parts in seen.items():
            for name, values in zip(wanted, np.concatenate(parts).T, strict=True):
                self.window.add((view, name), values)
        self._scores([each for sample in samples for each in sample.answers])

    def _sample(self, requests: Sequence[ViewRequest], rows: Rows, answers: Answers, n: int, at_us: int) -> None:
        if n and self._room > 0 and self._places > 0:
            self._room -= n
            self._places -= 1
            self._samples.append(_Sample(requests, rows, answers, at_us))

    def _batch(self, route: str) -> Histogram:
        found = self._batches.get(route)
        if found is None:
            found = self._batches[route] = self._family(m.BATCH).histogram(route)
        return found

    def _count(self, route: str, status: str, source: str, n: int = 1) -> None:
        self._counted(route, status, source).value += n

    def _counted(self, route: str, status: str, source: str) -> Series:
        found = self._answers.get((route, status, source))
        if found is None:
            found = self._family(m.ANSWERS).of(route, self.version, status, source)
            self._answers[route, status, source] = found
        return found

    def _blame(self, statuses: set[int]) -> None:
        for status, reason in _ROW.items():
            if status in statuses:
                self._reasons[reason].value += 1

    def _lookup(self, route: str, statuses: set[int]) -> None:
        """One customer's status, as a score's would be."""
        if statuses == {Status.PRESENT}:
            self._count(route, "ok", "")
        elif statuses == {Status.UNKNOWN}:
            self._count(route, "cold", "")
        else:
            stale = Status.STALE in statuses and Status.CORRUPT not in statuses
            self._count(route, "stale" if stale else "degraded", "")
            self._blame(statuses)

    def _age(self, view: str, rows: ViewRows, at_us: int) -> None:
        found = self._ages.get(view)
        if found is None:
            found = self._ages[view] = self._family(m.AGE).histogram(view)
        for event_us in rows.events:
            if event_us:
                found.observe(max(0, at_us - event_us) / 1e6)

    def _profiled(self, request: ViewRequest) -> tuple[str, ...]:
        """The columns that training told of."""
        return tuple(each.name for each in request.columns if (request.view, each.name) in self.window.profiles)

    def _scores(self, answers: Answers) -> None:
        scored = [each for each in answers if isinstance(each, Score)]
        if not scored:
            return
        for model in [name for kind, name in self.window.profiles if kind == SCORE]:
            found: Sequence[float | None] = (
                [each.segment.id if each.segment else None for each in scored]
                if model == names.SEGMENTS
                else [each.scores.get(model) for each in scored]
            )
            self.window.add((SCORE, model), np.array([each for each in found if each is not None], dtype=np.float64))
