"""Frequency caps: how often a customer may be contacted for a purpose, counted in Redis as applications tell it.

    <project>/@contacts/{<bucket>}<customer>    JSON: a list of [milliseconds since 1970 UTC, purpose, digest of the id]

The key goes by itself once its newest contact is out of the longest window. It is Redis' alone: a server that loses
its data counts from nothing.
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
"""Contacts of a customer that are remembered; more than any cap allows."""
_ID: Final = 16

_COUNT: Final = """
-- KEYS: a bucket's guard; a customer's contacts. ARGV: time, purpose, id, digest of the customer, longest window, now.
-- Returns 1 where it was counted; 0: it was before, is out of every window, or the customer was erased.
local call = redis.call
local at, purpose, id = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local window, now = tonumber(ARGV[5]), tonumber(ARGV[6])
if call('HEXISTS', KEYS[1], ARGV[4]) == 1 or at <= now - window then
  return 0
end
local raw = call('GET', KEYS[2])
local kept, newest = {}, at
for _, each in ipairs(raw and cjson.decode(raw) or {}) do
  if each[3] == id then
    return 0
  end
  if each[1] > now - window then
    kept[#kept + 1] = each
    newest = math.max(newest, each[1])
  end
end
kept[#kept + 1] = {at, purpose, id}
if #kept > $kept then
  table.remove(kept, 1)
end
call('SET', KEYS[2], cjson.encode(kept), 'PXAT', newest + window)
return 1
""".replace("$kept", str(_KEPT))


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

    @property
    def longest_ms(self) -> int:
        """The longest window; 0 without caps."""
        return max((cap.window_ms for caps in self.of_purpose.values() for cap in caps), default=0)

    def reached(self, purpose: str, contacts: Sequence[tuple[int, str, str]], now_ms: int) -> bool:
        """Whether a customer was contacted as often as may be.

        Args:
            purpose: of the next contact.
            contacts: of `decode`; one that stands there twice counts once.
            now_ms: milliseconds since 1970 UTC.
        """
        times = {each[2]: each[0] for each in contacts if each[1] == purpose}.values()
        return any(
            sum(at > now_ms - cap.window_ms for at in times) >= cap.most for cap in self.of_purpose.get(purpose, ())
        )


def contacts_key(project: str, customer: str) -> str:
    """How often a customer was contacted; `customer` is an entity text."""
    return f"{project}/@contacts/{{{bucket(customer)}}}{customer}"


def decode(raw: bytes | None) -> list[tuple[int, str, str]]:
    """Contacts as Redis holds them: time, purpose, digest of the id.

    Raises:
        msgspec.DecodeError: the value is damaged.
    """
    return [] if raw is None else _DECODER.decode(raw)


def call(
    project: str, customer: str, contact: tuple[int, str, str], digest: str, window_ms: int, now_ms: int
) -> tuple[Any, ...]:
    """The call of a connection's `eval` that counts a contact, once by its id, in one step.

    Args:
        project: the Feast project.
        customer: an entity text.
        contact: its time, purpose and id.
        digest: of the customer (`Tombstones.of_entity`).
        window_ms: how long it is kept.
        now_ms: milliseconds since 1970 UTC.
    """
    at, purpose, name = contact
    keys = guard_key(project, bucket(customer)), contacts_key(project, customer)
    short = hashlib.sha256(name.encode()).hexdigest()[:_ID]
    return _COUNT, len(keys), *keys, at, purpose, short, digest, window_ms, now_ms


def move(client: Any, project: str, renamed: Mapping[str, str]) -> None:
    """Count on under other names; what was counted under both keeps the newer name's.

    Args:
        client: a connection.
        project: the Feast project.
        renamed: old → new entity text.

    Raises:
        redis.RedisError: the server is gone, or refuses.
    """
    for old, new in renamed.items():
        key = contacts_key(project, old)
        raw, left_ms = client.get(key), client.pttl(key)
        if raw is not None and left_ms > 0:
            client.set(contacts_key(project, new), raw, px=left_ms, nx=True)
        client.unlink(key)


_DECODER: Final = msgspec.json.Decoder(list[tuple[int, str, str]])
