"""A bundle that serving refused: which, why, and what serves in its place. One verdict for all replicas.

A replica that refuses a bundle tells the others, through Redis (`motherlode.online.keys.refused_key`) and through a
file beside the bundles: replicas of a cluster share the one, those of one machine both. It holds for as long as the
pointer stands as it stood then: who makes another bundle current lifts it, and who publishes the same one again too.
"""

import logging
from pathlib import Path
from typing import Final

import msgspec

from motherlode import disk
from motherlode.bundles import Pointer, pointer
from motherlode.errors import BundleError

FILE: Final = "refused.json"
_MODE: Final = 0o644
_log: Final = logging.getLogger(__name__)


class Refusal(msgspec.Struct, frozen=True, order=True):
    """What a replica found. The later one of two is the greater.

    Attributes:
        pointed_ns: when the pointer was written that made the bundle current (`Pointer.written_ns`).
        at: when it was refused, seconds since 1970 UTC.
        version: the bundle.
        serving: the bundle that serves in its place.
        reason: why.
    """

    pointed_ns: int
    at: float
    version: str
    serving: str
    reason: str

    def holds(self, current: Pointer) -> bool:
        """Whether it is about what is current now."""
        return self.version == current.version and self.pointed_ns >= current.written_ns


def decode(content: bytes) -> Refusal | None:
    """A refusal as `encode` wrote it; None where it cannot be read, which is logged."""
    try:
        return msgspec.json.decode(content, type=Refusal)
    except (msgspec.DecodeError, UnicodeDecodeError):
        _log.warning("A refusal of a bundle cannot be read, and counts for nothing.")
        return None


def encode(refusal: Refusal) -> bytes:
    """A refusal, for Redis or the disk."""
    return msgspec.json.encode(refusal)


def read(models: Path) -> Refusal | None:
    """The refusal beside the bundles; None where there is none.

    Raises:
        OSError: the system refuses.
    """
    try:
        return decode((models / FILE).read_bytes())
    except FileNotFoundError:
        return None


def write(models: Path, refusal: Refusal) -> None:
    """Put a refusal beside the bundles, in one step.

    Raises:
        OSError: the system refuses.
    """
    disk.replace(models / FILE, encode(refusal) + b"\n", _MODE)


def holding(models: Path) -> Refusal | None:
    """The refusal of the current bundle that lies beside it; None where that serves, or nothing can be read."""
    try:
        found = read(models)
        return found if found is not None and found.holds(pointer(models)) else None
    except (BundleError, OSError, ValueError):
        return None
