"""The mart: every view's weekly snapshots, one Parquet file a view, rebuilt only where something changed."""

import hashlib
import inspect
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo.features import frames
from feature_repo.features.catalogue import VIEWS, View
from feature_repo.warehouse import files, lineage, tables
from motherlode import names
from motherlode.bundle import sha256
from motherlode.errors import DataError
from motherlode.settings import Settings

CADENCE: Final = timedelta(days=7)
WARM_UP: Final = timedelta(days=28)
"""Data that the first snapshot needs behind it: the shortest window."""

SNAPSHOTS_PER_PLAN: Final = 26
"""Half a year at once: what bounds the memory of the widest plan. Any number gives the same rows."""

LINEAGE: Final = "lineage.json"
_VERSION: Final = 1
"""Raised when the files themselves change."""


class Collector(Protocol):
    """The one thing wanted of a compute room."""

    def collect(self, lf: pl.LazyFrame) -> pl.DataFrame:
        """Run a plan."""
        ...


class ViewLineage(msgspec.Struct, frozen=True):
    """How one view's file came about.

    Attributes:
        view: its name; the file is `mart/<view>.parquet`.
        inputs: fingerprint of the integrated layer, the snapshots and the view's code.
        rows, snapshots: how many.
        created_at: the rows' `created_timestamp`, ISO 8601, UTC.
        seconds: wall time of the build.
        sha256: of the file.
    """

    view: str
    inputs: str
    rows: int
    snapshots: int
    created_at: str
    seconds: float
    sha256: str


