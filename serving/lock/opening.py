"""Opens the gate that the settings ask for, and keeps it up to date."""

import asyncio
import importlib
import logging
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from motherlode import access, last_used
from motherlode.errors import MotherlodeError, SettingsError
from motherlode.settings import Settings
from serving.lock.denials import Denials
from serving.lock.gate import Gate
from serving.lock.policy import is_locked

_EVERY_S: Final = 0.5
"""Between two looks at the key ring: a key that is revoked is refused within a second."""

_USED_S: Final = 60.0
"""Between two tellings of which keys were used."""

_log: Final = logging.getLogger(__name__)


class Lock:
    """The gate of an application, and what keeps it up to date.

    Args:
        settings: with the lock on.

    Raises:
        SettingsError: the key ring is damaged, or the tokens' settings are not whole.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._mark = _mark(settings)
        self._used: dict[str, float] = {}
        self.denials = Denials(settings)
        # PyJWT and cryptography take 8 MB of every replica; who has no issuer has no use for them.
        self._tokens: Any = (
            importlib.import_module("serving.lock.tokens").Tokens(settings) if settings.jwks is not None else None
        )
        self.gate = Gate(access.read(settings), self.denials, settings.replicas or 1, self._tokens)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """For the length of the block: take over changes of the key ring and of the JWKS, write down refusals."""
        loops: list[Coroutine[Any, Any, None]] = [self._watch()]
        if self._tokens is not None:
            loops.append(self._tokens.watch())
        tasks = [asyncio.create_task(each) for each in loops]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            await self.denials.close()
            await self._tell_used()

    async def refresh(self) -> None:
        """Take over the key ring where its file is another; one that is damaged changes nothing."""
        mark = await asyncio.to_thread(_mark, self._settings)
        if mark == self._mark:
            return
        self._mark = mark
        try:
            self.gate.replace(await asyncio.to_thread(access.read, self._settings))
        except (SettingsError, OSError) as error:
            _log.error("The keys that are known stay: %s", error)
        else:
            _log.info("The key ring was read anew.")

    async def _tell_used(self) -> None:
        """Write down which keys were used; what cannot be written now is told the next time."""
        self._used |= self.gate.used()
        if not self._used:
            return
        try:
            await asyncio.to_thread(last_used.note, self._settings, self._used)
        except (MotherlodeError, OSError) as error:
            _log.debug("When keys were used is not written: %s", error)
        else:
            self._used = {}

    async def _watch(self) -> None:
        told = time.monotonic()
        while True:
            await asyncio.sleep(_EVERY_S)
            try:
                await self.refresh()
                await self.denials.flush()
                if time.monotonic() - told >= _USED_S:
                    told = time.monotonic()
                    await self._tell_used()
            except Exception as error:  # noqa: BLE001 - whatever it is, keys must still be revocable afterwards
                _log.error("The lock is not up to date: %s", error)


def open_lock(settings: Settings) -> Lock | None:
    """The lock that the settings ask for; None where it is off.

    Raises:
        SettingsError: see `Lock`.
    """
    return Lock(settings) if is_locked(settings) else None


def _mark(settings: Settings) -> tuple[int, int, int] | None:
    """What changes with the key ring's file; None where there is none, which opens nothing."""
    try:
        found = access.path_of(settings).stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
