"""A customer out of the warehouse: out of raw, and out of all that is made from it.

Raw files that hold them are written anew beside the old ones, without their rows; the layers above are made again from
these as by a load; then `warehouse.json` is replaced in one step, and every file that it does not name is deleted. An
erasure that is killed before that step leaves the state before, one that is killed after it leaves files that nobody
reads: run again, it ends the same. Who was erased is kept out of later loads by the ledger of digests
(`motherlode.online.tombstones`, `owners.sift`): lay the tombstones first.

The company's own files outside the home folder are not touched, nor is the mapping where it names somebody.
"""

import re
import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
import polars as pl

from feature_repo.warehouse import (
    events,
    files,
    identities,
    parts,
    pipeline,
    privacy,
    raw,
    raw_file,
    state,
    sweep,
    tables,
    upgrade,
    vault,
)
from feature_repo.warehouse.mapping.read import Project, read
from feature_repo.warehouse.owners import held, rewrite
from feature_repo.warehouse.owners.sought import GONE, Sought, telling, word
from feature_repo.warehouse.owners.trace import Trace, trace
from feature_repo.warehouse.owners.trace import join_keys as own_keys
from feature_repo.warehouse.places import Place
from feature_repo.warehouse.quality import measurement, report
from feature_repo.warehouse.quality.measure import measure
from feature_repo.warehouse.state import Landed, State
from motherlode import audit, names
from motherlode.bundle import sha256
from motherlode.errors import DataError
from motherlode.lock import exclusive
from motherlode.online.tombstones import Kind, Tombstone, Tombstones
from motherlode.settings import Settings

ACTION: Final = "erase"
"""Of the entries in the audit log, one a raw file."""


def find(settings: Settings, outside_ids: Sequence[str]) -> list[Place]:
    """What an erasure would take, and where; nothing is written.

    Args:
        settings: whose warehouse, and the keys.
        outside_ids: the customers, by the company's ids.

    Raises:
        DataError: a file cannot be read, or its key is not here.
    """
    known = state.read(settings)
    # Without waiting for a landing at work, which would write a lock: what it lands is not there yet.
    known = msgspec.structs.replace(known, raw=(*known.raw, *events.land(settings, known.raw)))
    return _plan(settings, known, _projects(settings, known), _texts(outside_ids))[1]


def erase(settings: Settings, outside_ids: Sequence[str]) -> list[Place]:
    """Take customers out of the warehouse. Run again, it does what is left to do.

    Args:
        settings: whose warehouse, and the keys.
        outside_ids: the customers, by the company's ids.

    Returns:
        What was taken; `sha256_after` of a file that took another's place.

    Raises:
        DataError: a file cannot be read or written, or its key is not here; or the mapping makes a customer's id in
            a way that the rows cannot be traced back by.
        StoreError: a load is at work in this home.
    """
    ids = _texts(outside_ids)
    with exclusive(settings, pipeline.LOCK):
        audit.check(settings)
        on_disk = events.taken_in(settings, state.read(settings))
        pipeline.record_late(settings, on_disk)
        sweep.half_written(settings)
        with events.quiet(settings):  # nobody is landing: what is half-written is left over
            events.clear(settings)
        projects = _projects(settings, on_disk)
        privacy.check_keys(settings, on_disk)
        found, places = _plan(settings, on_disk, projects, ids)
        if not found.paths and all(place.name in held.OTHERS for place in places):
            return _cleared(settings, on_disk, places)
        if not projects:  # live events that nothing was loaded beside
            told = {path: _rewritten(settings, on_disk, path, found, ids) for path in found.paths}
            raw_now = tuple(_landed(settings, each, told, found) for each in on_disk.raw)
            candidate = msgspec.structs.replace(on_disk, raw=raw_now)
            _record(settings, on_disk, candidate)
            return _cleared(settings, on_disk, held.after(settings, places, on_disk, candidate))
        vault.require(settings, projects[0])
        candidate = _made(settings, on_disk, projects[0], ids, found)
        _require_none(settings, candidate, ids)
        _flip(settings, projects[0], on_disk, candidate)
        figures = candidate.loads[-1].number if len(candidate.loads) > len(on_disk.loads) else 0
        return _cleared(settings, candidate, held.after(settings, places, on_disk, candidate), figures)


def join_keys(settings: Settings, outside_ids: Sequence[str], *, merged: bool = True) -> set[str]:
    """The join keys of customers, by the current and the previous pseudonym keys.

    Args:
        settings: whose keys and warehouse.
        outside_ids: the customers.
        merged: with those of everybody who was found to be one person with them: rows above the clean layer stand
            under one of these for all. Tombstones are for their own keys alone.
    """
    own = set(own_keys(settings, _texts(outside_ids)))
    if not merged:
        return own
    matches = _matches(settings, state.read(settings))
    people = matches.filter(pl.any_horizontal(pl.col(names.CUSTOMER_ID, held.INTO).is_in(sorted(own))))[held.INTO]
    joined = matches.filter(pl.col(held.INTO).is_in(people.implode()))
    return own | set(joined[names.CUSTOMER_ID]) | set(joined[held.INTO])


