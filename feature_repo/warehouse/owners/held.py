"""What each file of the warehouse holds of somebody: for the dry run, and for the certificate."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow.parquet as pq

from feature_repo.warehouse import sweep, tables
from feature_repo.warehouse.contract import ROW
from feature_repo.warehouse.owners.sought import telling, word
from feature_repo.warehouse.owners.trace import Trace
from feature_repo.warehouse.places import Place
from feature_repo.warehouse.quality import gate, measurement
from feature_repo.warehouse.state import STATE, Cleaned, Integrated, Landed, Part, State
from motherlode import audit, names
from motherlode.bundle import sha256
from motherlode.settings import Settings

INTO: Final = "into_customer_id"
OTHERS: Final = ("old", "quality", "mapping", "audit")
"""Places that are no reason to make a layer anew."""
_PSEUDONYM: Final = 64
"""Characters of one."""
_KEYS: Final = (names.CUSTOMER_ID, INTO)


def in_raw(settings: Settings, known: State, found: Trace, outside_ids: Collection[str]) -> Iterator[Place]:
    """Raw files, the record of identities, and refused files whose problem quotes them."""
    landed = {each.path: each for each in known.raw if each.path}
    for path in found.paths:
        cells = {row for rows in found.cells.get(path, {}).values() for row in rows}
        rows = len(found.rows.get(path, ())) + len(cells)
        yield Place("raw", path, rows, landed[path].sha256_raw)
    for part in known.identities:
        frame = tables.identities(settings, [part])
        rows = frame.filter(pl.col(names.OUTSIDE_ID).is_in(list(outside_ids))).height
        if rows:
            yield Place("identities", part.path, rows, part.sha256)
    pattern = word(telling(outside_ids))
    quoting = [each for each in known.raw if pattern is not None and quotes(each, pattern)]
    if quoting:
        yield Place("refused", STATE, len(quoting))


def quotes(each: Landed, pattern: re.Pattern[str]) -> bool:
    """Whether a refused file's problem names somebody, or a column of it does: its header is a row of theirs."""
    told = (each.problem, each.remedy, *each.columns)
    return each.status == "refused" and any(pattern.search(text) for text in told)


def in_layers(settings: Settings, known: State, found: Trace, keys: Sequence[str]) -> Iterator[Place]:
    """Clean, quarantine, integrated, ledgers, look-ups, matches."""
    paths = {landed.order: landed.path for landed in known.raw}
    for cleaned in known.clean:
        path = paths[cleaned.order]
        rows = found.rows.get(path, set())
        if cleaned.clean is not None and (mine := _of_rows(settings, cleaned.clean, ROW, rows)):
            yield Place("clean", cleaned.clean.path, mine, cleaned.clean.sha256)
        if cleaned.quarantine is not None:
            mine = _of_rows(settings, cleaned.quarantine, "row", rows) + found.lines.get(path, 0)
            mine += _showing(settings, cleaned.quarantine, keys)
            if mine:
                yield Place("quarantine", cleaned.quarantine.path, mine, cleaned.quarantine.sha256)
    for part, mine in of_keys(settings, known, keys, clean=False):
        if mine:
            yield Place("matches" if part is known.matches else "integrated", part.path, mine, part.sha256)
    of_file = _by_file(known.raw, found)
    for name, table in (*_named("integrated", known.integrated), *_named("lookups", known.lookups)):
        for kind, other in ((name, table.ledger), ("quarantine", table.quarantine)):
            if other is not None and (mine := _of_files(settings, other, of_file)):
                yield Place(kind, other.path, mine, other.sha256)
    apart = sum(not set(keys).isdisjoint(pair) for pair in known.kept_apart)
    if apart:
        yield Place("kept_apart", STATE, apart)


def by_name(settings: Settings, outside_ids: Collection[str]) -> Iterator[Place]:
    """Texts that cannot be written anew and name them: mappings, and the audit log of a home without a key."""
    pattern = word(telling(outside_ids))
    if pattern is None:
        return
    texts = [*sorted((settings.home / "lineage").glob("*.yaml")), settings.home / audit.LOG]
    for path in texts:
        if path.is_file() and (lines := _naming(path, pattern)):
            digest = sha256(path)
            kind = "audit" if path.name == audit.LOG else "mapping"
            yield Place(kind, path.relative_to(settings.home).as_posix(), lines, digest, digest)


def left_over(settings: Settings, known: State, keys: Sequence[str]) -> list[Place]:
    """What is deleted now, whosever it is: files that no state names any more, and figures of earlier loads."""
    old = [
        Place("old", path.relative_to(settings.home).as_posix(), _rows_of(path, keys), sha256(path))
        for path in sweep.unnamed(settings, known)
    ]
    figures = [
        Place("quality", path.relative_to(settings.home).as_posix(), 0, sha256(path))
        for path in measured(settings, known)
    ]
    return [*old, *figures]


def measured(settings: Settings, known: State, before: int = 0) -> list[Path]:
    """Figures of loads before the last erasure, and a load that was refused: they tell of rows that are gone."""
    folder = settings.home / measurement.FOLDER
    last = max([before, *(load.number for load in known.loads if load.erased)])
    told = [path for path in sorted(folder.glob("*.json")) if path.stem.isdigit() and int(path.stem) < last]
    return [*told, *(path for path in [folder / gate.REFUSED] if path.exists())]


