"""Every row of raw that is somebody's, and every other cell that names them."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from feature_repo.warehouse import events, parts, raw, sessions
from feature_repo.warehouse.contract import ROW
from feature_repo.warehouse.mapping.identifying import quantities
from feature_repo.warehouse.mapping.read import Project
from feature_repo.warehouse.owners import rewrite
from feature_repo.warehouse.owners.sought import Sought, telling, word
from feature_repo.warehouse.owners.ways import Way, Ways
from feature_repo.warehouse.state import Cleaned, Landed, State
from motherlode import names
from motherlode.bundle import sha256
from motherlode.online.tombstones import Kind
from motherlode.settings import Settings

_NUMBER: Final = re.compile(r"-?[1-9][0-9]{0,17}")

Rows = dict[str, set[int]]
"""Raw file's path below home → `_row` of some of its rows, from 1."""


@dataclass(frozen=True)
class Trace:
    """What of raw is somebody's.

    Attributes:
        rows: theirs.
        cells: path → column of the Parquet file → `_row` of other rows in which it names them.
        lines: path → how many of `rows` are lines that are no row.
        changed: segments of live events that an erasure wrote anew, and was killed before it said so.
        alone: kind → visitors, sessions and keys of rows that are theirs and nobody else's.
        equal: path → columns of times and money of others that hold a number equal to an id: these stay.
    """

    rows: Rows
    cells: dict[str, dict[str, set[int]]]
    lines: dict[str, int]
    changed: frozenset[str]
    alone: dict[Kind, set[str]]
    equal: dict[str, set[str]] = field(default_factory=dict)

    @property
    def paths(self) -> list[str]:
        """Raw files that hold anything of theirs."""
        return sorted({path for path, rows in self.rows.items() if rows} | self.cells.keys() | self.changed)


@dataclass
class _Found:
    rows: Rows = field(default_factory=lambda: defaultdict(set))
    candidates: dict[Kind, set[str]] = field(default_factory=lambda: defaultdict(set))
    alone: dict[Kind, set[str]] = field(default_factory=lambda: defaultdict(set))


def trace(
    settings: Settings, state: State, projects: Sequence[Project], outside_ids: Sequence[str], sought: Sought
) -> Trace:
    """Find them.

    Args:
        settings: whose raw, and the keys.
        state: its files.
        projects: the mapping in force first, then earlier ones.
        outside_ids: who.
        sought: the same, with those who were erased before.

    Raises:
        DataError: a raw file cannot be read.
    """
    every = {each.path: each for each in state.raw if each.path}
    ways, found = Ways(settings, projects), _Found()
    changed = frozenset(each.path for each in state.raw if events.live(each) and _changed(settings, each))
    for path, rows in _in_clean(settings, state, projects, outside_ids).items():
        if path not in changed:  # clean counts rows that are not there any more
            found.rows[path] |= rows
    for path, landed in every.items():
        _named(ways, path, landed, sought, found)
    _followed(ways, every, sought, found)
    pattern, cells = word(outside_ids), dict[str, dict[str, set[int]]]()
    words, lines, equal = telling(outside_ids), dict[str, int](), dict[str, set[str]]()
    for path, landed in every.items():
        if pattern is not None and landed.malformed:
            broken = rewrite.malformed(settings, settings.home / path, lambda text: bool(pattern.search(text)))
            found.rows[path] |= broken
            lines[path] = len(broken)
        if words:
            spared = {name for project in projects for name in quantities(project.mapping, landed.source)}
            if mine := _cells(settings, landed, words, found.rows[path], spared):
                cells[path] = mine
            numbers = [each for each in words if each.isdigit()]
            if spared and numbers and (left := _cells(settings, landed, numbers, found.rows[path], only=spared)):
                equal[path] = set(left)
    theirs = {path: rows for path, rows in found.rows.items() if rows}
    return Trace(theirs, cells, lines, changed, dict(found.alone), equal)


def masks(values: Sequence[pl.Series], ways: Sequence[Way], sought: Sought) -> tuple[pl.Series, pl.Series]:
    """Of a batch's rows: whose name is sought, and which name anybody."""
    length = len(values[0]) if values else 0
    theirs = named = pl.repeat(False, length, eager=True)
    for way, texts in zip(ways, values, strict=True):
        if way.role == "names":
            theirs = theirs | sought.among(way.kind, texts)
            named = named | texts.is_not_null()
    return theirs, named


def _changed(settings: Settings, landed: Landed) -> bool:
    return sha256(settings.home / landed.path) != landed.sha256_raw


def _named(ways: Ways, path: str, landed: Landed, sought: Sought, found: _Found) -> None:
    """Rows that name them, and by what other rows may be theirs."""
    mine = ways.of(landed)
    known = pl.Series(sorted(found.rows[path]), dtype=pl.UInt32)
    if not any(way.role == "names" for way in mine) and not len(known):
        return
    for numbers, values in ways.read(landed, mine):
        theirs, _ = masks(values, mine, sought)
        theirs = theirs | numbers.is_in(known.implode())
        if not theirs.any():
            continue
        found.rows[path].update(numbers.filter(theirs).to_list())
        for way, texts in zip(mine, values, strict=True):
            if way.role != "names":
                found.candidates[way.kind].update(texts.filter(theirs).drop_nulls().to_list())


