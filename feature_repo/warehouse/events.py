"""Live events in raw: segments of what came in, and their place among the sources of `interactions`.

A segment is a Parquet file `raw/@events/<first>-<last>.parquet`, named by the positions (`motherlode.events`) of its
first and its last event. It is whole or not there, and what lies in it is never landed again: the names say how far
landing has come. A load makes one file of many small ones, and reads them as a source that no mapping needs to name.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from typing import Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.warehouse import files, vault
from feature_repo.warehouse.mapping.model import Source, TableMap
from feature_repo.warehouse.mapping.read import Project
from feature_repo.warehouse.state import Landed, State
from motherlode import names
from motherlode.bundle import sha256
from motherlode.errors import DataError
from motherlode.settings import Settings

SOURCE: Final = "@events"
"""What the state calls the source; the folder's name in raw."""
POSITION: Final = "position"
EVENT_ID: Final = "event_id"
SCHEMA: Final = pa.schema(
    [
        (POSITION, pa.int64()),
        (EVENT_ID, pa.string()),
        (names.CUSTOMER_ID, pa.string()),
        (names.VISITOR_ID, pa.string()),
        (names.SESSION_ID, pa.string()),
        (names.EVENT_TYPE, pa.string()),
        (names.PAGE, pa.string()),
        (names.ITEM_ID, pa.string()),
        (names.SEARCH_TERMS, pa.string()),
        (names.REFERRER, pa.string()),
        (names.CHANNEL, pa.string()),
        (names.EVENT_TIMESTAMP, pa.timestamp("us", "UTC")),
    ]
)
"""Of a segment; customers and visitors by their outside ids, as everything in raw."""
FILE_ROWS: Final = 2_000_000
"""Events of a file that small segments are made one of."""

_ENDING: Final = ".parquet"
_WRITING: Final = ".segment-"
_MERGING: Final = ".merged-"
"""Prefixes of files that are not whole yet, one of the consumer and one of the load: each clears up after itself."""
_STEP: Final = 65_536
_LOCK: Final = "landing.lock"


@dataclass(frozen=True, order=True)
class Segment:
    """A file of landed events.

    Attributes:
        first, last: positions of its first and its last event, as they were landed: an erasure may have taken them.
        path: where it lies.
    """

    first: int
    last: int
    path: Path


def folder(settings: Settings) -> Path:
    """Where segments lie."""
    return settings.raw / SOURCE


def segments(settings: Settings) -> list[Segment]:
    """Every segment, in the order of their positions; one that lies within another was made part of it: left out."""
    found = [_segment(path) for path in folder(settings).glob(f"[0-9]*{_ENDING}")]
    kept: list[Segment] = []
    for each in sorted(found, key=lambda segment: (segment.first, -segment.last)):
        if not kept or each.last > kept[-1].last:
            kept.append(each)
    return kept


def landed_up_to(settings: Settings) -> int:
    """The position up to which every event is landed; 0 where none is."""
    return max((segment.last for segment in segments(settings)), default=0)


