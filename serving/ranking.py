"""Ranking beside the event loop, within a time budget, on threads that nothing else waits for. No HTTP."""

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, Final, TypeVar

T = TypeVar("T")

THREADS: Final = 2
"""One that ranks, and one beside it while that one hangs; more would only share the replica's core."""
A_BUDGET: Final = 100
"""Customers or items of one budget: whoever asks for more at a time waits for as many budgets."""
_SOFT: Final = 0.75
"""Of the budget, after which work ends by itself at its next step: what is done by then is answered."""
_A_BATCH: Final = 0.25
"""Of the budget, what a batch may take: whoever comes waits for the one under way, and then for its own."""
_LATEST: Final = 0.3
"""What a batch counts for in the mean of them."""


@dataclass(frozen=True)
class Deadline:
    """Until when work may go on.

    Attributes:
        at: on the clock of `time.monotonic`.
        reason: why it may not go on then, for people.
    """

    at: float
    reason: str

    @property
    def over(self) -> bool:
        """Whether it is that late."""
        return time.monotonic() >= self.at


NO_HURRY: Final = Deadline(math.inf, "")


class OverdueError(Exception):
    """Work was not done in time, or was not begun since the threads are still at work that was not.

    Args:
        reason: for people.

    Attributes:
        deadline: one that is over, for doing without.
    """

    def __init__(self, reason: str) -> None:
        self.deadline = Deadline(-math.inf, reason)
        super().__init__(reason)


class Ranking:
    """Does on threads of its own what would hold up the event loop.

    Whoever asked waits for the budget and no longer. Work that has not begun by then never does; a thread that is
    still at it is waited for by nobody, and while all are nothing more is begun: so what is under way is bounded.

    Args:
        budget_s: the longest that a request of up to `A_BUDGET` customers or items waits, from when it came.
        threads: how many.
    """

    def __init__(self, budget_s: float, threads: int = THREADS) -> None:
        self._budget_s = budget_s
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="ranking")
        self._left: list[Future[Any]] = []

    async def run(self, n: int, work: Callable[[Deadline], T], since: float | None = None) -> T:
        """The work's result.

        Args:
            n: for how many customers or items it is.
            work: done on one of the threads; it looks at its deadline between its steps.
            since: when the first came that waits for it, by `time.perf_counter`: the budget is counted from there;
                None: it came now.

        Raises:
            OverdueError: there is none in time.
            Exception: what the work raises.
        """
        self._left = [each for each in self._left if not each.done()]
        if len(self._left) >= self._threads:
            raise OverdueError(f"ranking is behind: {len(self._left)} requests are still at it that had no time left")
        budget_s = self._budget_s * max(1, -(-n // A_BUDGET))
        late = f"ranking took longer than {budget_s:g} s"
        spent_s = 0.0 if since is None else time.perf_counter() - since
        if spent_s >= _SOFT * budget_s:
            raise OverdueError(late)
        deadline = Deadline(time.monotonic() + _SOFT * budget_s - spent_s, late)
        doing = self._pool.submit(copy_context().run, work, deadline)
        try:
            async with asyncio.timeout(budget_s - spent_s):
                return await asyncio.wrap_future(doing)
        except TimeoutError:
            raise OverdueError(late) from None
        finally:
            if not doing.done() and not doing.cancel():
                self._left.append(doing)


class Tempo:
    """How long ranking takes a customer lately, and so for how many it is done at a time.

    Args:
        budget_s: see `Ranking`.
        most: customers of a batch, however fast it is.
    """

    def __init__(self, budget_s: float, most: int) -> None:
        self._batch_s = _A_BATCH * budget_s
        self._most = most
        self._mean_s = 0.0

    def done(self, n: int, seconds: float, *, late: bool = False) -> None:
        """A batch of N is ranked for; one that was late is only known to take no less."""
        each_s = seconds / n
        if not late or each_s > self._mean_s:
            self._mean_s += (each_s - self._mean_s) * (_LATEST if self._mean_s else 1.0)

    def fitting(self) -> int:
        """For how many customers a batch is."""
        if self._mean_s * self._most <= self._batch_s:
            return self._most
        return max(1, int(self._batch_s / self._mean_s))
