"""What is decided in the server, so that the outcome does not depend on who writes when."""

from string import Template
from typing import Final

from motherlode.packed.header import EVENT, FORM, FORMAT_VERSION, HEADER_SIZE, VERSION_BITS

LIVE_CHANGED: Final = "LIVECHANGED"
"""The error of a write that was made for other generations than are live now."""
DIGESTS_WANTED: Final = "DIGESTSWANTED"
"""The error of a write without digests to a bucket that has tombstones."""

_HEADER: Final = {
    "first": FORM,
    "last": HEADER_SIZE - 1,
    "versions": 1 << VERSION_BITS,
    "version": FORMAT_VERSION,
    "times": HEADER_SIZE - FORM,
    "row_event": EVENT.start + 1,
    "event": EVENT.start - FORM + 1,
}
"""Where the header of a row has what the script reads; Lua counts from 1."""

WRITE: Final = Template("""
-- Newest wins, and a tombstone beats all. Nothing is written where an error is returned.
-- KEYS: per generation n row keys; b guards; where ARGV[5] is 'index', per generation n sets of row keys of customers.
-- ARGV: what is live (@live); n; b; how many generations; 'index' or ''; when to forget each row: '' for never, or
-- n int64, little-endian, ms since 1970, 0 for never; whose the rows are: '' nobody's, '?' customers', '=' customers'
-- whose digests follow; per guard how many of the rows, which come guard by guard, are its; n rows; the digests.
-- A row replaces another when its event time is newer, or equal with a created time not older; one of another format
-- version, which nobody can read, it replaces whatever its times are.
-- Returns how many rows were newer than what lay in the first generation, and how many had an erased customer.
local call, unpack, sub, byte = redis.call, struct.unpack, string.sub, string.byte
local live, n, b, generations = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local indexed, forget, owned = ARGV[5] == 'index', ARGV[6], ARGV[7]
local guards, rows, digests = n * generations, 7 + b, 7 + b + n
local sets = guards + b
local gone, last = {}, 0
for j = 1, b do
  local guard, first = KEYS[guards + j], last + 1
  last = last + tonumber(ARGV[7 + j])
  local known = call('HGET', guard, '@live')
  if (known or '') ~= live then
    return redis.error_reply('LIVECHANGED')
  end
  if owned ~= '' and call('HLEN', guard) > (known and 1 or 0) then
    if owned == '?' then
      return redis.error_reply('DIGESTSWANTED')
    end
    for i = first, last do
      gone[i] = call('HEXISTS', guard, ARGV[digests + i]) == 1
    end
  end
end
local written, refused, at = 0, 0, 0
local there = {}  -- per generation, whether the row before lay there, as the next then mostly does
for i = 1, n do
  if gone[i] then
    refused = refused + 1
  else
    local row = ARGV[rows + i]
    if forget ~= '' then
      local low, high = unpack('<I4i4', forget, 8 * i - 7)
      at = high * 4294967296 + low
    end
    for first = 0, guards - n, n do
      local key, times, placed = KEYS[first + i], '', false
      if there[first] then
        times = call('GETRANGE', key, $first, $last)
      else
        local old
        if at == 0 then
          old = call('SET', key, row, 'NX', 'GET')
        else
          old = call('SET', key, row, 'NX', 'GET', 'PXAT', at)
        end
        placed = not old
        times = old and sub(old, $first + 1, $last + 1) or ''
      end
      there[first] = times ~= ''
      local newer = true
      if #times == $times and byte(times) % $versions == $version then
        -- Halves of an int64: a Lua number holds 53 bits.
        local event_low, event, created_low, created = unpack('<I4i4I4i4', row, $row_event)
        local old_event_low, old_event, old_created_low, old_created = unpack('<I4i4I4i4', times, $event)
        if event ~= old_event then
          newer = event > old_event
        elseif event_low ~= old_event_low then
          newer = event_low > old_event_low
        elseif created ~= old_created then
          newer = created > old_created
        else
          newer = created_low >= old_created_low
        end
      end
      if newer then
        if placed then
          -- It lies there already.
        elseif at == 0 then
          call('SET', key, row)
        else
          call('SET', key, row, 'PXAT', at)
        end
        if indexed then
          -- The set goes with the last of its rows: one that stays for good keeps it so.
          local set = KEYS[sets + first + i]
          local fresh = call('EXISTS', set) == 0
          call('SADD', set, key)
          if at == 0 then
            call('PERSIST', set)
          elseif fresh then
            call('PEXPIREAT', set, at)
          else
            call('PEXPIREAT', set, at, 'GT')
          end
        end
        if first == 0 then
          written = written + 1
        end
      end
    end
  end
end
return {written, refused}
""").substitute(_HEADER)

REMOVE: Final = """
-- KEYS: the set of a customer's row keys in views of several join keys; its row keys in the others.
-- In one step with the writers that fill the set, so that no row is left that it does not name.
-- Returns how many rows there were.
local gone = 0
for _, key in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  gone = gone + redis.call('UNLINK', key)
end
for i = 2, #KEYS do
  gone = gone + redis.call('UNLINK', KEYS[i])
end
redis.call('UNLINK', KEYS[1])
return gone
"""

PLACE_LIVE: Final = """
-- KEYS: a guard. ARGV: what is live, as JSON; its version.
-- An older version never replaces a newer one.
local known = redis.call('HGET', KEYS[1], '@live')
if not known or cjson.decode(known).version <= tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], '@live', ARGV[1])
end
return 1
"""

SWITCH: Final = """
-- KEYS: @live. ARGV: what it must be ('': nothing), what it becomes.
-- Returns 1 where it was so.
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""
