"""The key ring: who may call, with which scopes and how often, in `access/keys.json`, without one key in clear.

A key is `ml_<id>_<secret>`. The id is public: it finds the key and stands in logs. The secret is 256 random bits, so
one SHA-256 of the whole is as good as a slow hash: those hold up guessing, and nobody guesses 256 bits.
"""

import hashlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from motherlode import audit, disk
from motherlode.chain import Detail
from motherlode.consent import Purposes, UnknownPurposeError
from motherlode.errors import SettingsError
from motherlode.lock import exclusive
from motherlode.settings import Settings

SCORE: Final = "score"
RECOMMEND: Final = "recommend"
EVENTS: Final = "events"
PORTRAIT: Final = "portrait"
METRICS: Final = "metrics"
ADMIN: Final = "admin"
SCOPES: Final = (SCORE, RECOMMEND, EVENTS, PORTRAIT, METRICS, ADMIN)
IMPLIED: Final[Mapping[str, tuple[str, ...]]] = {ADMIN: (METRICS,)}
"""What a scope opens besides its own."""

RATE: Final = 100.0
"""Requests a second, where none is given."""
SECONDS_OF_BURST: Final = 2.0
"""How many seconds' worth of requests may come at once, where no burst is given."""

FOLDER: Final = "access"
FILE: Final = "keys.json"
FORMAT: Final = 1

_ID_BYTES: Final = 6
_SECRET_BYTES: Final = 32
_TOKEN: Final = re.compile(r"ml_([0-9a-f]{12})_[0-9a-f]{64}", re.ASCII)
_NOBODY: Final = b"\0" * 32
"""What an unknown id's token is compared with, so that it takes as long as a known one's."""


def opened(scopes: Iterable[str]) -> frozenset[str]:
    """What scopes open, with what they open besides."""
    listed = frozenset(scopes)
    return listed.union(*(IMPLIED.get(each, ()) for each in listed))


