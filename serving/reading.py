"""Reading features within a time budget: rows, or the reason why there are none."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from motherlode import redis_server
from motherlode.errors import StoreError
from motherlode.online.reader import AsyncOnlineReader, Beside
from motherlode.packed import ViewRows
from motherlode.settings import Settings


class UnavailableError(Exception):
    """Redis gave no answer; its text says why, for people."""


def connect(settings: Settings) -> Any:
    """A pool of connections that never tries twice, and waits for as long as its callers do: a time of its own for
    every send and every receipt would be 30 µs more.

    Raises:
        StoreError: the settings name no server.
    """
    if settings.redis_url is None:
        raise StoreError("No Redis is named for these settings.", "Set REDIS_URL, or use `motherlode serve`.")
    return redis_server.connect_async(
        settings,
        socket_connect_timeout=settings.redis_budget_s,
        retry=Retry(NoBackoff(), 0),
        driver_info=None,  # no CLIENT SETINFO: two round trips less for a new connection
    )


async def read(
    reader: AsyncOnlineReader,
    entities: Sequence[str],
    at_us: int,
    budget_s: float,
    before: Sequence[Sequence[str]] = (),
    beside: Beside | None = None,
) -> Mapping[str, ViewRows]:
    """N entities' rows of every view that the reader asks for; `before` and `beside` as in `AsyncOnlineReader.read`.

    Raises:
        UnavailableError: Redis is gone, refuses, or takes longer than the budget.
    """
    try:
        async with asyncio.timeout(budget_s):
            return await reader.read(entities, at_us, before, beside)
    except (TimeoutError, redis.RedisError, OSError) as error:
        raise UnavailableError(reason(error, budget_s)) from error


async def ping(client: redis.asyncio.Redis, budget_s: float) -> str:
    """`ok`, or why Redis gives no answer."""
    try:
        async with asyncio.timeout(budget_s):
            pong: Any = client.ping()
            await pong
    except (TimeoutError, redis.TimeoutError):
        return f"timeout after {budget_s:g} s"
    except (redis.RedisError, OSError) as error:
        return _short(error)
    return "ok"


def reason(error: Exception, budget_s: float) -> str:
    """Why Redis gave no answer, for people."""
    if isinstance(error, TimeoutError | redis.TimeoutError):
        return f"redis timeout after {budget_s:g} s"
    return f"redis {_short(error)}"


def _short(error: Exception) -> str:
    """What kind of failure, without the addresses and passwords that messages carry."""
    if isinstance(error, redis.ConnectionError | OSError):
        return "connection failed"
    return f"answered {type(error).__name__}"
