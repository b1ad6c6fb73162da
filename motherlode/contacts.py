"""Frequency caps: how often a customer may be contacted for a purpose, counted in Redis as applications tell it.

    <project>/@contacts/{<bucket>}<customer>    JSON: purpose → list of [milliseconds since 1970 UTC, digest of the id]

Each purpose has a list of its own, as long as its own caps ask: no number of contacts for another makes room. The key
goes by itself once every purpose's newest contact is out of its longest window. It is Redis' alone: a server that loses
its data counts from nothing. An older key holds one list of [milliseconds, purpose, digest]: it is read as well, and
written anew with the next contact.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import msgspec

from motherlode.consent import Purposes, UnknownPurposeError
from motherlode.errors import SettingsError
from motherlode.online.keys import bucket, guard_key
from motherlode.settings import Settings

_CAP: Final = re.compile(r"(?P<purpose>\w+)=(?P<most>[0-9]{1,3})/(?P<count>[0-9]{1,4})(?P<unit>[hd])")
_UNIT_MS: Final[Mapping[str, int]] = {"h": 3_600_000, "d": 86_400_000}
_MOST: Final = 200
_KEPT: Final = 256
"""Contacts of a customer for a purpose that are remembered; more than any cap allows."""
_ID: Final = 16

_LISTED: Final = """
-- What a key holds: purpose → list of {time, id}.
local function listed(raw)
  local known = cjson.decode(raw)
  if not known[1] then
    return known
  end
  local by_purpose = {}
  for _, each in ipairs(known) do
    by_purpose[each[2]] = by_purpose[each[2]] or {}
    table.insert(by_purpose[each[2]], {each[1], each[3]})
  end
  return by_purpose
end
"""
_COUNT: Final = (
    _LISTED
    + """
-- KEYS: a bucket's guard; a customer's contacts.
-- ARGV: time, purpose, id, digest of the customer, the purpose's longest window, now.
-- Returns 1 where it was counted; 0: it was before, is out of every window, or the customer was erased.
local call = redis.call
local at, purpose, id = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local window, now = tonumber(ARGV[5]), tonumber(ARGV[6])
if call('HEXISTS', KEYS[1], ARGV[4]) == 1 or at <= now - window then
  return 0
