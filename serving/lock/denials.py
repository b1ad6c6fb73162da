"""Refused callers, for the log and the audit log: what, whom, how often; never a key, never a customer.

A flood of refusals must not fill the disk: the same refusal is written at once, then once a minute with how often it
came meanwhile; and what may differ between two refusals is bounded by the key ring, never by what callers send.
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Final

from motherlode import audit
from motherlode.errors import DataError
from motherlode.settings import Settings

ACTION: Final = "refuse"
"""Of the audit log."""

_AGAIN_S: Final = 60.0
_MOST: Final = 1_000
"""Different refusals kept in mind; beyond that, one stands for all."""

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Denial:
    """A refused request.

    Attributes:
        status: 401, 403 or 429.
        caller: the id, where the secret was right; else empty.
        method, route: of the request, the route without what it names.
        why: the message of the answer.
        peer: the address that it came from, of the first.
    """

    status: int
    caller: str
    method: str
    route: str
    why: str
    peer: str


_Like = tuple[int, str, str, str]
_REST: Final[_Like] = (0, "", "", "")


@dataclass(slots=True)
class _Seen:
    first: Denial
    count: int = 0
    written: float = -_AGAIN_S


class Denials:
    """Counts refusals, and writes them.

    Args:
        settings: whose audit log.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._seen: dict[_Like, _Seen] = {}

    def note(self, denial: Denial) -> None:
        """Count a refusal; no writing."""
        like = (denial.status, denial.caller, denial.route, denial.why)
        seen = self._seen.get(like)
        if seen is None:
            if len(self._seen) >= _MOST:
                like = _REST
            seen = self._seen.setdefault(like, _Seen(denial))
        if seen.count == 0:
            seen.first = denial
        seen.count += 1

    async def flush(self) -> None:
        """Write what is due."""
        now = time.monotonic()
        for like, seen in list(self._seen.items()):
            if seen.count and now - seen.written >= _AGAIN_S:
                denial, count = seen.first, seen.count
                seen.count, seen.written = 0, now
                await asyncio.to_thread(self._write, denial, count)
            elif not seen.count and now - seen.written >= _AGAIN_S:
                del self._seen[like]

    async def close(self) -> None:
        """Write all that was counted."""
        for seen in self._seen.values():
            seen.written = -_AGAIN_S
        await self.flush()

    def _write(self, denial: Denial, count: int) -> None:
        _log.warning(
            "%d refused, %d times: %s %s, caller %s at %s: %s",
            denial.status, count, denial.method, denial.route, denial.caller or "unknown", denial.peer, denial.why,
        )  # fmt: skip
        try:
            audit.record(
                self._settings,
                ACTION,
                denial.route,
                status=denial.status,
                caller=denial.caller or "unknown",
                method=denial.method,
                peer=denial.peer,
                why=denial.why,
                times=count,
            )
        except DataError as error:
            _log.error("A refusal is not in the audit log: %s", error)
