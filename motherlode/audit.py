"""The audit log: who did what to the data and when, append-only, in a chain (`motherlode.chain`).

`audit.jsonl` below home, and its head, `audit.head`.
"""

import os
import pwd
import re
from datetime import UTC, datetime
from typing import Final

from motherlode import chain, names
from motherlode.chain import Chain, Detail, Entry
from motherlode.settings import Settings

LOG: Final = "audit.jsonl"
HEAD: Final = "audit.head"
HIDDEN: Final = "(hidden)"
IDENTIFIERS: Final = frozenset({names.CUSTOMER_ID, names.OUTSIDE_ID, names.VISITOR_ID, "email", "phone", "name"})
"""Details of these names keep nothing but pseudonyms."""
_PSEUDONYM: Final = re.compile(r"[0-9a-f]{64}")
_ADDRESS: Final = re.compile(r"[^\s@/:]+@[^\s@/]+")
"""An e-mail address, or a user with a password before a host."""


def of(settings: Settings) -> Chain:
    """The home's chain."""
    return Chain(settings.home / LOG, settings.home / HEAD, settings.identity)


def record(settings: Settings, action: str, subject: str, **details: Detail) -> None:
    """Append an entry; it is on the disk when this returns.

    E-mail addresses, and details of the `IDENTIFIERS` that are no pseudonyms, are replaced by `(hidden)`: a log that
    cannot be rewritten must hold nothing that an erasure would have to take out.

    Args:
        settings: whose home, whose key vouches, and who acts.
        action: one word, as of `Entry.action`.
        subject: what it was done to.
        details: more of it.

    Raises:
        DataError: the log's end is not what its head says, or another key vouches for it: nothing is appended. Or
            the system refuses to write: the entry is made by the next append, if its head could still be written.
    """
    draft = chain.Draft(
        at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        actor=_text(_actor(settings)),
        action=_text(action),
        subject=_clean(subject),
        details={name: _hide(name, value) for name, value in details.items()},
    )
    chain.append(of(settings), [draft])


def check(settings: Settings) -> None:
    """Check that the log takes an entry, before something is done that must be recorded.

    Raises:
        DataError: as in `record`.
    """
    chain.check(of(settings))


def read(settings: Settings) -> list[Entry]:
    """Every entry, checked.

    Raises:
        DataError: as in `verify`.
    """
    return chain.read(of(settings))


def last(settings: Settings, action: str) -> Entry | None:
    """The newest entry of an action; None where there is none. It is checked by itself, the log is not.

    Raises:
        DataError: an entry as new as that, or newer, was changed.
    """
    return chain.last(of(settings), action)


def verify(settings: Settings) -> int:
    """Check the whole log; returns how many entries it has.

    Raises:
        DataError: an entry was changed, removed, inserted or moved, naming the first such; the tail was cut off; or
            the head was not written by a holder of the pseudonym key.
    """
    return len(read(settings))


def _actor(settings: Settings) -> str:
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user without a name
        user = f"uid {os.getuid()}"
    return user if settings.actor in (None, user) else f"{settings.actor} ({user})"


def _hide(name: str, value: Detail) -> Detail:
    if isinstance(value, int) and name not in IDENTIFIERS:
        return value
    if name in IDENTIFIERS:
        return value if all(_PSEUDONYM.fullmatch(each) for each in str(value).split(",")) else HIDDEN
    return _clean(str(value))


def _clean(text: str) -> str:
    return _ADDRESS.sub(HIDDEN, _text(text))


def _text(value: str) -> str:
    """Text that JSON can hold: a file's name may be bytes that are no text."""
    return value.encode("utf-8", "backslashreplace").decode()
