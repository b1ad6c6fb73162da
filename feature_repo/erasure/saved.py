"""Customers out of Parquet files beside the layers: saved data sets, scores and other exports."""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo.warehouse import files
from feature_repo.warehouse.places import Place
from motherlode import audit, names
from motherlode.bundle import sha256
from motherlode.settings import Settings

MANAGED: Final = frozenset({"raw", "clean", "quarantine", "integrated", "mart", "given", "valkey", "models", "erasure"})
"""Folders below home whose files others rewrite."""
_COLUMNS: Final = (names.CUSTOMER_ID, names.OUTSIDE_ID)
_GROUP: Final = 250_000


def find(settings: Settings, ids: Collection[str], beside: Iterable[Path] = ()) -> list[Place]:
    """Where saved rows are of customers.

    Args:
        settings: whose home.
        ids: their outside ids, and their join keys under every pseudonym key.
        beside: saved data sets that lie elsewhere.
    """
    found = ((path, _count(path, ids)) for path in _paths(settings, beside))
    return [Place("saved", _told(settings, path), rows, sha256(path)) for path, rows in found if rows]


def erase(settings: Settings, ids: Collection[str], beside: Iterable[Path] = ()) -> list[Place]:
    """Take customers' rows out of saved files; each is replaced in one step.

    Raises:
        DataError: the system refuses to write.
    """
    places = []
    for place in find(settings, ids, beside):
        path = settings.home / place.path
        with files.writing(path) as scratch:
            _copy(path, scratch, ids)
            scratch.chmod(path.stat().st_mode)
            files.sync([scratch])
            scratch.replace(path)
            files.sync([path.parent])
        places.append(Place(place.name, place.path, place.rows, place.sha256_before, sha256(path)))
    return places


def unreadable(settings: Settings, beside: Iterable[Path]) -> list[Path]:
    """Saved files outside home that are no Parquet files, or damaged: nobody can tell whom they hold."""
    return [path for path in _paths(settings, beside) if not path.is_relative_to(settings.home) and not _sound(path)]


def _sound(path: Path) -> bool:
    try:
        pq.read_metadata(path)
    except pa.ArrowInvalid:
        return False
    return True


def _copy(path: Path, target: Path, ids: Collection[str]) -> None:
    """A file without customers' rows, a batch at a time: a saved data set may be larger than memory."""
    with pq.ParquetFile(path) as file:
        schema, keys = file.schema_arrow, _keys(file.schema_arrow)
        with pq.ParquetWriter(target, schema, compression=_codec(path)) as writer:
            for batch in file.iter_batches(_GROUP):
                stays = ~pl.DataFrame(batch.select(keys)).select(_theirs(keys, ids)).to_series()
                kept = pa.Table.from_batches([batch], schema).filter(stays.to_arrow())
                if kept.num_rows:
                    writer.write_table(kept)


def exports(settings: Settings) -> list[Path]:
    """Files that were written outside home by a command, as the audit log has it, and are still there."""
    told = {Path(entry.subject).absolute() for entry in audit.read(settings) if entry.action == "export"}
    return sorted(path for path in told if path.is_file() and not path.is_relative_to(settings.home))


def holding(paths: Iterable[Path], ids: Collection[str]) -> list[Path]:
    """The Parquet files among some that have rows of customers."""
    return [path for path in paths if path.suffix == ".parquet" and _count(path, ids)]


def _paths(settings: Settings, beside: Iterable[Path]) -> Iterator[Path]:
    for path in sorted(settings.home.rglob("*.parquet")):
        if path.relative_to(settings.home).parts[0] not in MANAGED:
            yield path
    for place in beside:
        if not place.is_relative_to(settings.home):
            yield from sorted(place.rglob("*.parquet")) if place.is_dir() else [place] if place.is_file() else ()


def _count(path: Path, ids: Collection[str]) -> int:
    """How many rows of a file are theirs; of one that is no Parquet file none: the byte scan looks into it."""
    try:
        keys = _keys(pq.read_schema(path))
    except pa.ArrowInvalid:
        return 0
    return int(pl.read_parquet(path, columns=keys, glob=False).select(_theirs(keys, ids)).sum().item()) if keys else 0


def _keys(schema: pa.Schema) -> list[str]:
    return [name for name in _COLUMNS if name in schema.names]


def _theirs(keys: list[str], ids: Collection[str]) -> pl.Expr:
    them = sorted(ids)
    return pl.any_horizontal(pl.col(name).cast(pl.String).is_in(them).fill_null(value=False) for name in keys)


def _codec(path: Path) -> str:
    """How a file is compressed, as Parquet calls it."""
    metadata = pq.read_metadata(path)
    return str(metadata.row_group(0).column(0).compression) if metadata.num_row_groups else "ZSTD"


def _told(settings: Settings, path: Path) -> str:
    """A path below home as such; another one whole."""
    return path.relative_to(settings.home).as_posix() if path.is_relative_to(settings.home) else str(path)
