"""Requests that queue are answered by one call; each gets its own answer, whatever becomes of the others."""

import asyncio
import time
from collections.abc import Callable, Sequence

import pytest

from serving.batching import Batcher

Calls = list[tuple[str, list[list[int]]]]


class Desk:
    """Answers by doubling, when it is let, two batches at once; keeps what it was called with."""

    def __init__(self, most: int | Callable[[], int] = 4, at_once: int = 2) -> None:
        self.calls: Calls = []
        self.since: list[float] = []
        self.gate = asyncio.Event()
        self.batcher: Batcher[str, int, list[int]] = Batcher(self._run, most, at_once=at_once)

    async def _run(self, kind: str, asked: Sequence[Sequence[int]], since: float) -> list[list[int]]:
        self.since.append(since)
        self.calls.append((kind, [list(each) for each in asked]))
        await self.gate.wait()
        if any(-1 in each for each in asked):
            raise ValueError("no")
        return [[2 * number for number in each] for each in asked]

    def ask(self, kind: str, *numbers: int) -> "asyncio.Task[list[int]]":
        return asyncio.create_task(self.batcher.ask(kind, numbers))


async def _settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_one_alone_is_asked_at_once_and_those_that_queue_are_asked_together() -> None:
    async def run() -> None:
        desk = Desk()
        asked = [desk.ask("a", number) for number in range(5)]
        await _settle()
        assert desk.calls == [("a", [[0]]), ("a", [[1]])]
        desk.gate.set()
        assert await asyncio.gather(*asked) == [[2 * number] for number in range(5)]
        assert desk.calls[2:] == [("a", [[2], [3], [4]])]

    asyncio.run(run())


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_as_many_batches_as_are_told_are_under_way(at_once: int) -> None:
    async def run() -> None:
        desk = Desk(at_once=at_once)
        asked = [desk.ask("a", number) for number in range(6)]
        await _settle()
        assert len(desk.calls) == at_once
        desk.gate.set()
        assert await asyncio.gather(*asked) == [[2 * number] for number in range(6)]

    asyncio.run(run())


def test_a_batch_has_a_bound_which_a_single_request_may_exceed() -> None:
    async def run() -> None:
        desk = Desk()
        asked = [desk.ask("a", *range(size)) for size in (1, 1, 3, 1, 1, 9, 1)]
        await _settle()
        desk.gate.set()
        answers = await asyncio.gather(*asked)
        assert [len(each) for each in answers] == [1, 1, 3, 1, 1, 9, 1]
        assert [list(map(len, batch)) for _, batch in desk.calls[2:]] == [[3, 1], [1], [9], [1]]

    asyncio.run(run())


def test_the_bound_may_be_another_for_each_batch() -> None:
    async def run() -> None:
        most = iter([1, 3, 2])
        desk = Desk(lambda: next(most))
        asked = [desk.ask("a", number) for number in range(8)]
        await _settle()
        desk.gate.set()
        await asyncio.gather(*asked)
        assert [len(batch) for _, batch in desk.calls[2:]] == [1, 3, 2]

    asyncio.run(run())


def test_a_batch_is_told_when_the_first_of_its_requests_came() -> None:
    async def run() -> None:
        desk = Desk()
        asked = [desk.ask("a", 0), desk.ask("a", 1)]
        await _settle()
        before = time.perf_counter()
        asked.append(desk.ask("a", 2))
        await _settle()
        between = time.perf_counter()
        asked.append(desk.ask("a", 3))
        await asyncio.sleep(0.05)
        desk.gate.set()
        await asyncio.gather(*asked)
        assert desk.since[0] <= desk.since[1] <= before <= desk.since[2] <= between

    asyncio.run(run())


def test_kinds_do_not_wait_for_each_other() -> None:
    async def run() -> None:
        desk = Desk()
        asked = [desk.ask(kind, 1) for kind in ("a", "a", "a", "b")]
        await _settle()
        assert desk.calls == [("a", [[1]]), ("a", [[1]]), ("b", [[1]])]
        desk.gate.set()
        assert await asyncio.gather(*asked) == [[2]] * 4

    asyncio.run(run())


def test_an_error_is_raised_to_every_request_of_its_batch_and_to_no_other() -> None:
    async def run() -> None:
        desk = Desk()
        asked = [desk.ask("a", number) for number in (0, 1, -1, 3)]
        await _settle()
        desk.gate.set()
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert found[:2] == [[0], [2]]
        assert [type(each) for each in found[2:]] == [ValueError, ValueError]
        assert await desk.ask("a", 7) == [14]

    asyncio.run(run())


@pytest.mark.parametrize("who", [0, 3])
def test_who_gives_up_takes_nobody_along(who: int) -> None:
    """The first runs its own call, the last waits in the queue."""

    async def run() -> None:
        desk = Desk()
        asked = [desk.ask("a", number) for number in range(5)]
        await _settle()
        asked[who].cancel()
        await _settle()
        desk.gate.set()
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(found.pop(who), asyncio.CancelledError)
        assert found == [[2 * number] for number in range(5) if number != who]

    asyncio.run(run())
