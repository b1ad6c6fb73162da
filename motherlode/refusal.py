"""Bundles that serving refused: which, why, and what serves in their place. One verdict for all replicas.

A replica that refuses a bundle tells the others, through Redis (`motherlode.online.keys.refused_key`) and through a
file beside the bundles: replicas of a cluster share the one, those of one machine both. There is one refusal a version.
It holds for as long as the pointer stands as it stood then: who makes another bundle current lifts it, and who
publishes the same one again too.
"""

import logging
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from motherlode import bundles, disk
from motherlode.bundles import Pointer
from motherlode.errors import BundleError

FILE: Final = "refused.json"
_MODE: Final = 0o644
_log: Final = logging.getLogger(__name__)


class Refusal(msgspec.Struct, frozen=True, order=True):
    """What a replica found. The later one of two of a version is the greater.

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
        """Whether it is about what is current now.

        One of a pointer that would be written in the future is of a clock that was wrong, and would never end.
        """
        latest = max(current.written_ns, time.time_ns())
        return self.version == current.version and current.written_ns <= self.pointed_ns <= latest


def choose(told: Iterable[Refusal], current: Pointer, there: Iterable[str]) -> Refusal | None:
    """The refusal that holds for what is current: the latest whose substitute is there; None where none holds.

    Args:
        told: whatever is known, from wherever.
        current: what is current.
        there: the versions on this disk.
    """
    known = frozenset(there)
    return max(
        (each for each in told if each.holds(current)), key=lambda each: (each.serving in known, each), default=None
    )


def decode(content: bytes) -> Refusal | None:
    """A refusal as `encode` wrote it; None where it cannot be read, which is logged."""
    try:
        return msgspec.json.decode(content, type=Refusal)
    except (msgspec.DecodeError, UnicodeDecodeError):
        _log.warning("A refusal of a bundle cannot be read, and counts for nothing.")
        return None


def encode(refusal: Refusal) -> bytes:
    """A refusal, for Redis."""
    return msgspec.json.encode(refusal)


def read(models: Path) -> Mapping[str, Refusal]:
    """The refusals beside the bundles, by version; none where they cannot be read, which is logged.

    Raises:
        OSError: the system refuses.
    """
    try:
        return msgspec.json.decode((models / FILE).read_bytes(), type=dict[str, Refusal])
    except FileNotFoundError:
        return {}
    except (msgspec.DecodeError, UnicodeDecodeError):
        _log.warning("%s cannot be read, and counts for nothing.", FILE)
        return {}


def write(models: Path, refusal: Refusal) -> None:
    """Put a refusal beside the bundles, in one step; those of bundles that are gone go.

    Raises:
        OSError: the system refuses.
    """
    there = bundles.versions(models)
    others = {version: each for version, each in read(models).items() if version in there}
    _replace(models, {**others, refusal.version: refusal})


def lift(models: Path, version: str) -> None:
    """Forget the refusal of a version that lies beside the bundles: it was published again.

    Raises:
        OSError: the system refuses.
    """
    told = read(models)
    if version in told:
        _replace(models, {other: each for other, each in told.items() if other != version})


def holding(models: Path) -> Refusal | None:
    """The refusal of the current bundle that lies beside it; None where that serves, or nothing can be read."""
    try:
        return choose(read(models).values(), bundles.pointer(models), bundles.versions(models))
    except (BundleError, OSError, ValueError):
        return None


def _replace(models: Path, told: Mapping[str, Refusal]) -> None:
    disk.replace(models / FILE, msgspec.json.encode(told) + b"\n", _MODE)
