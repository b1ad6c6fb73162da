"""Events as they come in: what one is, and the Redis Stream that they wait in until the consumer has landed them.

    <project>/@events                          the stream; an entry's id is its position, `<position>-0`
    <project>/@seen/{<project>/@events}<n>     set: the ids of the events of one window of time
    <project>/@consumer/{<project>/@events}    hash: what the consumer has done, and who it is

A **position** is when an event was appended, microseconds since 1970 UTC, and one more than the last one's where two
fall into one microsecond or the clock went back: no two events of a stream have the same, later ones have greater.

Whatever brings events, HTTP or another broker, makes `Event`s and appends them; nothing behind the stream can tell.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from motherlode import names
from motherlode.errors import DataError, StoreError
from motherlode.identity import id_text
from motherlode.packed import Column, Schema

BODY: Final = b"event"
"""The field of a stream's entry that holds the event, as JSON."""
BACKLOG: Final = 100_000
"""Events that may wait to be landed; more are refused until the consumer has caught up."""
SEEN_S: Final = 600
"""Seconds that an event's id is known at least; a re-send within them is harmless."""
AHEAD: Final = timedelta(minutes=1)
"""How far a sender's clock may be ahead of ours."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

LIVE: Final = Schema(
    names.LIVE,
    (
        Column("carts", "int64"),
        Column("clicks", "int64"),
        Column("events", "int64"),
        Column("first_seen", "timestamp"),
        Column("last_event_type", "string"),
        Column("last_seen", "timestamp"),
        Column("latest_item_times", "list<timestamp>"),
        Column("latest_items", "list<string>"),
        Column("latest_search_times", "list<timestamp>"),
        Column("latest_searches", "list<string>"),
        Column("purchases", "int64"),
        Column("searches", "int64"),
        Column("views", "int64"),
    ),
)
"""A row of the view `live`: what the events of a customer come to. `feature_repo.live.view` says what each holds."""

Text = Annotated[str, Meta(min_length=1, max_length=256)]
LongText = Annotated[str, Meta(min_length=1, max_length=2048)]
Id = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | Text
"""As the company has it: `7` and `"7"` are the same."""
Time = Annotated[datetime, Meta(tz=True)]
_IDS: Final = (names.CUSTOMER_ID, names.VISITOR_ID, names.SESSION_ID, names.ITEM_ID)


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One thing that a visitor did: a row of the table `interactions`.

    Ids are read as a load of files reads them, so that the stream and the warehouse mean the same customer: without
    blanks around them, and `7.0`, as a spreadsheet writes it, is `7`.

    Attributes:
        event_id: the sender's own; the same id twice is one event.
        event_type: view, search, cart, purchase, click, or the company's word.
        event_timestamp: when, ISO 8601 with its offset; left out: when it came in. At most a minute in the future.
        customer_id: who, as the company names customers; left out where only the visitor is known.
        visitor_id: the device or cookie; one of the two must be there.
        session_id: the visit; left out: events less than 30 minutes apart.
        page: the page's path.
        item_id: the item that it was about.
        search_terms: what was searched for.
        referrer: where the visitor came from.
        channel: web, app, ..., in the company's words.
    """

    event_id: Annotated[str, Meta(min_length=1, max_length=64, examples=["0d1c8f2e"])]
    event_type: Annotated[str, Meta(min_length=1, max_length=64)] = "view"
    event_timestamp: Time | None = None
    customer_id: Id | None = None
    visitor_id: Text | None = None
    session_id: Text | None = None
    page: LongText | None = None
    item_id: Id | None = None
    search_terms: LongText | None = None
    referrer: LongText | None = None
    channel: Text | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            text = getattr(self, name)
            if type(text) is str and not text.isascii() and not _whole(text):
                raise ValueError(f"`{name}` holds half a character, a lone surrogate")
        for name in _IDS:
            if type(text := getattr(self, name)) is str and (spelled := id_text(text)) != text:
                if spelled is None:
                    raise ValueError(f"`{name}` is blank")
                msgspec.structs.force_setattr(self, name, spelled)
        if self.customer_id is None and self.visitor_id is None:
            raise ValueError("Object has neither `customer_id` nor `visitor_id`")
        if self.event_timestamp is not None and self.event_timestamp < _EPOCH:
            raise ValueError("`event_timestamp` is before 1970")

    @property
    def customer(self) -> str | None:
        """The customer's outside id as text."""
        return None if self.customer_id is None else str(self.customer_id)

    @property
    def item(self) -> str | None:
        """The item's id as text."""
        return None if self.item_id is None else str(self.item_id)

    @property
    def at(self) -> datetime:
        """When it was; of an event that was appended."""
        assert self.event_timestamp is not None, "an event is given its time when it is appended"
        return self.event_timestamp

    @property
    def at_us(self) -> int:
        """`at`, microseconds since 1970 UTC."""
        return (self.at - _EPOCH) // timedelta(microseconds=1)


