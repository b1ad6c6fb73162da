"""Requests that arrive while others are being answered are answered together; one alone waits for nobody."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Iterator, Sequence
from contextvars import Context, copy_context
from itertools import accumulate, pairwise
from typing import Generic, NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)
Q = TypeVar("Q")
A = TypeVar("A")

Run = Callable[[K, Sequence[Sequence[Q]], float], Awaitable[Sequence[A]]]
"""From a kind, N requests' questions and when the first of them came, by `time.perf_counter`, to N answers in order."""


def bounds(asked: Sequence[Sequence[object]]) -> Iterator[tuple[int, int]]:
    """Where each request's questions begin and end in all of them, one behind the other."""
    return pairwise(accumulate(map(len, asked), initial=0))


class _Waiting(NamedTuple, Generic[Q, A]):
    """A request that waits.

    Attributes:
        questions: its own.
        future: where its answer goes.
        since: on the clock of `time.perf_counter`.
        context: its own, for traces.
    """

    questions: Sequence[Q]
    future: asyncio.Future[A]
    since: float
    context: Context


def _nobody(_: float) -> None:
    """Nobody wants to know."""


class _Queue(Generic[Q, A]):
    """What waits of one kind."""

    def __init__(self) -> None:
        self.running = 0
        self.waiting: list[_Waiting[Q, A]] = []


class Batcher(Generic[K, Q, A]):
    """Answers requests of one kind by one call while they queue, and at once while they do not.

    Args:
        run: the call. What it raises is raised to every request of its batch.
        most: questions a batch, unless one request has more; or what says so whenever a batch is made.
        waited: told of each batch that had to wait since when its first request did, by `time.perf_counter`.
        at_once: batches of one kind under way. One, where they are computed in the event loop: a second only makes both
            smaller, and each request dearer by a fifth, with 4 clients as with 16. More, where threads compute.
    """

    def __init__(
        self,
        run: Run[K, Q, A],
        most: int | Callable[[], int],
        waited: Callable[[float], object] = _nobody,
        at_once: int = 1,
    ) -> None:
        self._run = run
        self._most = most
        self._waited = waited
        self._at_once = at_once
        self._queues: dict[K, _Queue[Q, A]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, kind: K, questions: Sequence[Q]) -> A:
        """The answer to one request.

        Args:
            kind: what requests must share to be answered together.
            questions: the request's.
        """
        queue = self._queues.setdefault(kind, _Queue())
        if queue.running < self._at_once:
            queue.running += 1
            try:
                (answer,) = await self._run(kind, [questions], time.perf_counter())
                return answer
            finally:
                self._next(kind, queue)
        future: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        queue.waiting.append(_Waiting(questions, future, time.perf_counter(), copy_context()))
        return await future

    def _next(self, kind: K, queue: _Queue[Q, A]) -> None:
        """A place is free: begin a batch of those that wait."""
        queue.waiting = [each for each in queue.waiting if not each.future.done()]  # whoever asked may have gone
        if queue.waiting:
            batch = self._take(queue)
            task = asyncio.create_task(self._batch(kind, queue, batch), context=batch[0].context)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        queue.running -= 1
        if not queue.running:
            self._queues.pop(kind, None)

    async def _batch(self, kind: K, queue: _Queue[Q, A], batch: Sequence[_Waiting[Q, A]]) -> None:
        self._waited(batch[0].since)
        try:
            answers = await self._run(kind, [each.questions for each in batch], batch[0].since)
        except Exception as error:  # noqa: BLE001 - it is raised where the requests wait
            for each in batch:
                if not each.future.done():
                    each.future.set_exception(error)
        else:
            for each, answer in zip(batch, answers, strict=True):
                if not each.future.done():
                    each.future.set_result(answer)
        finally:
            self._next(kind, queue)

    def _take(self, queue: _Queue[Q, A]) -> list[_Waiting[Q, A]]:
        """The first that wait, as many as make a batch."""
        size, count = 0, 0
        most = self._most if isinstance(self._most, int) else self._most()
        for each in queue.waiting:
            size += len(each.questions)
            if count and size > most:
                break
            count += 1
        batch, queue.waiting = queue.waiting[:count], queue.waiting[count:]
        return batch
