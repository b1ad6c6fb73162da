"""The first bytes of a packed row, which lie alike whatever its columns are. Nobody else counts its bytes."""

from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any, Final

FORMAT_VERSION: Final = 2
VERSION_BITS: Final = 4
"""The low bits of the form, which hold the format version."""
FORM: Final = 4
FINGERPRINT: Final = slice(5, 9)
EVENT: Final = slice(9, 17)
CREATED: Final = slice(17, 25)
HEADER_SIZE: Final = CREATED.stop
MARK: Final = slice(FORM, FINGERPRINT.stop)
"""What tells how a row is read: its form, and its schema's fingerprint."""
MARK_SIZE: Final = MARK.stop - MARK.start

mark_of: Final[Callable[[Any], bytes]] = itemgetter(MARK)
"""A row's mark; shorter than `MARK_SIZE` where the row is cut."""


def current(row: bytes) -> bool:
    """Whether a row, or its first `HEADER_SIZE` bytes, is of this format; one of another format cannot be read."""
    return len(row) >= HEADER_SIZE and of_version(row[FORM])


def of_version(form: int) -> bool:
    """Whether a row's form is of this format."""
    return form % (1 << VERSION_BITS) == FORMAT_VERSION


def fingerprint_in(mark: bytes) -> int:
    """The fingerprint in a whole mark."""
    return int.from_bytes(mark[FINGERPRINT.start - FORM :], "little")


def fingerprint_of(row: bytes) -> int | None:
    """A row's schema; None where the row is not of this format."""
    return int.from_bytes(row[FINGERPRINT], "little") if current(row) else None


def fingerprints_of(rows: Iterable[bytes | None]) -> set[int]:
    """The schemas of rows of this format; None is no row."""
    marks = set(map(mark_of, filter(None, rows)))
    return {fingerprint_in(mark) for mark in marks if len(mark) == MARK_SIZE and of_version(mark[0])}


def event_us_of(row: bytes) -> int | None:
    """A row's event time, microseconds since 1970 UTC, by its header alone; None where it is not of this format."""
    return int.from_bytes(row[EVENT], "little", signed=True) if current(row) else None


def created_us_of(row: bytes) -> int | None:
    """A row's created time, microseconds since 1970 UTC, by its header alone; None where it is not of this format."""
    return int.from_bytes(row[CREATED], "little", signed=True) if current(row) else None
