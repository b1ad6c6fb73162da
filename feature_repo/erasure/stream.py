"""Customers out of the stream of events that wait to be landed, without a trace of their bytes."""

import re
from collections.abc import Collection, Iterator
from typing import Any, Final

import msgspec

from feature_repo.warehouse.owners.sought import GONE, telling, word
from feature_repo.warehouse.places import Place
from motherlode import events
from motherlode.online.tombstones import Tombstones

_AT_ONCE: Final = 1000
_FREE: Final = ("event_type", "page", "item_id", "search_terms", "referrer", "channel")
"""Fields of an event that may name anybody; the others say whose it is."""

REWRITE: Final = """
-- The stream without some entries. XDEL alone leaves their bytes in its nodes, in memory and in what is saved of it,
-- as it does of entries that were deleted before: so it is written anew, with its groups and what they are at.
-- It is made beside, and takes the stream's place in one step: an error leaves the stream as it was.
-- KEYS: the stream; where the new one is made, in its slot. ARGV: how many entries to leave out; their ids; then id and
-- body of entries that get another body.
-- Returns how many of them there were.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
local function map(flat)
  local found = {}
  for i = 1, #flat, 2 do
    found[flat[i]] = flat[i + 1]
  end
  return found
end
local gone, bodies, count = {}, {}, 0
for i = 2, tonumber(ARGV[1]) + 1 do
  gone[ARGV[i]] = true
end
for i = tonumber(ARGV[1]) + 2, #ARGV, 2 do
  bodies[ARGV[i]] = ARGV[i + 1]
end
local info = map(redis.call('XINFO', 'STREAM', KEYS[1]))
if #ARGV == 1 and info['max-deleted-entry-id'] == '0-0' then
  return 0  -- nothing was ever deleted, and nothing is now
end
local entries = redis.call('XRANGE', KEYS[1], '-', '+')
local groups = {}
for i, flat in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  groups[i] = map(flat)
  local pending = groups[i]['pending']
  groups[i]['waiting'] = pending > 0 and redis.call('XPENDING', KEYS[1], groups[i]['name'], '-', '+', pending) or {}
end
local anew = KEYS[2]
redis.call('DEL', anew)
redis.call('XGROUP', 'CREATE', anew, '@erasing', '0', 'MKSTREAM')
redis.call('XGROUP', 'DESTROY', anew, '@erasing')
for _, entry in ipairs(entries) do
  if gone[entry[1]] then
    count = count + 1
  else
    local fields = entry[2]
    if bodies[entry[1]] then
      count = count + 1
      for i = 1, #fields, 2 do
        if fields[i] == 'event' then
          fields[i + 1] = bodies[entry[1]]
        end
      end
    end
    redis.call('XADD', anew, entry[1], unpack(fields))
  end
end
if info['entries-added'] then
  redis.call('XSETID', anew, info['last-generated-id'], 'ENTRIESADDED', info['entries-added'],
    'MAXDELETEDID', info['max-deleted-entry-id'])
else  -- before Redis 7
  redis.call('XSETID', anew, info['last-generated-id'])
end
for _, group in ipairs(groups) do
  local create = {'XGROUP', 'CREATE', anew, group['name'], group['last-delivered-id']}
  if group['entries-read'] then
    create[#create + 1] = 'ENTRIESREAD'
    create[#create + 1] = group['entries-read']
  end
  redis.call(unpack(create))
  for _, each in ipairs(group['waiting']) do
    if not gone[each[1]] then
      redis.call('XCLAIM', anew, group['name'], each[2], '0', each[1], 'IDLE', each[3], 'RETRYCOUNT', each[4],
        'FORCE', 'JUSTID')
    end
  end
end
redis.call('RENAME', anew, KEYS[1])
return count
"""


def find(
    client: Any, project: str, outside_ids: Collection[str], visitors: Collection[str], known: Tombstones
) -> list[Place]:
    """How many entries of customers wait, or name them.

    Args:
        client: a connection that answers bytes.
        project: the Feast project.
        outside_ids: as the company has them.
        visitors: that are theirs alone.
        known: visitors that were erased are theirs, too.
    """
    gone, changed = _entries(client, project, outside_ids, visitors, known)
    return _places(project, len(gone) + len(changed))


def erase(
    client: Any, project: str, outside_ids: Collection[str], visitors: Collection[str], known: Tombstones
) -> list[Place]:
    """Take customers' entries, those that were handed to the consumer too, and their ids in others', out of the stream.

    Their tombstones were left before: what the consumer has in its hands, and what comes in later, it drops.
    """
    gone, changed = _entries(client, project, outside_ids, visitors, known)
    key = events.stream_key(project)
    bodies = [each for pair in changed.items() for each in pair]
    count = int(client.register_script(REWRITE)(keys=[key, _beside(key)], args=[len(gone), *gone, *bodies]))
    return _places(project, count)


def _beside(key: str) -> str:
    """A key in the stream's slot: what stands in braces decides."""
    return f"{key.partition('/')[0]}/{{{key}}}"


def _entries(
    client: Any, project: str, outside_ids: Collection[str], visitors: Collection[str], known: Tombstones
) -> tuple[list[bytes], dict[bytes, bytes]]:
    """The ids of customers' entries, and the bodies of others' that named them.

    Theirs are those of nobody else by a visitor that is one of them, too.
    """
    gone, theirs_alone, others = set(outside_ids), set(visitors), set[str | None]()
    theirs: list[bytes] = []
    nobodys: list[tuple[bytes, str | None]] = []
    changed: dict[bytes, bytes] = {}
    pattern = word(telling(outside_ids))
    for id_, event in _events(client, project):
        if event.customer in gone:
            theirs.append(id_)
            if event.visitor_id is not None:
                theirs_alone.add(event.visitor_id)
            continue
        if event.customer is None:
            nobodys.append((id_, event.visitor_id))
        else:
            others.add(event.visitor_id)
        if pattern is not None and (body := _without(event, pattern)) is not None:
            changed[id_] = body
    theirs_alone -= others  # a device that others use, too
    theirs_alone |= known.among("visitor", {visitor for _, visitor in nobodys if visitor is not None} - theirs_alone)
    also = [id_ for id_, visitor in nobodys if visitor in theirs_alone]
    for id_ in also:
        changed.pop(id_, None)
    return [*theirs, *also], changed


def _without(event: events.Event, pattern: re.Pattern[str]) -> bytes | None:
    """Another's event whose texts have lost the ids; None where none of them names one."""
    texts = {name: getattr(event, name) for name in _FREE}
    put = {name: pattern.sub(GONE, text) for name, text in texts.items() if isinstance(text, str)}
    put = {name: text for name, text in put.items() if text != texts[name]}
    return msgspec.json.encode(msgspec.structs.replace(event, **put)) if put else None


def _events(client: Any, project: str) -> Iterator[tuple[bytes, events.Event]]:
    first = b"-"
    while batch := client.xrange(events.stream_key(project), first, "+", count=_AT_ONCE):
        for id_, fields in batch:
            try:
                yield id_, events.decode(fields[events.BODY])
            except (KeyError, msgspec.DecodeError):  # the consumer sets it aside, and says so
                continue
        first = b"(" + batch[-1][0]


def _places(project: str, count: int) -> list[Place]:
    return [Place("stream", events.stream_key(project), count)] if count else []
