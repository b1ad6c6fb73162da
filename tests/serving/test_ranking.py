"""Work beside the event loop is waited for as long as the budget says; what is under way is bounded."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from serving.ranking import NO_HURRY, Deadline, OverdueError, Ranking, Tempo


class Door:
    """Work that waits behind a door; counts what has begun."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.begun = 0

    def work(self, _: Deadline) -> str:
        self.begun += 1
        assert self.open.wait(20)
        return "through"


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door()
    yield made
    made.open.set()


async def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not true():
        assert time.monotonic() < end
        await asyncio.sleep(0.002)


def test_work_is_done_on_another_thread_and_its_deadline_comes_before_the_budget_is_over() -> None:
    async def run() -> None:
        began = time.monotonic()
        thread, deadline = await Ranking(10.0).run(1, lambda until: (threading.current_thread(), until))
        assert thread is not threading.current_thread()
        assert began < deadline.at < began + 10.0
        assert (deadline.over, NO_HURRY.over) == (False, False)

    asyncio.run(run())


def test_a_larger_request_has_as_many_budgets() -> None:
    async def run() -> None:
        ranking = Ranking(10.0)
        small, large = [(await ranking.run(n, lambda until: until.at)) - time.monotonic() for n in (100, 1000)]
        assert 5 < small < 10
        assert 50 < large < 100

    asyncio.run(run())


def test_the_budget_is_counted_from_when_the_request_came(door: Door) -> None:
    async def run() -> None:
        came = time.perf_counter() - 4.0
        at = await Ranking(10.0).run(1, lambda until: until.at, came)
        assert 2 < at - time.monotonic() < 4
        for ago_s in (0.8, 60.0):
            with pytest.raises(OverdueError, match="ranking took longer than 1 s"):
                await Ranking(1.0).run(1, door.work, time.perf_counter() - ago_s)
        assert door.begun == 0
        began = time.monotonic()
        with pytest.raises(OverdueError):
            await Ranking(2.0).run(1, door.work, time.perf_counter() - 1.4)
        assert door.begun == 1
        assert time.monotonic() - began < 1.9

    asyncio.run(run())


def test_a_batch_is_as_large_as_fits_a_quarter_of_the_budget() -> None:
    tempo = Tempo(0.4, 16)
    assert tempo.fitting() == 16, "nothing is known yet"
    tempo.done(1, 0.024)
    assert tempo.fitting() == 4
    for _ in range(40):
        tempo.done(4, 0.004)
    assert tempo.fitting() == 16, "it has become faster"
    for _ in range(40):
        tempo.done(1, 5.0)
    assert tempo.fitting() == 1, "one always is"
    tempo.done(16, 0.1, late=True)
    assert tempo.fitting() == 1, "some of them were not ranked for"


def test_what_work_raises_is_raised() -> None:
    def wrong(_: Deadline) -> None:
        raise ValueError("no such item")

    async def run() -> None:
        with pytest.raises(ValueError, match="no such item"):
            await Ranking(10.0).run(1, wrong)

    asyncio.run(run())


def test_work_that_takes_too_long_is_waited_for_no_longer_and_says_why(door: Door) -> None:
    async def run() -> None:
        began = time.monotonic()
        with pytest.raises(OverdueError, match=r"ranking took longer than 0\.05 s") as told:
            await Ranking(0.05).run(1, door.work)
        assert 0.05 <= time.monotonic() - began < 2
        assert told.value.deadline.over
        assert told.value.deadline.reason == "ranking took longer than 0.05 s"

    asyncio.run(run())


def test_threads_that_are_still_at_it_take_no_more_work_until_they_are_back(door: Door) -> None:
    async def run() -> None:
        ranking = Ranking(0.05, threads=2)
        for _ in range(2):
            with pytest.raises(OverdueError, match="took longer"):
                await ranking.run(1, door.work)
        began = time.monotonic()
        for _ in range(100):
            with pytest.raises(OverdueError, match="ranking is behind: 2 requests are still at it"):
                await ranking.run(1, door.work)
        assert time.monotonic() - began < 2, "none of them waits for its budget"
        assert door.begun == 2
        door.open.set()
        assert await again(ranking) == "done"

    async def again(ranking: Ranking) -> str:
        end = time.monotonic() + 5
        while True:
            try:
                return await ranking.run(1, lambda _: "done")
            except OverdueError:
                assert time.monotonic() < end
                await asyncio.sleep(0.002)

    asyncio.run(run())


def test_work_that_waits_for_a_thread_until_its_time_is_over_is_never_begun(door: Door) -> None:
    async def run() -> None:
        ranking = Ranking(0.2, threads=1)
        asked = [asyncio.create_task(ranking.run(1, door.work)) for _ in range(5)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(each) for each in found] == [OverdueError] * 5
        door.open.set()
        await asyncio.sleep(0.05)
        assert door.begun == 1

    asyncio.run(run())


def test_whoever_hangs_up_leaves_no_thread_uncounted(door: Door) -> None:
    async def run() -> None:
        ranking = Ranking(20.0, threads=1)
        asked = asyncio.create_task(ranking.run(1, door.work))
        await until(lambda: door.begun == 1)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        with pytest.raises(OverdueError, match="ranking is behind"):
            await ranking.run(1, door.work)
        assert door.begun == 1

    asyncio.run(run())
