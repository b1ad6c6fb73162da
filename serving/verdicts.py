"""What replicas tell one another of a bundle that one of them refused: through Redis, and through the disk."""

import asyncio
import logging
from typing import Any, Final

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from motherlode import redis_server, refusal
from motherlode.errors import StoreError
from motherlode.online.keys import refused_key
from motherlode.refusal import Refusal
from motherlode.settings import Settings

_log: Final = logging.getLogger(__name__)


class Verdicts:
    """The refusal that was told last: the latest that this replica, the disk or Redis knows of.

    Whichever of the three does not know it is told at the next look, so that it outlives each of them: a Redis that was
    down or lost its keys, a disk that cannot be written, and the replica.

    Args:
        settings: bound to a Redis.
        client: the connections to ask by.
    """

    def __init__(self, settings: Settings, client: redis.asyncio.Redis) -> None:
        self._settings = settings
        self._client = client
        self._key = refused_key(settings.project)
        self._known: Refusal | None = None
        self._unwritten: Refusal | None = None

    def at_start(self) -> Refusal | None:
        """What is known before there is anything to serve with; waits for Redis no longer than a request does."""
        budget = self._settings.redis_budget_s
        try:
            with redis_server.connect(
                self._settings,
                socket_connect_timeout=budget,
                socket_timeout=budget,
                retry=Retry(NoBackoff(), 0),
                driver_info=None,
            ) as client:
                content: Any = client.get(self._key)
        except (StoreError, redis.RedisError, OSError):
            content = None  # it is asked again in a second
        return self._take(self._read(), None if content is None else refusal.decode(content))

    async def tell(self, told: Refusal) -> None:
        """A bundle is refused here."""
        self._take(told)
        await self.look()

    async def look(self) -> Refusal | None:
        """The latest refusal; who does not know it is told."""
        kept = await asyncio.to_thread(self._read)
        there, shared = await self._ask()
        known = self._take(kept, shared)
        if known is None:
            return None
        if kept != known and self._unwritten != known:
            await asyncio.to_thread(self._write, known)
        if there and shared != known:
            await self._tell(known)
        return known

    def _take(self, *told: Refusal | None) -> Refusal | None:
        self._known = max([each for each in (self._known, *told) if each is not None], default=None)
        return self._known

    async def _ask(self) -> tuple[bool, Refusal | None]:
        """Whether Redis answers, and what it knows."""
        try:
            async with asyncio.timeout(self._settings.redis_budget_s):
                content: Any = await self._client.get(self._key)
        except (TimeoutError, redis.RedisError, OSError):
            return False, None  # the answers to requests say that Redis is gone
        return True, None if content is None else refusal.decode(content)

    async def _tell(self, known: Refusal) -> None:
        try:
            async with asyncio.timeout(self._settings.redis_budget_s):
                await self._client.set(self._key, refusal.encode(known))
        except (TimeoutError, redis.RedisError, OSError) as error:
            kind = type(error).__name__
            _log.warning("Redis is not told yet that bundle %s is refused: %s.", known.version, kind)

    def _read(self) -> Refusal | None:
        try:
            return refusal.read(self._settings.models)
        except OSError:
            return None

    def _write(self, known: Refusal) -> None:
        try:
            refusal.write(self._settings.models, known)
        except OSError as error:
            self._unwritten = known
            _log.warning(
                "That bundle %s is refused is told by Redis alone, since it cannot be written beside the bundles: %s.",
                known.version,
                error.strerror,
            )