end
local raw = call('GET', KEYS[2])
local known = raw and listed(raw) or {}
local kept = {}
for _, each in ipairs(known[purpose] or {}) do
  if each[2] == id then
    return 0
  end
  if each[1] > now - window then
    kept[#kept + 1] = each
  end
end
kept[#kept + 1] = {at, id}
table.sort(kept, function(one, other) return one[1] < other[1] end)
if #kept > $kept then
  table.remove(kept, 1)
end
known[purpose] = kept
local left = math.max(call('PTTL', KEYS[2]), kept[#kept][1] + window - now)
call('SET', KEYS[2], cjson.encode(known), 'PX', left)
return 1
""".replace("$kept", str(_KEPT))
)
_MERGE: Final = (
    _LISTED
    + """
-- KEYS: a customer's contacts. ARGV: those under another name, and for how long.
-- What is damaged stays so, or comes here: how often the customer was contacted is unknown then, and nobody contacts.
local call = redis.call
local there = call('GET', KEYS[1])
local left = math.max(call('PTTL', KEYS[1]), tonumber(ARGV[2]))
local fine, known = pcall(listed, there or '{}')
local whole, others = pcall(listed, ARGV[1])
if not fine then
  return
end
if not (there and whole) then
  call('SET', KEYS[1], ARGV[1], 'PX', left)
  return
end
for purpose, contacts in pairs(others) do
  local kept, has = known[purpose] or {}, {}
  for _, each in ipairs(kept) do
    has[each[2]] = true
  end
  for _, each in ipairs(contacts) do
    if not has[each[2]] then
      kept[#kept + 1] = each
    end
  end
  table.sort(kept, function(one, other) return one[1] < other[1] end)
  while #kept > $kept do
    table.remove(kept, 1)
  end
  known[purpose] = kept
end
call('SET', KEYS[1], cjson.encode(known), 'PX', left)
""".replace("$kept", str(_KEPT))
)
_LEAVE: Final = """
-- KEYS: a customer's contacts. ARGV: as they were read. Returns 1 where they are gone, 0 where they are others now.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('UNLINK', KEYS[1])
return 1
"""


@dataclass(frozen=True)
class Cap:
    """At most so many contacts in any window of so long.

    Attributes:
        most: contacts.
        window_ms: milliseconds.
    """

    most: int
    window_ms: int


@dataclass(frozen=True)
class Caps:
    """The caps, by purpose.

    Attributes:
        of_purpose: a purpose may have several.
    """

    of_purpose: Mapping[str, tuple[Cap, ...]]

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """As MOTHERLODE_CAPS says: `marketing=3/7d,marketing=1/24h`.

        Raises:
            SettingsError: a part is no cap, or its purpose is unknown.
        """
        purposes = Purposes.of(settings)
        found: dict[str, list[Cap]] = {}
        for part in filter(None, (each.strip() for each in settings.caps.split(","))):
            match = _CAP.fullmatch(part)
            window = 0 if match is None else int(match["count"]) * _UNIT_MS[match["unit"]]
            if match is None or not window or int(match["most"]) > _MOST:
                raise SettingsError(
                    f"MOTHERLODE_CAPS says {part!r}, which is no cap.",
                    f"Write PURPOSE=MOST/WINDOW, as marketing=3/7d: at most {_MOST}, in hours (h) or days (d).",
                )
            try:
                purposes.rule(match["purpose"])
            except UnknownPurposeError as error:
                raise SettingsError(str(error), f"MOTHERLODE_PURPOSES names {', '.join(error.known)}.") from None
            found.setdefault(match["purpose"], []).append(Cap(int(match["most"]), window))
        return cls({purpose: tuple(caps) for purpose, caps in found.items()})

    def window_ms(self, purpose: str) -> int:
        """The longest window of a purpose; 0 without a cap."""
        return max((cap.window_ms for cap in self.of_purpose.get(purpose, ())), default=0)

    def reached(self, purpose: str, contacts: Sequence[tuple[int, str]], now_ms: int) -> bool:
        """Whether a customer was contacted as often as may be.

        Args:
            purpose: of the next contact.
            contacts: for it, of `decode`; one that stands there twice counts once.
            now_ms: milliseconds since 1970 UTC.
        """
        times = {name: at for at, name in contacts}.values()
        return any(
            sum(at > now_ms - cap.window_ms for at in times) >= cap.most for cap in self.of_purpose.get(purpose, ())
        )


def contacts_key(project: str, customer: str) -> str:
    """How often a customer was contacted; `customer` is an entity text."""
    return f"{project}/@contacts/{{{bucket(customer)}}}{customer}"


def decode(raw: bytes | None, purpose: str) -> list[tuple[int, str]]:
    """Contacts for a purpose as Redis holds them: time, digest of the id.

    Raises:
        msgspec.DecodeError: the value is damaged.
    """
    if raw is None:
        return []
    found = _DECODER.decode(raw)
    if isinstance(found, dict):
        return found.get(purpose, [])
    return [(at, name) for at, of, name in found if of == purpose]


def call(
    project: str, customer: str, contact: tuple[int, str, str], digest: str, window_ms: int, now_ms: int
) -> tuple[Any, ...]:
    """The call of a connection's `eval` that counts a contact, once by its purpose and id, in one step.

    Args:
        project: the Feast project.
        customer: an entity text.
        contact: its time, purpose and id.
        digest: of the customer (`Tombstones.of_entity`).
        window_ms: how long it is kept: the longest window of its purpose.
        now_ms: milliseconds since 1970 UTC.
    """
    at, purpose, name = contact
    keys = guard_key(project, bucket(customer)), contacts_key(project, customer)
    short = hashlib.sha256(name.encode()).hexdigest()[:_ID]
    return _COUNT, len(keys), *keys, at, purpose, short, digest, window_ms, now_ms


def move(client: Any, project: str, renamed: Mapping[str, str]) -> None:
    """Count on under other names, each contact once, whichever name it was counted under, also while this runs.

    Args:
        client: a connection.
        project: the Feast project.
        renamed: old → new entity text.

    Raises:
        redis.RedisError: the server is gone, or refuses.
    """
    for old, new in renamed.items():
        key = contacts_key(project, old)
        while (raw := client.get(key)) is not None:  # the names lie in slots of their own: no script sees both
            client.eval(_MERGE, 1, contacts_key(project, new), raw, max(client.pttl(key), 1))
            if client.eval(_LEAVE, 1, key, raw):
                break


_Stored = dict[str, list[tuple[int, str]]] | list[tuple[int, str, str]]
_DECODER: Final[msgspec.json.Decoder[_Stored]] = msgspec.json.Decoder(_Stored)
