"""The folder of all bundles: which there are, and which was made current, in one step."""

import os
import shutil
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from motherlode import disk
from motherlode.errors import BundleError
from motherlode.manifest import MANIFEST

CURRENT: Final = "current"
PUBLISHED: Final = "published"
"""The versions that were made current, in that order; a rollback takes the last one off."""


def versions(models: Path) -> list[str]:
    """Every written version, oldest first, published or not."""
    if not models.is_dir():
        return []
    return sorted(path.parent.name for path in models.glob(f"*/{MANIFEST}") if not path.parent.name.startswith("."))


@dataclass(frozen=True)
class Pointer:
    """What was made current.

    Attributes:
        version: which.
        written_ns: when, nanoseconds on the clock of the disk; a version that is published again has another time.
    """

    version: str
    written_ns: int


def pointer(models: Path) -> Pointer:
    """What was made current last.

    Raises:
        BundleError: nothing was published.
        OSError, ValueError: the pointer cannot be read.
    """
    try:
        with (models / CURRENT).open(encoding="utf-8") as file:
            # Of the file that is read: by its name there may be another one by now.
            return Pointer(file.read().strip(), os.fstat(file.fileno()).st_mtime_ns)
    except FileNotFoundError:
        raise BundleError(
            f"No bundle is published in {models}.", "Run `motherlode demo`, or `motherlode train` and `publish`."
        ) from None


def current(models: Path) -> Path:
    """The folder of the bundle that was made current.

    Raises:
        BundleError: nothing was published.
        OSError, ValueError: the pointer cannot be read.
    """
    return models / pointer(models).version


def flip(models: Path, version: str) -> None:
    """Make a version current, in one step.

    Raises:
        BundleError: there is no such version.
    """
    if version not in versions(models):
        raise BundleError(
            f"There is no bundle {version!r} in {models}.", f"Written: {', '.join(versions(models)) or 'none'}."
        )
    known = published(models)
    if known[-1:] != [version]:
        _replace(models / PUBLISHED, [*known, version])
    _replace(models / CURRENT, [version])


def published(models: Path) -> list[str]:
    """The versions that were made current, the current one last; those that were rolled back are not among them."""
    try:
        return (models / PUBLISHED).read_text().split()
    except FileNotFoundError:
        return []


def previous(models: Path, refused: Collection[str] = ()) -> str:
    """The version that was current before, and is still there.

    Args:
        models: the folder of all bundles.
        refused: versions to pass over.

    Raises:
        BundleError: there is none.
    """
    now = current(models).name
    for version in reversed(published(models)):
        if version != now and version not in refused and version in versions(models):
            return version
    passed = f" but what serving refused: {', '.join(sorted(refused))}" if refused else ""
    raise BundleError(f"No bundle was published before {now}{passed}.", "Train and publish a new one.")


def flip_back(models: Path, refused: Collection[str] = ()) -> str:
    """Make the version before current again, as if the current one had never been published; returns it.

    Args:
        models: the folder of all bundles.
        refused: versions to pass over.

    Raises:
        BundleError: there is none.
    """
    version = previous(models, refused)
    known = published(models)
    last = len(known) - known[::-1].index(version)
    _replace(models / PUBLISHED, known[:last])
    _replace(models / CURRENT, [version])
    return version


def _replace(path: Path, lines: Sequence[str]) -> None:
    """Write a small file in one step; it is on the disk when this returns."""
    disk.replace(path, "".join(f"{line}\n" for line in lines).encode(), 0o644)


def collect(models: Path, keep: int, serving: str | None = None) -> list[str]:
    """Delete all but the current bundle and the newest `keep` others; returns what went.

    Args:
        models: the folder of all bundles.
        keep: how many.
        serving: one that serves in place of the current one, where there is such; it stays too.
    """
    with suppress(BundleError):
        kept = {current(models).name, serving}
        gone = [version for version in versions(models) if version not in kept][:-keep]
        for version in gone:
            shutil.rmtree(models / version)
        return gone
    return []