def _whole(text: str) -> bool:
    """Whether a text can be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class BacklogError(StoreError):
    """Too many events wait to be landed."""


@dataclass(frozen=True)
class Appended:
    """What became of some events.

    Attributes:
        accepted: that now wait in the stream.
        duplicates: that were there before, by their ids.
        backlog: events that wait.
        position: of the newest event; 0 where none ever was.
    """

    accepted: int
    duplicates: int
    backlog: int
    position: int


class Appender:
    """Appends events to a project's stream: all of them or none.

    Args:
        client: a connection that answers bytes; an asyncio one where `append` is awaited.
        project: the Feast project.
        backlog: events that may wait.
    """

    def __init__(self, client: Any, project: str, backlog: int = BACKLOG) -> None:
        self._script = client.register_script(APPEND)
        self._project = project
        self._backlog = backlog

    def append_now(self, events: Sequence[Event]) -> Appended:
        """`append`, on a connection that blocks."""
        keys, arguments = self._question(events)
        return self._answer(self._script(keys=keys, args=arguments), events)

    async def append(self, events: Sequence[Event]) -> Appended:
        """Append events, each unless its id is there already; one round trip.

        Raises:
            BacklogError: more would wait than may; none was appended.
            DataError: one is in the future; none was appended.
            redis.RedisError: the server is gone: whether they were appended is not known, and sending them again is
                harmless.
        """
        keys, arguments = self._question(events)
        return self._answer(await self._script(keys=keys, args=arguments), events)

    def _question(self, events: Sequence[Event]) -> tuple[list[str], list[str | bytes | int]]:
        now = datetime.now(UTC)
        arguments: list[str | bytes | int] = [self._backlog, SEEN_S * 2]
        for event in events:
            arguments += (event.event_id, encode(event, now))
        window = int(time.time()) // SEEN_S
        return [stream_key(self._project), *(seen_key(self._project, window - i) for i in range(2))], arguments

    def _answer(self, reply: Any, events: Sequence[Event]) -> Appended:
        accepted, duplicates, backlog, position = (int(each) for each in reply)
        if accepted < 0:
            raise BacklogError(
                f"{backlog} events wait to be landed, and with {len(events)} more they were above {self._backlog}.",
                "Send them again later; see that `motherlode stream` runs and keeps up.",
            )
        return Appended(accepted, duplicates, backlog, position)


def stream_key(project: str) -> str:
    """Where events wait."""
    return f"{project}/@events"


def seen_key(project: str, window: int) -> str:
    """The ids that came in during a window of `SEEN_S` seconds; in the stream's slot."""
    return f"{project}/@seen/{{{stream_key(project)}}}{window}"


def consumer_key(project: str) -> str:
    """What the consumer has done; in the stream's slot."""
    return f"{project}/@consumer/{{{stream_key(project)}}}"


def entry_id(position: int) -> str:
    """A position as the id of a stream's entry."""
    return f"{position}-0"


def position_of(entry: bytes) -> int:
    """The position of a stream's entry."""
    return int(entry.partition(b"-")[0])


def late(events: Sequence[Event], now: datetime) -> int | None:
    """The place of the first event that is further in the future than clocks differ; None: there is none."""
    latest = now + AHEAD
    times = (event.event_timestamp for event in events)
    return next((i for i, at in enumerate(times) if at is not None and at > latest), None)


def encode(event: Event, now: datetime) -> bytes:
    """An event as it waits: with a time, which is not after `now`.

    Raises:
        DataError: it is in the future by more than clocks differ.
    """
    if late([event], now) is not None:
        raise DataError(
            f"Event {event.event_id!r} is of {event.at.isoformat()}, in the future.",
            "Check the sender's clock and its time zone.",
        )
    at = now if event.event_timestamp is None else min(event.event_timestamp.astimezone(UTC), now)
    return msgspec.json.encode(msgspec.structs.replace(event, event_timestamp=at))


_DECODER: Final = msgspec.json.Decoder(Event)


def decode(body: bytes) -> Event:
    """An event that waits.

    Raises:
        msgspec.DecodeError: it is none.
    """
    return _DECODER.decode(body)


APPEND: Final = """
-- KEYS: the stream; the ids of this window; those of the window before.
-- ARGV: how many events may wait; seconds to keep the ids; per event its id and its body.
-- Returns how many were appended (-1: refused, as too many wait), how many were there before, how many wait now,
-- and the last position.
local waiting = redis.call('XLEN', KEYS[1])
local last = 0
local info = redis.pcall('XINFO', 'STREAM', KEYS[1])
if not info.err then
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
      last = tonumber(string.match(info[i + 1], '^(%d+)'))
    end
  end
end
local fresh = {}
local known = {}
for i = 3, #ARGV, 2 do
  local id = ARGV[i]
  if not known[id] and redis.call('SISMEMBER', KEYS[2], id) == 0 and redis.call('SISMEMBER', KEYS[3], id) == 0 then
    fresh[#fresh + 1] = i
  end
  known[id] = true
end
if #fresh > 0 and waiting + #fresh > tonumber(ARGV[1]) then
  return {-1, 0, waiting, string.format('%.0f', last)}
end
if #fresh > 0 then
  local clock = redis.call('TIME')
  local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
  for _, i in ipairs(fresh) do
    last = math.max(last + 1, now)
    redis.call('XADD', KEYS[1], string.format('%.0f-0', last), 'event', ARGV[i + 1])
    redis.call('SADD', KEYS[2], ARGV[i])
  end
  redis.call('EXPIRE', KEYS[2], ARGV[2])
end
return {#fresh, (#ARGV - 2) / 2 - #fresh, waiting + #fresh, string.format('%.0f', last)}
"""
