"""Lineage: which rows went where, from which files, when."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from motherlode.bundle import sha256
from motherlode.errors import DataError
from motherlode.settings import Settings

LINEAGE: Final = "lineage.json"


class TableLineage(msgspec.Struct, frozen=True):
    """Row counts of one table through the layers.

    Attributes:
        table: the canonical table.
        file: the raw file it comes from.
        landed: rows of the raw file.
        clean: rows that passed the table's own rules.
        merged: rows that live on in another row (`clean/merged.parquet` says in which, and why).
        quarantined: rows in `quarantine/<table>.parquet`.
        derived: integrated rows that no raw row stands behind: an item or customer known only by its events.
        integrated: rows of the integrated table.
    """

    table: str
    file: str
    landed: int
    clean: int
    merged: int
    quarantined: int
    derived: int
    integrated: int

    @property
    def balanced(self) -> bool:
        """Whether every landed row is found again."""
        return self.landed + self.derived == self.integrated + self.merged + self.quarantined


class Lineage(msgspec.Struct, frozen=True):
    """How the integrated layer came about.

    Attributes:
        inputs: fingerprint of the raw files, the shift, the identity and the contract's version.
        built_at: ISO 8601, UTC.
        seconds: wall time of the build.
        tables: by table.
        files: path below home → SHA-256 of every file of the clean, quarantine and integrated layers.
    """

    inputs: str
    built_at: str
    seconds: float
    tables: tuple[TableLineage, ...]
    files: Mapping[str, str]


def read(settings: Settings) -> Lineage | None:
    """The lineage of the integrated layer; None where there is none that this version can read."""
    try:
        return msgspec.json.decode((settings.integrated / LINEAGE).read_bytes(), type=Lineage)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def holds(settings: Settings, lineage: Lineage) -> bool:
    """Whether every file is still the one that was written."""
    return all(_is(settings.home / path, digest) for path, digest in lineage.files.items())


def digests(home: Path) -> dict[str, str]:
    """Path below `home` → SHA-256, of every file."""
    return {path.relative_to(home).as_posix(): sha256(path) for path in sorted(home.rglob("*")) if path.is_file()}


def combine(parts: Mapping[str, str]) -> str:
    """One SHA-256 of named digests, whatever their order."""
    return hashlib.sha256("\n".join(f"{name} {parts[name]}" for name in sorted(parts)).encode()).hexdigest()


def fingerprint(settings: Settings) -> str:
    """SHA-256 of the integrated layer, over the hashes of its files.

    Raises:
        DataError: nothing was built.
    """
    tables = {path.name: sha256(path) for path in settings.integrated.glob("*.parquet")}
    if not tables:
        raise DataError(f"There is no integrated table in {settings.integrated}.", "Run `motherlode ingest`.")
    return combine(tables)


def _is(path: Path, digest: str) -> bool:
    return path.is_file() and sha256(path) == digest
