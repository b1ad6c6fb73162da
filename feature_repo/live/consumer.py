"""The consumer: events of the stream are counted into the view `live` at once, and landed in raw soon after.

What is counted and what is landed are each known by positions, in the rows and in the names of the segments; so an
event that is read again after a kill, of this process or of the server, is neither counted nor landed twice. It leaves
the stream when both are done.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import redis

from feature_repo.live.group import Group, NotMineError, Taken
from feature_repo.live.landing import Lander, Landing, living
from feature_repo.live.replay import drop_over, made_by, replay
from feature_repo.live.rows import LiveRows
from feature_repo.live.state import Positioned
from feature_repo.warehouse import events
from motherlode import redis_server
from motherlode.errors import StoreError
from motherlode.lock import exclusive
from motherlode.online.tombstones import Tombstones, restore
from motherlode.settings import Settings

LAND_S: Final = 10.0
"""Seconds that an event waits at most before it is landed."""
LAND_EVENTS: Final = 20_000
"""Events that are landed together at most."""
_READ: Final = 500
"""Events read at once: few enough that the first of them is not held up by the last."""
_HELD: Final = 3 * LAND_EVENTS
"""Events in memory above which reading waits for the disk."""
_GATHER_S: Final = 0.002
"""Seconds that the first event after a pause waits for others."""
_DELETED: Final = 200
"""Landed events that leave the stream at once, or as many as were read: half a millisecond of the server's."""
_BLOCK_MS: Final = 500
_TIMEOUT_S: Final = 5.0
_PAUSE_S: Final = 0.2
_GIVE_UP_S: Final = 60.0
"""Seconds that the store may fail again and again before it ends the consumer, where it is no lost connection."""
_LOCK: Final = "stream"
_STATE: Final = "state"
_NOTHING: Final = 2**53
"""A position that no event has."""
_PASSING: Final = ("NOGROUP", "UNBLOCKED", "CLUSTERDOWN", "LOADING", "NOSCRIPT")
"""What errors say that are over when the consumer has begun anew."""
_LOOK_S: Final = 1.0
"""Seconds between looks at how many events wait."""

_log: Final = logging.getLogger(__name__)


@dataclass
class Progress:
    """What a consumer has done since it began.

    Attributes:
        counted: events counted into rows.
        landed: events landed.
        nobodys: events of visitors whose customer is not known: landed, and in no row.
        erased: events of customers that were erased: neither.
        damaged: rows that cannot be read, each time one was met; a replay makes them anew.
        replayed: events counted by replays.
        backlog: events in the stream when it was last looked at.
        lag_s: how old the newest event was when it was counted.
        state: "waits" for another consumer to end, "reads", "reconnects", "replays".
    """

    counted: int = 0
    landed: int = 0
    nobodys: int = 0
    erased: int = 0
    damaged: int = 0
    replayed: int = 0
    backlog: int = 0
    lag_s: float = 0.0
    state: str = "waits"


OnProgress = Callable[[Progress], None]


def run(
    settings: Settings,
    stop: threading.Event,
    *,
    once: bool = False,
    anew: bool = False,
    land_s: float = LAND_S,
    on_progress: OnProgress = lambda _: None,
) -> Progress:
    """Consume events until `stop` is set. What was read is then landed, and leaves the stream.

    While another process consumes in this home, wait until it ends. Where the server goes away, wait until it is back;
    the embedded one is started again. Each error that is waited out is logged once.

    Args:
        settings: whose events.
        stop: set it to end, from a signal handler or another thread.
        once: end when no event is left, and when another process consumes.
        anew: first make the view anew from raw (`replay`).
        land_s: seconds that an event waits at most before it is landed.
        on_progress: told after every read.

    Raises:
        StoreError: there is no server at the start; with `once` or `anew`, another process consumes; the store fails
            for a minute, and not for a lost connection.
        DataError: an event cannot be landed, or raw cannot be read.
    """
    progress, troubles = Progress(), _Troubles()
    with _only(settings, stop, now=once or anew) as mine:
        met = False
        while mine and not (met and stop.is_set()):
            try:
                with redis_server.running(settings) as bound:
                    met = True
                    with redis_server.connect(bound, socket_timeout=_TIMEOUT_S) as client:
                        consumer = Consumer(client, bound, progress, stop, on_progress, land_s)
                        consumer.run(once=once, anew=anew)
                        return progress
            except NotMineError:
                if once or anew:
                    raise
                progress.state = "waits"
            except (StoreError, redis.RedisError) as error:
                if not met or not troubles.bear(error, anew=progress.state == "reads"):
                    raise
                progress.state = "reconnects"
            on_progress(progress)
            stop.wait(_PAUSE_S)
    return progress