def shows(settings: Settings, cleaned: Cleaned, keys: Collection[str]) -> bool:
    """Whether another customer's rejected row shows a join key of theirs: their id stood in the wrong column."""
    return cleaned.quarantine is not None and bool(_showing(settings, cleaned.quarantine, keys))


def of_keys(settings: Settings, known: State, keys: Sequence[str], *, clean: bool = True) -> Iterator[tuple[Part, int]]:
    """Files that know customers by join key, with their rows of some."""
    found = [each.clean for each in known.clean] if clean else []
    integrated = [part for table in known.integrated.values() for part in table.parts.values()]
    for part in [*found, *integrated, known.matches]:
        if part is not None:
            yield part, _rows_of(settings.home / part.path, keys)


def after(settings: Settings, places: Sequence[Place], before: State, now: State) -> list[Place]:
    """The places, with the hash of the file that took each one's place and the rows that it lost at least."""
    parts_now, parts_before = _slots(now), _slots(before)
    slots = {part.path: slot for slot, part in parts_before.items() if part is not None}
    found = []
    for place in places:
        slot = slots.get(place.path)
        if slot is None:
            found.append(place)
            continue
        old, new = parts_before[slot], parts_now.get(slot)
        assert old is not None
        lost = old.rows - (new.rows if new is not None else 0)
        found.append(replace(place, rows=max(place.rows, lost), sha256_after=new.sha256 if new is not None else ""))
    return found


def _slots(known: State) -> dict[tuple[object, ...], Part | None]:
    """What a file is for → the file: the same in two states."""
    found: dict[tuple[object, ...], Part | None] = {("matches",): known.matches}
    for landed in known.raw:
        if landed.path:
            found["raw", landed.order] = Part(path=landed.path, rows=landed.rows, sha256=landed.sha256_raw)
    for number, part in enumerate(known.identities):
        found["identities", number] = part
    for each in known.clean:
        found["clean", each.table, each.entry, each.order] = each.clean
        found["quarantine", each.table, each.entry, each.order] = each.quarantine
    for name, table in (*_named("integrated", known.integrated), *_named("lookups", known.lookups)):
        for month, month_part in table.parts.items():
            found[name, table.table, month] = month_part
        found[name, table.table, "ledger"], found[name, table.table, "quarantine"] = table.ledger, table.quarantine
    return found


def _named(name: str, entries: Mapping[str, Integrated]) -> list[tuple[str, Integrated]]:
    return [(name, table) for table in entries.values()]


def _by_file(landed: Sequence[Landed], found: Trace) -> pl.DataFrame:
    """`file`, `row` of their rows, as ledgers and quarantine name them."""
    frames = [
        pl.DataFrame(
            {"file": each.name, "row": sorted(found.rows[each.path])}, schema={"file": pl.String, "row": pl.UInt32}
        )
        for each in landed
        if each.status == "active" and found.rows.get(each.path)
    ]
    return pl.concat([pl.DataFrame(schema={"file": pl.String, "row": pl.UInt32}), *frames])


def _of_files(settings: Settings, part: Part, theirs: pl.DataFrame) -> int:
    rows = pl.scan_parquet(settings.home / part.path, glob=False).join(theirs.lazy(), on=["file", "row"], how="semi")
    return int(rows.select(pl.len()).collect(engine="streaming").item())


def _of_rows(settings: Settings, part: Part, column: str, rows: set[int]) -> int:
    if not rows:
        return 0
    wanted = pl.Series(sorted(rows), dtype=pl.UInt32).implode()
    scan = pl.scan_parquet(settings.home / part.path, glob=False).filter(pl.col(column).is_in(wanted))
    return int(scan.select(pl.len()).collect(engine="streaming").item())


def _showing(settings: Settings, part: Part, keys: Collection[str]) -> int:
    # Where there is no key, a value that equals the id may be any other's: `7` is a quantity, too.
    wanted = pl.Series(sorted(each for each in keys if len(each) == _PSEUDONYM), dtype=pl.String).implode()
    scan = pl.scan_parquet(settings.home / part.path, glob=False).filter(pl.col("value").is_in(wanted))
    return int(scan.select(pl.len()).collect(engine="streaming").item())


def _rows_of(path: Path, keys: Sequence[str]) -> int:
    """Rows of a file that know a customer by one of some join keys; 0 where it is encrypted or knows none."""
    with path.open("rb") as file:
        if file.read(len(_PLAIN)) != _PLAIN:
            return 0
    known = [name for name in _KEYS if name in pq.read_schema(path).names]
    if not known or not keys:
        return 0
    theirs = pl.any_horizontal(pl.col(known).is_in(pl.Series(sorted(keys), dtype=pl.String).implode()))
    return int(pl.scan_parquet(path, glob=False).filter(theirs).select(pl.len()).collect(engine="streaming").item())


_PLAIN: Final = b"PAR1"


def _naming(path: Path, pattern: re.Pattern[str]) -> int:
    return sum(bool(pattern.search(line)) for line in path.read_text(encoding="utf-8", errors="replace").splitlines())