def _followed(ways: Ways, every: dict[str, Landed], sought: Sought, found: _Found) -> None:
    """Rows that name nobody and are theirs by a visitor, a session or a key that is nobody else's."""
    candidates = Sought(found.candidates, sought.ledger)
    shared: dict[Kind, set[str]] = defaultdict(set)
    following: list[tuple[str, int, Kind, str]] = []
    for path, landed in every.items():
        mine = ways.of(landed)
        if not any(way.role != "names" for way in mine):
            continue
        known = pl.Series(sorted(found.rows[path]), dtype=pl.UInt32)
        for numbers, values in ways.read(landed, mine):
            _, named = masks(values, mine, sought)
            other = ~numbers.is_in(known.implode())
            for way, texts in zip(mine, values, strict=True):
                if way.role == "names":
                    continue
                hit = candidates.among(way.kind, texts) & other
                shared[way.kind].update(texts.filter(hit & named).to_list())
                mild = hit & ~named
                pairs = zip(numbers.filter(mild).to_list(), texts.filter(mild).to_list(), strict=True)
                following += [(path, row, way.kind, text) for row, text in pairs]
    for path, row, kind, text in following:
        if text not in shared[kind]:
            found.rows[path].add(row)
    for kind, theirs in found.candidates.items():
        found.alone[kind] = theirs - shared[kind]


def _in_clean(settings: Settings, state: State, projects: Sequence[Project], outside_ids: Iterable[str]) -> Rows:
    """Rows that clean knows by their join key: whatever expression and look-up it came by."""
    paths = {landed.order: landed.path for landed in state.raw}
    keys = pl.Series(join_keys(settings, outside_ids), dtype=pl.String).implode()
    found: Rows = defaultdict(set)
    for cleaned, scan in _scans(settings, state.clean):
        theirs = scan.filter(pl.col(names.CUSTOMER_ID).is_in(keys)).select(ROW).collect(engine="streaming")
        found[paths[cleaned.order]].update(theirs[ROW].to_list())
    for order, rows in _visited(settings, state, projects, keys):
        found[paths[order]].update(rows)
    return found


def join_keys(settings: Settings, outside_ids: Iterable[str]) -> list[str]:
    """Every join key of some customers, by the current and the previous pseudonym keys."""
    return sorted({key for each in outside_ids for key in settings.identity.join_keys(each)})


def _scans(settings: Settings, cleaned: Iterable[Cleaned]) -> Iterator[tuple[Cleaned, pl.LazyFrame]]:
    """Clean files that know customers."""
    for each in cleaned:
        for scan in parts.scan(settings, [each.clean]):
            if names.CUSTOMER_ID in scan.collect_schema():
                yield each, scan


def _visited(
    settings: Settings, state: State, projects: Sequence[Project], keys: pl.Series
) -> Iterator[tuple[int, list[int]]]:
    """Events of nobody in visits of theirs alone, by the file's order: on a device that others use, too."""
    known = [each for each in state.clean if each.table == names.INTERACTIONS]
    wanted = [names.CUSTOMER_ID, names.VISITOR_ID, names.SESSION_ID, names.EVENT_TIMESTAMP]
    scans = [
        scan.select(ROW, *wanted, pl.lit(each.order, pl.UInt32).alias("order"))
        for each, scan in _scans(settings, known)
    ]
    if not scans:
        return
    theirs = pl.col(names.CUSTOMER_ID).is_in(keys)
    every = pl.concat(scans, how="vertical_relaxed")
    seen = every.filter(theirs).select(names.VISITOR_ID).unique().collect(engine="streaming")[names.VISITOR_ID]
    mine = every.filter(theirs | pl.col(names.VISITOR_ID).is_in(seen.drop_nulls().implode()))
    visits = sessions.assign(mine.collect(engine="streaming").lazy(), projects[0].mapping.session_gap_minutes).collect()
    nobody = pl.col(names.CUSTOMER_ID).is_null()
    alone = (theirs.any() & (theirs | nobody).all()).over(names.SESSION_ID)
    found = visits.with_columns(alone.alias("_alone")).filter(
        pl.col("_alone") & nobody & pl.col(names.SESSION_ID).is_not_null()
    )
    for (order,), rows in found.partition_by("order", as_dict=True).items():
        yield int(order), rows[ROW].to_list()


def _cells(
    settings: Settings,
    landed: Landed,
    words: Sequence[str],
    gone: set[int],
    spared: Set[str] = frozenset(),
    only: Set[str] | None = None,
) -> dict[str, set[int]]:
    """Cells of other rows that hold one of some words: column of the file → rows.

    Args:
        spared: columns in which a number is not looked for.
        only: columns to look in; None: all.
    """
    found: dict[str, set[int]] = defaultdict(set)
    numbers = [int(each) for each in words if _NUMBER.fullmatch(each)]
    sure = [each for each in words if not each.isdigit()]
    tops = {name: top for name, top in raw.tops(settings, landed).items() if only is None or name in only}
    for batch in raw.batches(settings, landed, sorted(tops)) if tops else ():
        for name in [each for each, dtype in batch.schema.items() if dtype == pl.String]:
            wanted = sure if name in spared else words
            if (pattern := word(wanted)) is None:
                continue
            holding = batch.filter(pl.col(name).str.contains_any(list(wanted))).select(ROW, name)
            mine = {row for row, text in holding.iter_rows() if pattern.search(text)} - gone
            if mine:
                found[tops[name]] |= mine
        for name in [each for each, dtype in batch.schema.items() if dtype.is_numeric() and each in tops]:
            if numbers and name not in spared and (mine := set(batch.filter(equals(name, numbers))[ROW]) - gone):
                found[tops[name]] |= mine
    return dict(found)


def equals(column: str, numbers: Sequence[int]) -> pl.Expr:
    """Whether a column of numbers, of whatever kind, holds one of some whole ones."""
    whole = pl.col(column).cast(pl.Int64, strict=False)
    return (whole.is_in(list(numbers)) & (pl.col(column) == whole)).fill_null(value=False)
