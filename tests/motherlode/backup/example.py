"""What the tests of backups share: a home's files, and what is asked of them."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from motherlode.online.tombstones import Tombstone, Tombstones
from motherlode.settings import Settings

KEY = "a key of backups that is long enough"
CANARY = "household-4711-canary"


def write_rows(path: Path, customers: list[str]) -> None:
    """A Parquet file of customers, uncompressed so that an id can be found in its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame({"outside_id": customers}, schema={"outside_id": pl.String}).write_parquet(
        path, compression="uncompressed"
    )


def erased(settings: Settings, customer: str) -> Tombstone:
    """The tombstone of a customer's outside id."""
    digest = Tombstones(settings).digest("outside", customer)
    return Tombstone(kind="outside", digest=digest, at=datetime.now(UTC), certificate="c1")


def reapply(settings: Settings) -> None:
    """Take out of every Parquet file the customers whom the ledger names."""
    ledger = Tombstones(settings)
    for path in settings.home.rglob("*.parquet"):
        customers = pl.read_parquet(path)["outside_id"].to_list()
        write_rows(path, [each for each in customers if not ledger.has("outside", each)])


def digests(home: Path) -> dict[str, str]:
    """Path → SHA-256 of every file of a home that is backed up, but for what registering a folder changes."""
    apart = {"valkey", "logs", "backups.json", "pipeline.lock", "warehouse.lock"}
    return {
        str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(home.rglob("*"))
        if path.is_file() and path.relative_to(home).parts[0] not in apart and not path.name.startswith(".")
    }


def holding(folder: Path, text: str) -> list[Path]:
    """Files below a folder that hold a text, in their bytes or their names."""
    return [
        path
        for path in folder.rglob("*")
        if text in path.name or (path.is_file() and text.encode() in path.read_bytes())
    ]