class Consumer:
    """One connection's worth of consuming.

    Args:
        client: a connection that answers bytes, to one server or a cluster.
        settings: bound to it.
        progress: counted on.
        stop: ends it.
        on_progress: told after every read.
        land_s: seconds that an event waits at most before it is landed.
    """

    def __init__(
        self,
        client: Any,
        settings: Settings,
        progress: Progress,
        stop: threading.Event,
        on_progress: OnProgress = lambda _: None,
        land_s: float = LAND_S,
    ) -> None:
        self._client, self._settings = client, settings
        self._progress, self._stop, self._on_progress, self._land_s = progress, stop, on_progress, land_s
        self._tombstones = Tombstones(settings)
        self._rows = LiveRows(client, settings.project, settings.identity, self._tombstones.of_entity)
        self._group = Group(client, settings)
        self._lander = Lander(settings, self._tombstones)
        self._landed = 0
        self._events: list[Positioned] = []
        self._positions: list[int] = []
        self._since = 0.0
        self._landing: Landing | None = None
        self._over: deque[int] = deque()
        self._looked = 0.0
        self._cleaner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="dropping")
        self._dropping: Future[bool] | None = None
        self._clean = False

    def run(self, *, once: bool = False, anew: bool = False) -> None:
        """Take over what is not done, then consume until told to stop; see `consumer.run`."""
        try:
            last = self._take_over(anew)
            self._progress.state = "reads"
            while not self._stop.is_set():
                taken = self._group.take(_READ)
                last = max(last, taken.last)
                self._do(taken)
                self._land_if_due()
                self._delete(max(_DELETED, len(taken.events)))
                self._look()
                if once and not taken.last:
                    break
                if not once and len(taken.events) < _READ:
                    self._group.wait(last, 1 if self._over else _BLOCK_MS)
                    # What comes in meanwhile is counted together, for fewer round trips.
                    self._stop.wait(_GATHER_S)
            self._land_all()
            self._look(now=True)
        except redis.RedisError:
            # They were accepted: they are landed, whatever became of the server. What it kept is read again.
            self._save()
            raise
        finally:
            self._lander.close()
            self._cleaner.shutdown()

    def _take_over(self, anew: bool) -> int:
        """Do what was read before and is not done. Where the view is not what raw says, make it anew."""
        events.clear(self._settings)
        self._landed = events.landed_up_to(self._settings)
        self._group.prepare(self._landed)
        restore(self._client, self._settings.project, self._tombstones)
        last = self._group.done_up_to
        after: int | None = 0
        held = self._group.read(_STATE)
        # Where nothing has landed yet, rows may have been made otherwise all the same.
        if not anew and (self._landed or held is not None) and held != made_by(self._settings).encode():
            self._group.take(1, after=_NOTHING)  # the lease alone
            self._replay()
        self._rows.declare()
        self._group.note(_STATE, made_by(self._settings))
        while after is not None:
            taken = self._group.take(_READ, after=after)
            self._do(taken)
            after = taken.last or None
            last = max(last, taken.last)
        if anew or self._landed > max(last, self._group.done_up_to):
            # The server lost events that are landed, and so it lost what they were counted into.
            self._land_all()
            self._replay()
        return last

    def _replay(self) -> None:
        self._progress.state = "replays"
        before = self._progress.replayed

        def on_events(count: int) -> None:
            self._progress.replayed = before + count
            self._on_progress(self._progress)

        replay(self._client, self._settings, on_events)
        self._group.note("position", self._landed)
        self._rows.declare()  # of what is live now
        self._clean = False

    def _do(self, taken: Taken) -> None:
        """Count events, and have them wait to be landed."""
        if not taken.last:
            return
        progress = self._progress
        kept = living(self._tombstones, taken.events)
        counted = self._rows.count(kept)
        if not self._positions:
            self._since = time.monotonic()
        self._positions += sorted([position for position, _ in taken.events] + taken.gone)
        # What is landed already was read again: its landing was the last thing that the consumer before did.
        self._events += [each for each in kept if each[0] > self._landed]
        progress.counted += counted.events
        progress.damaged += counted.damaged
        progress.erased += len(taken.events) - len(kept) + counted.refused
        progress.nobodys += sum(event.customer_id is None for _, event in kept)
        progress.lag_s = max(0.0, time.time() - taken.last / 1e6)

    def _land_if_due(self) -> None:
        if self._landing is not None and self._landing.done.done():
            self._finish()
        if self._landing is not None and len(self._positions) > _HELD:
            self._finish()
        due = len(self._positions) >= LAND_EVENTS or time.monotonic() - self._since >= self._land_s
        if self._landing is None and self._positions and due:
            self._begin()

    def _land_all(self) -> None:
        self._finish()
        while self._positions:
            self._begin()
            self._finish()
        self._delete()

    def _begin(self) -> None:
        """Begin to land what waits."""
        positions = self._positions[:LAND_EVENTS]
        upto = positions[-1]
        found = [each for each in self._events if each[0] <= upto]
        self._positions = self._positions[LAND_EVENTS:]
        self._events = self._events[len(found) :]
        self._since = time.monotonic()
        self._landing = self._lander.land(found, positions)

    def _finish(self) -> None:
        """Wait for what is being landed; then it may leave the stream."""
        if self._landing is not None:
            self._progress.landed += self._landing.done.result()
            self._landed = max(self._landed, self._landing.positions[-1])
            self._over.extend(self._landing.positions)
            self._landing = None

    def _delete(self, most: int | None = None) -> None:
        """Have what is landed leave the stream, some at a time: reading is not to wait for it."""
        count = len(self._over) if most is None else min(most, len(self._over))
        if count:
            self._group.done([self._over[i] for i in range(count)])
            for _ in range(count):
                self._over.popleft()

    def _look(self, *, now: bool = False) -> None:
        """See how many events wait, every second."""
        if now or time.monotonic() - self._looked >= _LOOK_S:
            self._looked = time.monotonic()
            self._progress.backlog = self._group.waiting()
            self._on_progress(self._progress)
            self._drop_if_due()

    def _drop_if_due(self) -> None:
        """Have generations that are over be dropped by a thread of its own: looking for their rows takes a while."""
        if self._dropping is not None and self._dropping.done():
            self._clean, self._dropping = self._dropping.result(), None
        if not self._clean and self._dropping is None:
            self._dropping = self._cleaner.submit(
                drop_over, self._client, self._settings.project, lambda: not self._stop.is_set()
            )

    def _save(self) -> None:
        """Land what waits, without the server."""
        self._finish()
        while self._positions:
            self._begin()
            self._finish()


