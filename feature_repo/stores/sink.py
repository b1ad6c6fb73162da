"""Writing for materialisation: one batch is packed while others are on their way to Redis, which works meanwhile.

All views of a run share one sink, and with it the bound on memory: so many batches are packed or under way at a time.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import BoundedSemaphore, Event, local
from typing import Final

import polars as pl

from feature_repo.stores.rows import Packed, Packer
from motherlode.errors import StoreError
from motherlode.online.writer import OnlineWriter, Target, Written

SENDERS: Final = 2
"""Threads that send: while Redis works for one, the other makes its next command."""

UNDER_WAY: Final = 4
"""Batches that are packed or sent at a time, of all views together."""

Done = Callable[[int, int], None]
"""Told how many rows are in, and the number of the source row up to which all of them are."""


class Sink:
    """Packs batches and hands them to threads that send them; `opened` makes one.

    Args:
        pool: the threads that send.
    """

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._room = BoundedSemaphore(UNDER_WAY)
        self._ended = Event()

    def end(self) -> None:
        """Let no view go on: somebody interrupts the run."""
        self._ended.set()

    def take(
        self,
        batches: Iterable[tuple[int, pl.DataFrame]],
        packer: Packer,
        writer: Callable[[], OnlineWriter],
        target: Target,
        done: Done,
    ) -> Written:
        """Pack and write a view's batches; when this returns they are in.

        Args:
            batches: each with the number of the source row that it goes up to (`stream.batches`).
            packer: the view's.
            writer: makes what writes: one a thread, since a writer knows what is live from call to call.
            target: the view's rows in Redis.
            done: called as batches are in, in their order.

        Raises:
            StoreError: the run was interrupted.
            redis.RedisError: the server is gone, or has no room. Batches before are written.
        """
        under_way: deque[tuple[int, int, Future[Written]]] = deque()
        total, writers = Written(), local()

        def write(packed: Packed) -> Written:
            if not hasattr(writers, "mine"):
                writers.mine = writer()
            written: Written = writers.mine.write(target, packed.entities, packed.rows, packed.forget_at_ms)
            return written

        try:
            for up_to, frame in batches:
                self._room.acquire()
                under_way.append((up_to, frame.height, self._pack(packer, frame, write)))
                if self._ended.is_set():
                    raise StoreError("The run was interrupted.", "Run it again: it goes on where it was.")
                while under_way and under_way[0][2].done():
                    total += _in(under_way, done)
            while under_way:
                total += _in(under_way, done)
        finally:
            for _, _, future in under_way:
                future.cancel()
        return total

    def _pack(self, packer: Packer, frame: pl.DataFrame, write: Callable[[Packed], Written]) -> Future[Written]:
        try:
            future = self._pool.submit(write, packer.from_frame(frame))
        except BaseException:  # also Ctrl-C: the place in the queue must be free again
            self._room.release()
            raise
        future.add_done_callback(lambda _: self._room.release())
        return future


@contextmanager
def opened() -> Iterator[Sink]:
    """A sink for the length of the block; what is under way when it ends is waited for."""
    with ThreadPoolExecutor(SENDERS, thread_name_prefix="materialise-send") as pool:
        yield Sink(pool)


def _in(under_way: deque[tuple[int, int, Future[Written]]], done: Done) -> Written:
    up_to, rows, future = under_way.popleft()
    written = future.result()
    done(rows, up_to)
    return written
