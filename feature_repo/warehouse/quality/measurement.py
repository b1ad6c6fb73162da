"""The figures of one load, kept under `home/quality/<load>.json`, so that the next load can be compared with them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from feature_repo.warehouse import files
from feature_repo.warehouse.contract import SCHEMAS
from feature_repo.warehouse.mapping.model import Mapping
from feature_repo.warehouse.quality import classes, drift, layers, parquet, profile
from feature_repo.warehouse.state import State
from motherlode.settings import Settings

FOLDER: Final = "quality"
SAMPLE: Final = 100_000
"""Rows of a table that a load looks at; rows, nulls and extremes are always those of all."""
KEPT: Final = 30
"""Loads whose figures are kept."""
_VERSION: Final = 1


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """What a load's tables held.

    Attributes:
        version: of this file's structure.
        load: its number.
        parts: table → paths of the files that its figures were taken from.
        tables: their figures.
        changes: the load's new rows against the load before.
    """

    version: int = _VERSION
    load: int
    parts: dict[str, tuple[str, ...]]
    tables: tuple[profile.Table, ...]
    changes: tuple[drift.Change, ...] = ()


def path(settings: Settings, load: int) -> Path:
    """Where a load's figures lie."""
    return settings.home / FOLDER / f"{load}.json"


def read(settings: Settings, load: int) -> Measurement | None:
    """A load's figures; None where there are none that this version reads: they can be taken again."""
    try:
        found = msgspec.json.decode(path(settings, load).read_bytes(), type=Measurement)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    return found if found.version == _VERSION else None


def write(settings: Settings, found: Measurement) -> None:
    """Keep a load's figures, and forget those of loads long past."""
    files.write(path(settings, found.load), msgspec.json.encode(found))
    path(settings, found.load - KEPT).unlink(missing_ok=True)


def number(state: State, before: State) -> int:
    """The number of the load that made `state`, whether or not its entry stands in `loads` yet."""
    last = before.loads[-1].number if before.loads else 0
    return max(last + 1, state.loads[-1].number if state.loads else 0)


def take(settings: Settings, mapping: Mapping, state: State, before: State, most: int = SAMPLE) -> Measurement:
    """Measure a load: every table's figures, and what its new rows changed.

    Args:
        settings: where the files lie.
        mapping: for the columns' privacy classes.
        state: the load's.
        before: the state before it, whose figures are taken over where a table is the same.
        most: rows of a table to look at.
    """
    last = read(settings, before.loads[-1].number) if before.loads else None
    tables: list[profile.Table] = []
    changes: list[drift.Change] = []
    for table in state.integrated:
        known = _same(last, mapping, state, table)
        tables.append(known or of_table(settings, mapping, state, table, most))
        if last is not None and known is None:
            changes += _changes(settings, last, state, before, table, most)
    return Measurement(load=number(state, before), parts=_paths(state), tables=tuple(tables), changes=tuple(changes))


def of_table(settings: Settings, mapping: Mapping, state: State, table: str, most: int) -> profile.Table:
    """A table's figures, from at most `most` of its rows."""
    parts = layers.parts(state, table)
    frame = layers.sample(settings, parts, SCHEMAS[table], most)
    known = parquet.extents(settings.home / part.path for part in parts if part.rows)
    return profile.table(table, frame, sum(part.rows for part in parts), classes.classes(mapping, table), known)


def whole(settings: Settings, mapping: Mapping, state: State) -> tuple[profile.Table, ...]:
    """Every table's figures from all of its rows, a column at a time."""
    return tuple(_whole(settings, mapping, state, table) for table in state.integrated)


def _whole(settings: Settings, mapping: Mapping, state: State, table: str) -> profile.Table:
    parts, privacy = layers.parts(state, table), classes.classes(mapping, table)
    rows = sum(part.rows for part in parts)
    known = parquet.extents(settings.home / part.path for part in parts if part.rows)
    scan = layers.scan(settings, parts, SCHEMAS[table])
    columns = [
        profile.column(
            scan.select(name).collect(engine="streaming")[name], rows, privacy.get(name, "identifier"), known.get(name)
        )
        for name in scan.collect_schema().names()
    ]
    return profile.Table(table, rows, tuple(columns))


def _changes(
    settings: Settings, last: Measurement, state: State, before: State, table: str, most: int
) -> Iterator[drift.Change]:
    earlier = next((it for it in last.tables if it.name == table), None)
    new = [it.clean for it in layers.new_cleaned(state, before, table) if it.clean is not None]
    if earlier is not None and new:
        rows = layers.sample(settings, new, SCHEMAS[table], most)
        yield from drift.changes(earlier, rows, sum(part.rows for part in new))


def _same(last: Measurement | None, mapping: Mapping, state: State, table: str) -> profile.Table | None:
    paths = tuple(part.path for part in layers.parts(state, table))
    if last is None or last.parts.get(table) != paths:
        return None
    known = next((it for it in last.tables if it.name == table), None)
    return known if known is not None and allowed(known, mapping) else None


def allowed(table: profile.Table, mapping: Mapping) -> bool:
    """Whether a table's figures show what the mapping's privacy classes let be shown, no less and no more."""
    known = classes.classes(mapping, table.name)
    return all(column.privacy == known.get(column.name, "identifier") for column in table.columns)


def _paths(state: State) -> dict[str, tuple[str, ...]]:
    return {table: tuple(part.path for part in layers.parts(state, table)) for table in state.integrated}