class Secret(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A secret of a key.

    Attributes:
        sha256: of the whole token, as hex.
        until: when it ends, being replaced; None: with its key.
    """

    sha256: str
    until: datetime | None = None


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A caller's key, without its secret.

    Attributes:
        id: 12 hexadecimal digits; public.
        name: who has it: a system, not a person.
        scopes: what it opens, of `SCOPES`.
        secrets: the newest first; two while one replaces the other.
        created, expires, revoked: UTC; None: never.
        rate: requests a second, over all replicas.
        burst: how many may come at once.
        purposes: what its requests may be for; empty: anything.
    """

    id: str
    name: str
    scopes: tuple[str, ...]
    secrets: tuple[Secret, ...]
    created: datetime
    expires: datetime | None = None
    revoked: datetime | None = None
    rate: float = RATE
    burst: float = RATE * SECONDS_OF_BURST
    purposes: tuple[str, ...] = ()

    def state(self, now: datetime) -> str:
        """`valid`, `revoked` or `expired`."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "valid"


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    keys: tuple[Key, ...]


class Ring:
    """Keys by their ids, to look one up while a request waits: no reading, no writing.

    Args:
        keys: all of them, the revoked too.
    """

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys: Mapping[str, tuple[Key, tuple[tuple[bytes, float], ...]]] = {
            key.id: (key, tuple((bytes.fromhex(each.sha256), _ends(each.until)) for each in key.secrets))
            for key in keys
        }

    def find(self, token: str, now: float) -> Key | None:
        """The key of a token, whatever its state; None where the id is unknown or the secret wrong.

        An unknown id costs what a known one does; secrets are compared in constant time.

        Args:
            token: as it was sent.
            now: seconds since 1970; a secret that was replaced ends.
        """
        match = _TOKEN.fullmatch(token)
        if match is None:
            return None
        digest = hashlib.sha256(token.encode()).digest()
        key, known = self._keys.get(match[1], _UNKNOWN)
        right = False
        for each, until in known:
            right |= hmac.compare_digest(digest, each) and now < until
        return key if right else None

    def usable(self, now: datetime) -> bool:
        """Whether any key opens anything."""
        return any(key.state(now) == "valid" for key, _ in self._keys.values())


def path_of(settings: Settings) -> Path:
    """Where the key ring lies."""
    return settings.home / FOLDER / FILE


def read(settings: Settings) -> tuple[Key, ...]:
    """Every key, the revoked too; none where there is no file.

    Raises:
        SettingsError: the file is damaged, or others may write it or put another in its place.
    """
    path = path_of(settings)
    try:
        with path.open("rb") as file:
            mode, content = os.fstat(file.fileno()).st_mode, file.read()
        around = path.parent.stat().st_mode
    except FileNotFoundError:
        return ()
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise SettingsError(
            f"Others may write the key ring {path} (mode {stat.S_IMODE(mode):04o}).", f"Close it: chmod 600 {path}"
        )
    if around & stat.S_IWOTH:
        raise SettingsError(
            f"Anybody may put another key ring in {path.parent} (mode {stat.S_IMODE(around):04o}).",
            f"Close it: chmod 700 {path.parent}",
        )
    try:
        read_file = msgspec.json.decode(content, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"The key ring {path} is damaged: {error}.", "Restore it from a backup.") from None
    if read_file.format != FORMAT:
        raise SettingsError(f"The key ring {path} has format {read_file.format}.", f"This version reads {FORMAT}.")
    return read_file.keys


def add(
    settings: Settings,
    name: str,
    scopes: Sequence[str],
    expires_in: timedelta | None = None,
    rate: float = RATE,
    burst: float | None = None,
    purposes: Sequence[str] = (),
) -> tuple[Key, str]:
    """Make a key; returns it and its token, which is nowhere else and cannot be shown again.

    Args:
        settings: whose ring.
        name: of the system that gets it; not the name of a person.
        scopes: of `SCOPES`, at least one.
        expires_in: None: never.
        rate: requests a second.
        burst: how many at once; None: two seconds' worth.
        purposes: what its requests may be for, of the settings' purposes; empty: anything.

    Raises:
        SettingsError: a scope or a purpose is unknown, or a number is none that can be.
        DataError: the audit log takes no entry; then there is no key either.
    """
    unknown = [each for each in scopes if each not in SCOPES]
    if unknown or not scopes:
        raise SettingsError(f"Scope {', '.join(unknown) or 'none'} is unknown.", f"Use of {', '.join(SCOPES)}.")
    if not name.strip():
        raise SettingsError("The key has no name.", "Name the system that gets it.")
    burst = max(1.0, rate * SECONDS_OF_BURST) if burst is None else burst
    if not 0 < rate < float("inf") or not 1 <= burst < float("inf"):
        raise SettingsError(f"Rate {rate:g} with burst {burst:g} is none.", "Give a rate above 0 and a burst from 1.")
    if expires_in is not None and expires_in <= timedelta(0):
        raise SettingsError("The key would have ended before it begins.", "Give a time above 0, like 90d.")
    _require_known(settings, purposes)
    now = _now()
    with exclusive(settings, FOLDER):
        keys = read(settings)
        known = {key.id for key in keys}
        while (made := secrets.token_hex(_ID_BYTES)) in known:
            continue
        token, secret = _secret(made)
        expires = None if expires_in is None else now + expires_in
        ordered = tuple(each for each in SCOPES if each in scopes)
        key = Key(
            made, name.strip(), ordered, (secret,), now, expires, None, rate, burst, tuple(dict.fromkeys(purposes))
        )
        audit.record(settings, "access add", f"key {made}", **_told(key))
        _write(settings, (*keys, key))
    return key, token


def revoke(settings: Settings, key_id: str) -> Key:
    """End a key for good; servers refuse it within a second.

    Raises:
        SettingsError: there is no such key.
        DataError: the audit log takes no entry.
    """
    with exclusive(settings, FOLDER):
        keys = read(settings)
        key = _named(settings, keys, key_id)
        if key.revoked is not None:
            return key
        ended = msgspec.structs.replace(key, revoked=_now())
        # First the key, then the log: a key that is known to others must end even where the disk has no room.
        _write(settings, _replaced(keys, ended))
        audit.record(settings, "access revoke", f"key {key.id}", called=key.name)
    return ended


def rotate(settings: Settings, key_id: str, overlap: timedelta) -> tuple[Key, str]:
    """Give a key a new secret; the one that it has stays valid for a while.

    Args:
        settings: whose ring.
        key_id: of the key.
        overlap: how long the old secret stays valid; 0: it ends now. Older ones end at once.

    Raises:
        SettingsError: there is no such key, or it is revoked or expired.
        DataError: the audit log takes no entry; then the key stays as it is.
    """
    now = _now()
    if overlap < timedelta(0):
        raise SettingsError("The overlap is negative.", "Give a time from 0, like 24h.")
    with exclusive(settings, FOLDER):
        keys = read(settings)
        key = _named(settings, keys, key_id)
        if (state := key.state(now)) != "valid":
            raise SettingsError(f"Key {key.id} is {state}.", "Make another: `motherlode access add`.")
        token, secret = _secret(key.id)
        old = msgspec.structs.replace(key.secrets[0], until=now + overlap)
        rotated = msgspec.structs.replace(key, secrets=(secret, old) if overlap else (secret,))
        audit.record(
            settings, "access rotate", f"key {key.id}", called=key.name, overlap_s=int(overlap.total_seconds())
        )
        _write(settings, _replaced(keys, rotated))
    return rotated, token


def _now() -> datetime:
    return datetime.now(UTC)


def _ends(until: datetime | None) -> float:
    return float("inf") if until is None else until.timestamp()


def _secret(key_id: str) -> tuple[str, Secret]:
    token = f"ml_{key_id}_{secrets.token_hex(_SECRET_BYTES)}"
    return token, Secret(hashlib.sha256(token.encode()).hexdigest())


def _told(key: Key) -> dict[str, Detail]:
    """What the audit log keeps of a new key."""
    expires = "never" if key.expires is None else key.expires.isoformat(timespec="seconds")
    bound = {"purposes": ",".join(key.purposes)} if key.purposes else {}
    return {"called": key.name, "scopes": ",".join(key.scopes), "expires": expires, "rate": f"{key.rate:g}/s", **bound}


def _require_known(settings: Settings, purposes: Sequence[str]) -> None:
    """Check that a key's purposes are some: one that nobody can ask for would bind it to nothing."""
    try:
        for each in purposes:
            Purposes.of(settings).rule(each)
    except UnknownPurposeError as error:
        raise SettingsError(str(error), f"Use of {', '.join(error.known)} (MOTHERLODE_PURPOSES).") from None


def _named(settings: Settings, keys: Iterable[Key], key_id: str) -> Key:
    for key in keys:
        if key.id == key_id:
            return key
    raise SettingsError(f"There is no key {key_id!r} in {path_of(settings)}.", "See `motherlode access list`.")


def _replaced(keys: Iterable[Key], changed: Key) -> tuple[Key, ...]:
    return tuple(changed if key.id == changed.id else key for key in keys)


def _write(settings: Settings, keys: tuple[Key, ...]) -> None:
    """Replace the file in one step, for its owner alone; it is on the disk when this returns."""
    path = path_of(settings)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    disk.replace(path, msgspec.json.format(msgspec.json.encode(_File(FORMAT, keys))) + b"\n")


_UNKNOWN: Final[tuple[Key | None, tuple[tuple[bytes, float], ...]]] = (None, ((_NOBODY, 0.0),))