@contextmanager
def _only(settings: Settings, stop: threading.Event, *, now: bool) -> Iterator[bool]:
    """Be this home's only consumer for the length of the block; False where `stop` was set first.

    Raises:
        StoreError: with `now`, where another process is.
    """
    while True:
        try:
            holding = exclusive(settings, _LOCK)
            holding.__enter__()
        except StoreError:
            if now:
                raise
            if stop.wait(_PAUSE_S):
                yield False
                return
        else:
            break
    try:
        yield True
    finally:
        holding.__exit__(None, None, None)


class _Troubles:
    """Errors that may pass: each is logged once. One that is no lost connection is borne for a minute."""

    def __init__(self) -> None:
        self._told: set[str] = set()
        self._since: float | None = None

    def bear(self, error: StoreError | redis.RedisError, *, anew: bool) -> bool:
        """Whether to try again.

        Args:
            error: what it was.
            anew: whether the consumer had worked since the one before.
        """
        now = time.monotonic()
        if anew:
            self._told, self._since = set(), None
        if isinstance(error, redis.RedisError):
            if not _passes(error):
                return False
        elif not _lost(error.__cause__):
            self._since = now if self._since is None else self._since
            if now - self._since >= _GIVE_UP_S:
                return False
        if str(error) not in self._told:
            self._told.add(str(error))
            _log.warning("Events wait, and the consumer tries again: %s", error)
        return True


def _passes(error: redis.RedisError) -> bool:
    """Whether a server that failed so may answer in a while: it is away, is being replaced, or lost the group."""
    return _lost(error) or isinstance(error, redis.ReadOnlyError) or any(mark in str(error) for mark in _PASSING)


def _lost(error: BaseException | None) -> bool:
    """Whether an error is that of a connection that is gone; one that is refused for its password is not."""
    gone = isinstance(error, redis.ConnectionError | redis.TimeoutError | OSError)
    return gone and not isinstance(error, redis.AuthenticationError)
