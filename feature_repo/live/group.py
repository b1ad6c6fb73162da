"""The consumer's side of the stream: a consumer group whose one consumer is whoever holds the lease.

Reading is allowed by the same script that renews the lease. So a consumer that lost it, however long it was asleep,
takes no event away from the one that has it now; and whoever takes over finds what the last one had read and not done.
"""

import hashlib
import logging
import os
import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import redis

from feature_repo.live.state import Positioned
from motherlode.errors import MotherlodeError
from motherlode.events import BODY, consumer_key, decode, entry_id, position_of, stream_key
from motherlode.settings import Settings

GROUP: Final = "motherlode"
LEASE_MS: Final = 5000
"""How long a consumer of another home that is not heard of keeps its lease."""
_ACKS: Final = 1000
_OLDER: Final = "BUSYGROUP"
_OURS: Final = b"-0"
"""What an entry's id ends with that `motherlode.events` appended."""

_log: Final = logging.getLogger(__name__)


class NotMineError(MotherlodeError):
    """Another consumer has the lease."""


@dataclass(frozen=True)
class Taken:
    """Entries of the stream that are this consumer's to do.

    Attributes:
        events: with their positions, in their order.
        gone: positions of entries that were deleted meanwhile, or that hold no event.
    """

    events: list[Positioned]
    gone: list[int]

    @property
    def last(self) -> int:
        """The last position; 0 where nothing was taken."""
        return max([0, *self.gone[-1:], *(position for position, _ in self.events[-1:])])


class Group:
    """The one consumer of a project's stream.

    Args:
        client: a connection that answers bytes, to one server or a cluster.
        settings: whose stream; whose home says which consumer may succeed another at once.
    """

    def __init__(self, client: Any, settings: Settings) -> None:
        self._client = client
        self._keys = [stream_key(settings.project), consumer_key(settings.project)]
        self._me = secrets.token_hex(8)
        self._home = _home(settings)
        self._take = client.register_script(TAKE)
        self._done = client.register_script(DONE)

    def prepare(self, landed: int) -> None:
        """Make the group where there is none, and have new positions follow those that are landed."""
        stream, _ = self._keys
        try:
            self._client.xgroup_create(stream, GROUP, id="0", mkstream=True)
        except redis.ResponseError as error:
            if not str(error).startswith(_OLDER):
                raise
        if landed > position_of(self._client.xinfo_stream(stream)["last-generated-id"]):
            self._client.execute_command("XSETID", stream, entry_id(landed))

    def take(self, count: int, after: int | None = None) -> Taken:
        """Take new events; or again those that were taken, by whomever, and are not done.

        Args:
            count: at most.
            after: take again, behind this position; None: take new ones.

        Raises:
            NotMineError: another consumer has the lease.
            redis.RedisError: the server is gone, or has lost the group.
        """
        start = ">" if after is None else entry_id(after)
        reply = self._take(keys=self._keys, args=[self._me, self._home, LEASE_MS, GROUP, start, count])
        if reply == 0:
            raise NotMineError("Another consumer reads this stream.", "Stop it, or leave the work to it.")
        entries = reply[0][1] if reply else []
        if strays := [entry for entry, _ in entries if not entry.endswith(_OURS)]:
            _log.warning("%d entries of %s were put there by somebody else; deleted.", len(strays), self._keys[0])
            self._client.xack(self._keys[0], GROUP, *strays)
            self._client.xdel(self._keys[0], *strays)
        return _taken([each for each in entries if each[0].endswith(_OURS)])

    def done(self, positions: Sequence[int]) -> None:
        """Delete entries that are landed.

        Raises:
            NotMineError: another consumer has the lease.
        """
        for start in range(0, len(positions), _ACKS):
            some = positions[start : start + _ACKS]
            if not self._done(keys=self._keys, args=[self._me, GROUP, some[-1], *map(entry_id, some)]):
                raise NotMineError("Another consumer reads this stream.", "Stop it, or leave the work to it.")

    def wait(self, after: int, longest_ms: int) -> None:
        """Wait until there is an event behind a position, or the time is over."""
        self._client.xread({self._keys[0]: entry_id(after)}, count=1, block=longest_ms)

    def waiting(self) -> int:
        """Events in the stream."""
        return int(self._client.xlen(self._keys[0]))

    def read(self, name: str) -> bytes | None:
        """What the consumer noted by a name."""
        found: bytes | None = self._client.hget(self._keys[1], name)
        return found

    def note(self, name: str, value: str | int) -> None:
        """Note something."""
        self._client.hset(self._keys[1], name, value)

    @property
    def done_up_to(self) -> int:
        """The last position that was done."""
        return int(self.read("position") or 0)


def _taken(entries: Sequence[Any]) -> Taken:
    events: list[Positioned] = []
    gone: list[int] = []
    for entry, fields in entries:
        position = position_of(entry)
        body = dict(zip(fields[::2], fields[1::2], strict=True)).get(BODY) if fields else None
        try:
            events.append((position, decode(body or b"")))
        except msgspec.DecodeError:  # deleted by an erasure, or put there by somebody else
            gone.append(position)
    return Taken(events, gone)


def _home(settings: Settings) -> str:
    """Tells one machine's home folder from another's."""
    settings.home.mkdir(parents=True, exist_ok=True)
    stat = settings.home.stat()
    told = (socket.gethostname(), os.fspath(settings.home), stat.st_dev, stat.st_ino)
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


TAKE: Final = """
-- KEYS: the stream; the consumer's hash.
-- ARGV: who asks; whose home; how long the lease lasts, ms; the group; '>' or where to begin again; how many.
-- A consumer of the same home holds its lock, so the one before it is dead, and its lease is void.
-- Returns 0 where another one has the lease, else what XREADGROUP answers.
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local held = redis.call('HMGET', KEYS[2], 'owner', 'home', 'until')
if held[1] and held[1] ~= ARGV[1] and held[2] ~= ARGV[2] and tonumber(held[3]) > now then
  return 0
end
redis.call('HSET', KEYS[2], 'owner', ARGV[1], 'home', ARGV[2], 'until', string.format('%.0f', now + ARGV[3]))
return redis.call('XREADGROUP', 'GROUP', ARGV[4], ARGV[4], 'COUNT', ARGV[6], 'STREAMS', KEYS[1], ARGV[5])
"""

DONE: Final = """
-- KEYS: the stream; the consumer's hash. ARGV: who asks; the group; the last position; ids of entries.
if redis.call('HGET', KEYS[2], 'owner') ~= ARGV[1] then
  return 0
end
for i = 4, #ARGV do
  redis.call('XACK', KEYS[1], ARGV[2], ARGV[i])
  redis.call('XDEL', KEYS[1], ARGV[i])
end
if tonumber(ARGV[3]) > tonumber(redis.call('HGET', KEYS[2], 'position') or '0') then
  redis.call('HSET', KEYS[2], 'position', ARGV[3])
end
return 1
"""
