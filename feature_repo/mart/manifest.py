"""The mart's manifest: one file, `mart/manifest.json`, that says which files hold each view's snapshots.

The files are immutable and carry a digest in their name. A build writes new ones beside the old, then replaces the
manifest in one step: a reader sees the mart before or the mart after, and a build that is killed leaves the one before.
"""

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo.features.view import Words
from feature_repo.warehouse import files as whole_files
from motherlode.errors import DataError
from motherlode.settings import Settings

MANIFEST: Final = "manifest.json"
VERSION: Final = 1
BUILD: Final = "Run `motherlode features`."
_LOCK: Final = ".manifest.lock"


class TimelinePart(msgspec.Struct, frozen=True, kw_only=True):
    """One Parquet file of the timeline: the rows of a table's part by partition, a row group each.

    Attributes:
        path: below the mart.
        made_of: digest of all that it was made from: the integrated part, the columns that entered, the partitions.
        rows: how many, by partition; the last are those that belong to no customer.
    """

    path: str
    made_of: str
    rows: tuple[int, ...]


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """One Parquet file of a view: the rows of some customers at some snapshots, by time, then key.

    Attributes:
        path: below the mart.
        partition: of the customers, from 0; -1 for rows of all of them: a view that is computed whole or compares
            customers with each other, and rows that were written to it.
        era: the month of its snapshots, as "2024-03".
        rows: how many.
        sha256: of the file.
    """

    path: str
    partition: int
    era: str
    rows: int
    sha256: str


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """How one view's files came about.

    Attributes:
        view: its name.
        own: whether it is the company's own, and none of the catalogue's.
        code: digest of all but data that its rows depend on: its module, the shared plans, the words, Polars.
        pieces: its files.
        written: rows that were written to it by Feast's `write_to_offline_store` or `push`; no build drops them.
        rows: of the pieces.
        created_at: when the newest piece was made, UTC.
        seconds: wall time of the last build that changed it.
    """

    view: str
    own: bool = False
    code: str
    pieces: tuple[Piece, ...]
    written: tuple[Piece, ...] = ()
    rows: int
    created_at: datetime
    seconds: float


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """How `customers.parquet`, the mart's own table of customers, came about.

    Attributes:
        inputs: digest of all that it is made from.
        rows: how many.
        created_at: UTC.
        sha256: of the file.
    """

    inputs: str
    rows: int
    created_at: datetime
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """All of the mart.

    Attributes:
        version: of this layout.
        cadence_days: between regular snapshots.
        anchor: a regular snapshot, the last of the first build: the others are whole cadences from it.
        partitions: of the customers; a power of two, chosen by the first build.
        words: the company's words, that features are named after.
        snapshots: the times, UTC, ascending; the last may stand between two regular ones: it is as fresh as the data.
        timeline: what the views' rows were made from: table → its parts, by month; "" for a table in one file, "given"
            for labels that models and callers gave.
        views: by name.
        customers: the table of customers, where it was written.
    """

    version: int = VERSION
    cadence_days: int = 7
    anchor: datetime | None = None
    partitions: int = 0
    words: Words = Words()
    snapshots: tuple[datetime, ...] = ()
    timeline: Mapping[str, Mapping[str, tuple[TimelinePart, ...]]] = {}
    views: Mapping[str, Built] = {}
    customers: Carried | None = None


def read(settings: Settings) -> Manifest:
    """The manifest; an empty one where nothing was built.

    Raises:
        DataError: it cannot be read, or another version of Motherlode wrote it.
    """
    path = settings.mart / MANIFEST
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        return Manifest()
    except msgspec.DecodeError as error:
        raise DataError(f"{path} cannot be read: {error}.", f"Delete it. {BUILD}") from error
    if manifest.version != VERSION:
        raise DataError(f"{path} is of layout {manifest.version}; this Motherlode reads {VERSION}.", BUILD)
    return manifest


@contextmanager
def flipping(settings: Settings) -> Iterator[None]:
    """Alone between reading the manifest and replacing it, for the length of the block; whoever comes later waits.

    Not for the length of a build: a build takes over at its end what was `written` since it began.
    """
    settings.mart.mkdir(parents=True, exist_ok=True)
    with (settings.mart / _LOCK).open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def write(settings: Settings, manifest: Manifest) -> None:
    """Make it the mart, in one step, once every file that it names is on the disk."""
    named = {settings.mart / path for path in paths(manifest)}
    whole_files.sync({*named, *(path.parent for path in named)})
    whole_files.write(settings.mart / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1))


def paths(manifest: Manifest) -> set[str]:
    """Every file that a manifest names, below the mart."""
    pieces = (piece for built in manifest.views.values() for piece in (*built.pieces, *built.written))
    parts = (part for table in manifest.timeline.values() for month in table.values() for part in month)
    return {*(piece.path for piece in pieces), *(part.path for part in parts)}


def whole(path: Path, rows: int) -> bool:
    """Whether a Parquet file is there and has its rows: by its footer, without reading them."""
    try:
        return bool(pq.read_metadata(path).num_rows == rows)
    except (OSError, pa.ArrowException):
        return False


def files(settings: Settings, view: str) -> list[Path]:
    """The files of a view, in the order of their rows' partitions and times; those written to it last.

    Raises:
        DataError: the view was not built.
    """
    built = read(settings).views.get(view)
    if built is None:
        raise DataError(f"There are no snapshots of the view {view!r} in {settings.mart}.", BUILD)
    return [settings.mart / piece.path for piece in (*built.pieces, *built.written)]


def scan(settings: Settings, view: str) -> pl.LazyFrame:
    """A view's snapshots: its key, `event_timestamp`, its features, `created_timestamp`; in no order.

    Raises:
        DataError: the view was not built.
    """
    return pl.concat([pl.scan_parquet(path, glob=False) for path in files(settings, view)])