@contextmanager
def quiet(settings: Settings) -> Iterator[None]:
    """Nothing is landed for the length of the block: it waits for a landing that is at work, and holds up the next.

    A landing leaves out whoever has a tombstone. So an erasure leaves its tombstone, then rewrites segments in here.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / _LOCK).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write(settings: Settings, rows: pa.Table) -> Segment:
    """Land events: on the disk when this returns.

    Args:
        settings: whose raw, and the key that it is encrypted by.
        rows: one or more, of `SCHEMA`, in the order of their positions.

    Raises:
        OSError: the system refuses to write.
    """
    return _write(settings, [rows], rows[POSITION][0].as_py(), rows[POSITION][-1].as_py(), _WRITING)


def clear(settings: Settings) -> None:
    """Remove what a consumer that was killed left half-written. The caller is the only consumer."""
    for path in folder(settings).glob(f"{_WRITING}*"):
        path.unlink(missing_ok=True)


def read(settings: Settings, after: int = 0) -> Iterator[pa.Table]:
    """Every landed event behind a position, in the order of positions, some at a time.

    Segments that are made one file of meanwhile are read on in that file.

    Raises:
        DataError: one cannot be read.
    """
    while True:
        following = next((segment for segment in segments(settings) if segment.last > after), None)
        if following is None:
            return
        try:
            opened = vault.reader(following.path, settings)
        except DataError:
            if following.path.exists():
                raise
            continue
        with opened as file:
            for batch in vault.batches(file, following.path, _STEP):
                rows = pa.Table.from_batches([batch])
                kept = rows.filter(pc.greater(rows[POSITION], after))
                if kept.num_rows:
                    yield kept
        after = following.last


def merge(settings: Settings, known: Iterable[Landed]) -> None:
    """Make one file of small segments that no load has taken yet. The caller holds the warehouse.

    Args:
        known: the state's files, which stay as they are.

    Raises:
        DataError: one cannot be read.
        OSError: the system refuses to write.
    """
    for path in folder(settings).glob(f"{_MERGING}*"):
        path.unlink(missing_ok=True)
    taken = _taken(settings, known)
    fresh = [each for each in segments(settings) if each.path not in taken]
    for group in _groups(settings, fresh):
        if len(group) > 1:
            parts = (part for each in group for part in _rows(settings, each))
            _write(settings, parts, group[0].first, group[-1].last, _MERGING)
    # Listed before it is known which are whole: what is landed meanwhile is not in the list.
    there = list(folder(settings).glob(f"[0-9]*{_ENDING}"))
    whole = {each.path for each in segments(settings)} | taken
    for path in there:
        if path not in whole:
            path.unlink(missing_ok=True)


def land(settings: Settings, known: Sequence[Landed], now: datetime | None = None) -> list[Landed]:
    """The segments that the state does not know yet, as landed files, after every other one. None is copied.

    Raises:
        DataError: one cannot be read.
    """
    taken = _taken(settings, known)
    order = max((each.order for each in known), default=0)
    at = datetime.now(UTC) if now is None else now
    fresh = [each for each in segments(settings) if each.path not in taken]
    return [_landed(settings, each, order + i, at) for i, each in enumerate(fresh, start=1)]


def taken_in(settings: Settings, known: State) -> State:
    """A state with the segments that no load has taken yet among its files: an erasure rewrites these too.

    It waits for a landing that is at work; the next one leaves out whoever has a tombstone by now.

    Raises:
        DataError: one cannot be read.
    """
    with quiet(settings):
        return msgspec.structs.replace(known, raw=(*known.raw, *land(settings, known.raw)))


def live(landed: Landed) -> bool:
    """Whether a landed file is one of live events: their times are of now, and move with no others."""
    return landed.source == SOURCE


def mapped(settings: Settings, project: Project) -> Project:
    """The project with the live events among the sources of `interactions`, where there are any."""
    if SOURCE in project.mapping.sources or not segments(settings):
        return project
    mapping = project.mapping
    own = mapping.tables.get(names.INTERACTIONS, [])
    blocks = [own] if isinstance(own, TableMap) else list(own)
    columns = [name for name in SCHEMA.names if name not in (POSITION, EVENT_ID)]
    block = TableMap(from_=SOURCE, columns={name: name for name in columns}, duplicates="keep")
    return replace(
        project,
        mapping=msgspec.structs.replace(
            mapping,
            sources={**mapping.sources, SOURCE: Source(files=f"{SOURCE}/*{_ENDING}", format="parquet")},
            # Behind the company's own, so that these keep their numbers.
            tables={**mapping.tables, names.INTERACTIONS: [*blocks, block]},
        ),
    )


def _segment(path: Path) -> Segment:
    first, _, last = path.stem.partition("-")
    return Segment(int(first), int(last), path)


def _taken(settings: Settings, known: Iterable[Landed]) -> set[Path]:
    return {settings.home / each.path for each in known if each.source == SOURCE}


def _groups(settings: Settings, fresh: Sequence[Segment]) -> list[list[Segment]]:
    """Segments that become one file: neighbours, of so many rows together."""
    sizes = [_count(settings, each) for each in fresh]
    before = [0, *accumulate(sizes)]
    groups: dict[int, list[Segment]] = {}
    for each, rows in zip(fresh, before, strict=False):
        groups.setdefault(rows // FILE_ROWS, []).append(each)
    return list(groups.values())


def _count(settings: Settings, segment: Segment) -> int:
    with vault.reader(segment.path, settings) as file:
        rows: int = file.metadata.num_rows
    return rows


def _rows(settings: Settings, segment: Segment) -> Iterator[pa.Table]:
    with vault.reader(segment.path, settings) as file:
        for batch in vault.batches(file, segment.path, _STEP):
            yield pa.Table.from_batches([batch])


def _write(settings: Settings, parts: Iterable[pa.Table], first: int, last: int, prefix: str) -> Segment:
    where = folder(settings)
    where.mkdir(parents=True, exist_ok=True)
    target = where / f"{first}-{last}{_ENDING}"
    scratch = where / f"{prefix}{os.getpid()}-{first}"
    try:
        with vault.writer(scratch, SCHEMA, settings) as writer:
            for part in parts:
                writer.write_table(part)
        files.sync([scratch])
        scratch.replace(target)
        files.sync([where])
    finally:
        scratch.unlink(missing_ok=True)
    return Segment(first, last, target)


def _landed(settings: Settings, segment: Segment, order: int, at: datetime) -> Landed:
    digest = sha256(segment.path)
    with vault.reader(segment.path, settings) as file:
        rows = file.metadata.num_rows
    return Landed(
        source=SOURCE,
        name=segment.path.name,
        file_id=digest[:16],
        path=segment.path.relative_to(settings.home).as_posix(),
        sha256=digest,
        sha256_raw=digest,
        size=segment.path.stat().st_size,
        rows=rows,
        columns={name: str(dtype) for name, dtype in zip(SCHEMA.names, SCHEMA.types, strict=True)},
        landed_at=at,
        order=order,
        how={"format": "parquet"},
    )
