"""Items that nobody is recommended: a set in Redis, so that a recall or a sold-out item counts within a second."""

import asyncio
import time
from collections.abc import Awaitable
from typing import Any, Final, TypeVar

import redis
import redis.asyncio

from motherlode.online.keys import suppressed_key

T = TypeVar("T")

FRESH_S: Final = 0.5
"""How old what is known may be; then the next request reads it again, and those beside it wait for the same answer."""


class Suppression:
    """The set as it was read last, half a second ago at the most.

    Where Redis gives no answer, what was known before goes on counting: what was taken back stays so.

    Args:
        client: the connections to read by.
        project: whose.
        budget_s: the longest that a request waits for it.
    """

    def __init__(self, client: redis.asyncio.Redis, project: str, budget_s: float) -> None:
        self._client = client
        self._key = suppressed_key(project)
        self._budget_s = budget_s
        self._read_at: float | None = None
        self._reading: asyncio.Task[None] | None = None
        self._items: frozenset[str] = frozenset()

    @property
    def last(self) -> frozenset[str]:
        """The keys of the items as they were read last; the same object for as long as it is the same set."""
        return self._items

    async def beside(self, work: Awaitable[T]) -> T:
        """Do something, and meanwhile read the set again where it is no longer fresh.

        Raises:
            Exception: what the work raises, without waiting for the set.
        """
        if self._fresh:
            return await work
        _, done = await asyncio.gather(self.refreshed(), work)
        return done

    async def refreshed(self) -> None:
        """Read the set again where it is no longer fresh; whoever asks meanwhile waits for the same answer."""
        if self._fresh:
            return
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
        await asyncio.shield(self._reading)

    @property
    def _fresh(self) -> bool:
        return self._read_at is not None and time.monotonic() - self._read_at <= FRESH_S

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(self._budget_s):
                answer: Any = self._client.smembers(self._key)
                found = frozenset(each.decode(errors="replace") for each in await answer)
            if found != self._items:
                self._items = found
        except (TimeoutError, redis.RedisError, OSError):
            pass  # the features of the same request find Redis gone too, and the answer says so
        finally:
            self._read_at = time.monotonic()
            self._reading = None