def person(settings: Settings, outside_ids: Sequence[str]) -> list[str]:
    """The ids of everybody who was found to be one person with customers, theirs among them; ascending.

    Raises:
        DataError: the record of identities is encrypted and its key is not here.
    """
    known = state.read(settings)
    keys = sorted(join_keys(settings, outside_ids))
    everybody = tables.identities(settings, known.identities)
    found = everybody.filter(pl.col(names.CUSTOMER_ID).is_in(keys))[names.OUTSIDE_ID].to_list()
    return sorted({*_texts(outside_ids), *found})


def visitors(settings: Settings, outside_ids: Sequence[str]) -> list[str]:
    """The cookies and devices that are customers' alone, as raw has them; ascending.

    Raises:
        DataError: as `find`.
    """
    known = events.taken_in(settings, state.read(settings))
    return sorted(_trace(settings, known, _projects(settings, known), _texts(outside_ids)).alone.get("visitor", ()))


def equal(settings: Settings, outside_ids: Sequence[str]) -> dict[str, list[str]]:
    """Raw files → columns of others' times and money that hold a number which equals an id, and stay as they are.

    Raises:
        DataError: as `find`.
    """
    known = events.taken_in(settings, state.read(settings))
    found = _trace(settings, known, _projects(settings, known), _texts(outside_ids)).equal
    return {path: sorted(names_) for path, names_ in sorted(found.items())}


def tombstones(settings: Settings, outside_ids: Sequence[str], at: datetime, certificate: str) -> list[Tombstone]:
    """What keeps customers out of later loads: their ids, and the visitors, sessions and keys of their rows alone.

    To be left in the ledger before `erase`, which then finds by them what it would find by itself.

    Args:
        settings: whose warehouse and ledger.
        outside_ids: the customers.
        at: when, UTC.
        certificate: of the erasure.

    Raises:
        DataError: as `find`.
    """
    ids, ledger = _texts(outside_ids), Tombstones(settings)
    known = events.taken_in(settings, state.read(settings))
    alone = _trace(settings, known, _projects(settings, known), ids).alone
    texts: dict[Kind, set[str]] = {"outside": set(ids), **alone}
    return [
        Tombstone(kind=kind, digest=digest, at=at, certificate=certificate)
        for kind, them in texts.items()
        for digest in ledger.digests(kind, sorted(them))
    ]


def _texts(outside_ids: Sequence[str]) -> list[str]:
    return sorted({str(each).strip() for each in outside_ids} - {""})


def _projects(settings: Settings, known: State) -> list[Project]:
    """The mapping that made the state, then those of earlier loads that this version can read."""
    if not known.loads:
        return []
    folder = settings.home / "lineage"
    found = [events.mapped(settings, read(folder / f"{known.mapping}.yaml"))]
    for path in sorted(folder.glob("*.yaml")):
        if path.stem != known.mapping:
            try:
                found.append(read(path))
            except DataError:  # of a version that allowed what this one refuses: the one in force tells
                continue
    return found


def _trace(settings: Settings, known: State, projects: Sequence[Project], ids: Sequence[str]) -> Trace:
    ledger = Tombstones(settings)
    sought = Sought(ledger=ledger if ledger else None)
    sought.known["outside"].update(ids)
    return trace(settings, known, projects, ids, sought)


def _plan(
    settings: Settings, known: State, projects: Sequence[Project], ids: Sequence[str]
) -> tuple[Trace, list[Place]]:
    found = _trace(settings, known, projects, ids)
    keys = own_keys(settings, ids)
    return found, [
        *held.in_raw(settings, known, found, ids),
        *held.in_layers(settings, known, found, keys),
        *held.by_name(settings, ids),
        *held.left_over(settings, known, keys),
    ]


def _made(settings: Settings, on_disk: State, project: Project, ids: Sequence[str], found: Trace) -> State:
    """The state without them; its files are written."""
    keys = set(own_keys(settings, ids))
    told = {path: _rewritten(settings, on_disk, path, found, ids) for path in found.paths}
    pattern = word(telling(ids))
    before = privacy.adopt(settings, on_disk)
    before = msgspec.structs.replace(
        before,
        raw=tuple(_silent(_landed(settings, each, told, found), pattern) for each in before.raw),
        identities=identities.without(settings, before.identities, ids),
        clean=tuple(each for each in before.clean if not held.shows(settings, each, keys)),
        kept_apart=tuple(pair for pair in before.kept_apart if keys.isdisjoint(pair)),
    )
    candidate = pipeline.remade(settings, project, on_disk, before)
    if len(candidate.loads) > len(on_disk.loads):
        erased = sum(each.erased for each in candidate.raw) - sum(each.erased for each in on_disk.raw)
        last = msgspec.structs.replace(candidate.loads[-1], erased=erased)
        candidate = msgspec.structs.replace(candidate, loads=(*candidate.loads[:-1], last))
    return candidate


