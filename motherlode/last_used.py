"""When each key was last used, in `access/used.json`: what tells a key that nobody needs any more.

Servers write it, beside their requests, about once a minute; so it is true to a minute, and a kill costs that minute.
It opens nothing: where it is lost or damaged, keys only seem unused.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from motherlode import access, disk
from motherlode.lock import exclusive
from motherlode.settings import Settings

FILE: Final = "used.json"
_LOCK: Final = "access-used"
"""Its own: whoever revokes a key waits for no server's bookkeeping."""


class _File(msgspec.Struct, frozen=True):
    used: dict[str, datetime]


def read(settings: Settings) -> Mapping[str, datetime]:
    """Key id → when it was last used, UTC; who is not there was not, as far as anybody knows."""
    try:
        return msgspec.json.decode(_path(settings).read_bytes(), type=_File).used
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return {}


def note(settings: Settings, used: Mapping[str, float]) -> None:
    """Take in when keys were used; of each the latest stays, whichever server tells of it.

    Args:
        settings: whose home.
        used: key id → seconds since 1970.

    Raises:
        OSError: the home takes nothing.
        StoreError: another server writes it now.
    """
    with exclusive(settings, _LOCK):
        # Of keys that the ring has: it keeps those that ended, too.
        known = {key.id for key in access.read(settings)}
        kept = {key: at for key, at in read(settings).items() if key in known}
        for key, at in used.items():
            if key in known:
                now = datetime.fromtimestamp(at, UTC).replace(microsecond=0)
                kept[key] = max(now, kept.get(key, now))
        disk.replace(_path(settings), msgspec.json.encode(_File(kept)) + b"\n")


def _path(settings: Settings) -> Path:
    return settings.home / access.FOLDER / FILE
