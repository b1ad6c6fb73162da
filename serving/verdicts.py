"""What replicas tell one another of a bundle that one of them refused: through Redis, and through the disk."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from motherlode import bundles, redis_server, refusal
from motherlode.bundles import Pointer
from motherlode.errors import StoreError
from motherlode.online.keys import refused_key
from motherlode.refusal import Refusal
from motherlode.settings import Settings

_MOST: Final = 32
"""Refusals in Redis: where there are more, the oldest go."""
_log: Final = logging.getLogger(__name__)


class Verdicts:
    """The refusal of the current bundle, be it known to this replica, the disk or Redis; those of others do not count.

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

    def at_start(self, current: Pointer) -> Refusal | None:
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
                content: Any = client.hgetall(self._key)
        except (StoreError, redis.RedisError, OSError):
            content = {}  # it is asked again in a second
        return self._choose(current, *self._read(), _decoded(content))

    async def tell(self, told: Refusal) -> None:
        """A bundle is refused here."""
        self._known = told
        await self.look(Pointer(told.version, told.pointed_ns))

    async def look(self, current: Pointer) -> Refusal | None:
        """The refusal that holds for what is current; who does not know it is told."""
        kept, there = await asyncio.to_thread(self._read)
        shared = await self._ask()
        known = self._choose(current, kept, there, shared or {})
        if known is None:
            return None
        if _lacks(kept, known, current):
            await asyncio.to_thread(self._write, known)
        if shared is not None and _lacks(shared, known, current):
            await self._tell(known, shared)
        return known

    def _choose(
        self, current: Pointer, kept: Mapping[str, Refusal], there: list[str], shared: Mapping[str, Refusal]
    ) -> Refusal | None:
        own = [] if self._known is None else [self._known]
        chosen = refusal.choose([*own, *kept.values(), *shared.values()], current, there)
        if chosen is not None:
            self._known = chosen
        return chosen

    async def _ask(self) -> Mapping[str, Refusal] | None:
        """What Redis knows, by version; None where it does not answer."""
        try:
            async with asyncio.timeout(self._settings.redis_budget_s):
                content: Any = await self._client.hgetall(self._key)  # type: ignore[misc]
        except (TimeoutError, redis.RedisError, OSError):
            return None  # the answers to requests say that Redis is gone
        return _decoded(content)

    async def _tell(self, known: Refusal, shared: Mapping[str, Refusal]) -> None:
        others = sorted((each for each in shared.values() if each.version != known.version), key=lambda each: each.at)
        old = [each.version for each in others[: max(0, len(others) + 1 - _MOST)]]
        try:
            async with asyncio.timeout(self._settings.redis_budget_s):
                await self._client.hset(self._key, known.version, refusal.encode(known))  # type: ignore[arg-type,misc]
                if old:
                    await self._client.hdel(self._key, *old)  # type: ignore[misc]
        except (TimeoutError, redis.RedisError, OSError) as error:
            kind = type(error).__name__
            _log.warning("Redis is not told yet that bundle %s is refused: %s.", known.version, kind)

    def _read(self) -> tuple[Mapping[str, Refusal], list[str]]:
        """What the disk knows, by version; and the versions on it."""
        try:
            return refusal.read(self._settings.models), bundles.versions(self._settings.models)
        except OSError:
            return {}, bundles.versions(self._settings.models)

    def _write(self, known: Refusal) -> None:
        try:
            refusal.write(self._settings.models, known)
        except OSError as error:
            if self._unwritten != known:
                _log.warning(
                    "That bundle %s is refused is told by Redis alone, since it cannot be written beside the bundles: "
                    "%s. It is tried again each second.",
                    known.version,
                    error.strerror,
                )
            self._unwritten = known


def _lacks(told: Mapping[str, Refusal], known: Refusal, current: Pointer) -> bool:
    """Whether whoever was told this does not know the refusal, nor a later one."""
    there = told.get(known.version)
    return there is None or not there.holds(current) or there < known


def _decoded(content: Mapping[bytes, bytes]) -> Mapping[str, Refusal]:
    found = [refusal.decode(each) for each in content.values()]
    return {each.version: each for each in found if each is not None}