def _rewritten(settings: Settings, on_disk: State, path: str, found: Trace, ids: Sequence[str]) -> tuple[Path, int]:
    """A raw file without them beside the old one, or a segment of live events in its place; and its rows."""
    landed = next(each for each in on_disk.raw if each.path == path)
    folder = (settings.home / path).parent
    rows, cells = found.rows.get(path, set()), found.cells.get(path, {})
    try:
        with raw_file.temporary(folder, ".parquet") as scratch:
            kept = rewrite.rewrite(settings, settings.home / path, scratch, rows, cells, word(telling(ids)))
            target = folder / raw.name_of(landed, sha256(scratch))
            scratch.chmod(0o644)
            files.sync([scratch])
            scratch.replace(target)
    except DataError:
        raise
    except OSError as error:
        raise raw_file.unwritable(folder, error) from error
    return target, kept


def _landed(settings: Settings, each: Landed, told: Mapping[str, tuple[Path, int]], found: Trace) -> Landed:
    """A landed file as it is now."""
    if each.path not in told:
        return each
    target, rows = told[each.path]
    erased = each.erased + each.rows - rows
    # A segment keeps its name: this tells a load that what is made of it is to be made anew. Its rows may be as many.
    how = {**each.how, "erased": sha256(target)} if events.live(each) else each.how
    return msgspec.structs.replace(
        each,
        how=how,
        path=target.relative_to(settings.home).as_posix(),
        sha256_raw=sha256(target),
        rows=rows,
        malformed=each.malformed - found.lines.get(each.path, 0),
        erased=erased,
    )


def _silent(each: Landed, pattern: re.Pattern[str] | None) -> Landed:
    """A refused file without the problem that quotes them; without its raw file, where a column of it names them.

    The problem goes as a whole: what stands beside an id in it is of the same row.
    """
    if pattern is None or not held.quotes(each, pattern):
        return each
    if any(pattern.search(name) for name in each.columns):
        each = msgspec.structs.replace(each, path="", sha256_raw="", columns={}, rows=0, malformed=0)
    return msgspec.structs.replace(
        each, problem=f"{GONE}.", remedy="Correct the file; the next load says what is wrong."
    )


def _require_none(settings: Settings, candidate: State, ids: Sequence[str]) -> None:
    """Check that no layer knows them any more.

    Raises:
        DataError: one does.
    """
    keys = own_keys(settings, ids)
    for part, rows in held.of_keys(settings, candidate, keys):
        if rows:
            raise DataError(
                f"{part.path} still has {rows:,} rows of an erased customer: raw rows that their id is made from were "
                "not found.",
                "The state before stays. Report it, with the mapping's `customer_id` of that table.",
            )


def _flip(settings: Settings, project: Project, on_disk: State, candidate: State) -> None:
    """Make it the state."""
    _record(settings, on_disk, candidate)
    if len(candidate.loads) > len(on_disk.loads):
        figures = measurement.take(settings, project.mapping, candidate, on_disk)
        measurement.write(settings, msgspec.structs.replace(figures, changes=()))
    state.write(settings, candidate)
    if len(candidate.loads) > len(on_disk.loads):
        pipeline.record(settings, candidate)


def _record(settings: Settings, on_disk: State, candidate: State) -> None:
    """Put both hashes of every file of raw that was written anew into the audit log: before it is the state."""
    pairs = {before.path: (before, after) for before, after in zip(on_disk.raw, candidate.raw, strict=True)}
    for before, after in pairs.values():
        if before.sha256_raw != after.sha256_raw:
            told = {"sha256_before": before.sha256_raw, "sha256": after.sha256_raw}
            path = after.path or before.path
            audit.record(settings, ACTION, path, rows=after.erased - before.erased, **told)
    stand, stood = {part.path for part in candidate.identities}, {part.path: part for part in on_disk.identities}
    for path in sorted(stood.keys() - stand):
        audit.record(settings, ACTION, path, sha256_before=stood[path].sha256)
    for part in candidate.identities:
        if part.path not in stood:
            audit.record(settings, ACTION, part.path, sha256=part.sha256)


def _cleared(settings: Settings, known: State, places: list[Place], figures: int = 0) -> list[Place]:
    """Delete what the state does not name, and what was measured of rows that are gone; write the report anew.

    Args:
        figures: the load whose figures are new: those of the loads before it go.
    """
    sweep.sweep(settings, known)
    shutil.rmtree(settings.home / upgrade.BESIDE, ignore_errors=True)
    for folder in settings.home.glob(f"{files.STAGING}*"):
        shutil.rmtree(folder, ignore_errors=True)
    for path in held.measured(settings, known, figures):
        path.unlink(missing_ok=True)
    page = settings.home / measurement.FOLDER / report.PAGE
    if page.exists() and known.loads:
        report.write(measure(settings), page)
    left = [path.relative_to(settings.home).as_posix() for path in sweep.unnamed(settings, known)]
    if left:
        raise DataError(f"{left[0]} cannot be deleted.", "Close what reads it, and erase again.")
    return places


def _matches(settings: Settings, known: State) -> pl.DataFrame:
    found = [scan.select(names.CUSTOMER_ID, held.INTO).collect() for scan in parts.scan(settings, [known.matches])]
    return pl.concat([pl.DataFrame(schema={names.CUSTOMER_ID: pl.String, held.INTO: pl.String}), *found])
