"""Customers out of the stream of events that wait to be landed, without a trace of their bytes."""

from collections.abc import Collection, Iterator
from typing import Any, Final

import msgspec

from feature_repo.warehouse.places import Place
from motherlode import events

_AT_ONCE: Final = 1000

REWRITE: Final = """
-- The stream without some entries. XDEL alone leaves their bytes in its nodes, in memory and in what is saved of it,
-- as it does of entries that were deleted before: so it is written anew, with its groups and what they are at.
-- KEYS: the stream. ARGV: the ids of the entries to leave out.
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
local gone, count = {}, 0
for _, id in ipairs(ARGV) do
  gone[id] = true
end
local info = map(redis.call('XINFO', 'STREAM', KEYS[1]))
local entries = redis.call('XRANGE', KEYS[1], '-', '+')
local groups = {}
for i, flat in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  groups[i] = map(flat)
  local pending = groups[i]['pending']
  groups[i]['waiting'] = pending > 0 and redis.call('XPENDING', KEYS[1], groups[i]['name'], '-', '+', pending) or {}
end
redis.call('DEL', KEYS[1])
redis.call('XGROUP', 'CREATE', KEYS[1], '@erasing', '0', 'MKSTREAM')
redis.call('XGROUP', 'DESTROY', KEYS[1], '@erasing')
for _, entry in ipairs(entries) do
  if gone[entry[1]] then
    count = count + 1
  else
    redis.call('XADD', KEYS[1], entry[1], unpack(entry[2]))
  end
end
redis.call('XSETID', KEYS[1], info['last-generated-id'], 'ENTRIESADDED', info['entries-added'],
  'MAXDELETEDID', info['max-deleted-entry-id'])
for _, group in ipairs(groups) do
  local create = {'XGROUP', 'CREATE', KEYS[1], group['name'], group['last-delivered-id']}
  if group['entries-read'] then
    create[#create + 1] = 'ENTRIESREAD'
    create[#create + 1] = group['entries-read']
  end
  redis.call(unpack(create))
  for _, each in ipairs(group['waiting']) do
    if not gone[each[1]] then
      redis.call('XCLAIM', KEYS[1], group['name'], each[2], '0', each[1], 'IDLE', each[3], 'RETRYCOUNT', each[4],
        'FORCE', 'JUSTID')
    end
  end
end
return count
"""


def find(client: Any, project: str, outside_ids: Collection[str]) -> list[Place]:
    """How many entries of customers wait."""
    return _places(project, len(_entries(client, project, outside_ids)))


def erase(client: Any, project: str, outside_ids: Collection[str]) -> list[Place]:
    """Take customers' entries out of the stream, those that were handed to the consumer too.

    Their tombstones were left before: what the consumer has in its hands, and what comes in later, it drops.
    """
    gone = _entries(client, project, outside_ids)
    count = int(client.register_script(REWRITE)(keys=[events.stream_key(project)], args=gone))
    return _places(project, count)


def _entries(client: Any, project: str, outside_ids: Collection[str]) -> list[bytes]:
    """The ids of customers' entries: theirs, and those of nobody else by a visitor that is one of them."""
    gone, visitors = set(outside_ids), set()
    theirs, nobodys = [], []
    for id_, event in _events(client, project):
        if event.customer in gone:
            theirs.append(id_)
            visitors.add(event.visitor_id)
        elif event.customer is None:
            nobodys.append((id_, event.visitor_id))
    return [*theirs, *(id_ for id_, visitor in nobodys if visitor in visitors)]


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