def snapshot_times(tables: Mapping[str, pl.LazyFrame]) -> pl.DataFrame:
    """The weekly snapshots of the data: midnight UTC, the last after the last day with a transaction.

    Returns:
        One column, `event_timestamp`, ascending. The first is the earliest with four weeks of data behind it;
        where there is less data, the last stands alone, and without data there is none.
    """
    time_ = pl.col(names.EVENT_TIMESTAMP)
    span = tables[names.TRANSACTIONS].select(time_.min().alias("first"), time_.max().alias("last")).collect()
    first, last = span.row(0)
    times = []
    if first is not None:
        latest = _midnight(last) + timedelta(days=1)
        weeks = max(0, (latest - _midnight(first) - WARM_UP) // CADENCE)
        times = [latest - week * CADENCE for week in range(weeks, -1, -1)]
    return pl.DataFrame({names.EVENT_TIMESTAMP: times}, schema={names.EVENT_TIMESTAMP: pl.Datetime("us", "UTC")})


def build(
    settings: Settings,
    compute_room: Collector,
    *,
    views: Sequence[View] = VIEWS,
    on_view: Callable[[str], None] | None = None,
) -> tuple[ViewLineage, ...]:
    """Write the views' snapshots to the mart; what is still valid is kept.

    Args:
        settings: where.
        compute_room: `motherlode.compute.room(...)`.
        views: which; all of them by default.
        on_view: told each view's name once it is done.

    Returns:
        How each view's file came about, in the order of `views`.

    Raises:
        DataError: the integrated tables were not built.
        DeviceError: a plan does not run on the room's device.
    """
    integrated = tables.scan_all(settings)
    snapshots = snapshot_times(integrated)
    data = lineage.fingerprint(settings)
    known = read(settings)
    for view in views:
        wanted = snapshots.tail(1) if view.latest_only else snapshots
        inputs = _inputs(view, data, wanted)
        entry = known.get(view.name)
        if entry is None or entry.inputs != inputs or not _holds(settings, entry):
            known[view.name] = _build(settings, compute_room, view, integrated, wanted, inputs)
            record(settings, known)
        if on_view is not None:
            on_view(view.name)
    return tuple(known[view.name] for view in views)


def read(settings: Settings) -> dict[str, ViewLineage]:
    """The mart's lineage by view; empty where there is none that this version can read."""
    try:
        entries = msgspec.json.decode((settings.mart / LINEAGE).read_bytes(), type=list[ViewLineage])
    except (FileNotFoundError, msgspec.DecodeError):
        return {}
    return {entry.view: entry for entry in entries}


def path_of(settings: Settings, view: str) -> Path:
    """Where a view's snapshots lie."""
    return settings.mart / f"{view}.parquet"


def _build(
    settings: Settings,
    compute_room: Collector,
    view: View,
    tables: Mapping[str, pl.LazyFrame],
    snapshots: pl.DataFrame,
    inputs: str,
) -> ViewLineage:
    started, created, rows = time.perf_counter(), datetime.now(UTC), 0
    with _writing(path_of(settings, view.name), _arrow_schema(view)) as writer:
        for part in snapshots.iter_slices(SNAPSHOTS_PER_PLAN):
            frame = compute_room.collect(view.build(tables, part.lazy()))
            writer.write_table(_arrow_table(view, frame, created))
            rows += frame.height
    return ViewLineage(
        view=view.name,
        inputs=inputs,
        rows=rows,
        snapshots=snapshots.height,
        created_at=created.isoformat(),
        seconds=round(time.perf_counter() - started, 2),
        sha256=sha256(path_of(settings, view.name)),
    )


def _arrow_table(view: View, frame: pl.DataFrame, created: datetime) -> pa.Table:
    """A part of a view's file, sorted.

    Raises:
        DataError: the view's function did not keep to its declaration.
    """
    declared = [names.CUSTOMER_ID, names.EVENT_TIMESTAMP, *view.features]
    if frame.columns != declared:
        raise DataError(f"The view {view.name!r} gave the columns {frame.columns}.", f"Its FEATURES say {declared}.")
    created_column = pl.lit(created).cast(pl.Datetime("us", "UTC")).alias(names.CREATED_TIMESTAMP)
    ordered = frame.sort(names.EVENT_TIMESTAMP, names.CUSTOMER_ID).with_columns(created_column)
    return ordered.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(_arrow_schema(view))


def _arrow_schema(view: View) -> pa.Schema:
    timestamp = pa.timestamp("us", tz="UTC")
    return pa.schema(
        [
            (names.CUSTOMER_ID, pa.string()),
            (names.EVENT_TIMESTAMP, timestamp),
            *((name, _arrow_type(dtype)) for name, dtype in view.features.items()),
            (names.CREATED_TIMESTAMP, timestamp),
        ]
    )


def _arrow_type(dtype: pl.DataType) -> pa.DataType:
    """Arrow's plain type of a feature: `string`, not `large_string`, which fewer readers know."""
    if isinstance(dtype, pl.List):
        return pa.list_(_arrow_type(pl.Series(dtype=dtype.inner).dtype))
    if dtype == pl.String:
        return pa.string()
    return pl.Series(dtype=dtype).to_arrow().type


@contextmanager
def _writing(path: Path, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """A Parquet file that takes its place, whole, when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(prefix=".writing-", dir=path.parent, delete=False) as file:
        scratch = Path(file.name)
    try:
        with pq.ParquetWriter(scratch, schema, compression="zstd") as writer:
            yield writer
        scratch.chmod(0o644)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def _inputs(view: View, data: str, snapshots: pl.DataFrame) -> str:
    """One digest of all that a view's file depends on."""
    sources = (Path(inspect.getfile(view.build)), Path(inspect.getfile(frames)))
    code = [source.read_bytes() for source in sources]
    times = ",".join(time_.isoformat() for time_ in snapshots[names.EVENT_TIMESTAMP])
    parts = [str(_VERSION).encode(), data.encode(), times.encode(), *code]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _holds(settings: Settings, entry: ViewLineage) -> bool:
    path = path_of(settings, entry.view)
    return path.is_file() and sha256(path) == entry.sha256


def record(settings: Settings, entries: Mapping[str, ViewLineage]) -> None:
    """Make these the mart's lineage, in one step."""
    content = msgspec.json.format(msgspec.json.encode(list(entries.values())), indent=1)
    files.write(settings.mart / LINEAGE, content)


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)
