"""The warehouse of an older version → this one's. Layout 1 was the demo's alone, one file a table and layer.

The new warehouse is built beside the old one, in `.upgrade` below home, from the old raw files: with the time of their
landing, and with the weeks by which it moved the dates. Then its files get their places, and `warehouse.json` makes
them the state in one step. Until then the old warehouse is whole; an upgrade that was killed is run again.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec
import polars as pl

from feature_repo.warehouse import files, pipeline, raw, state
from feature_repo.warehouse.demo import HOUSEHOLD, TABLES
from feature_repo.warehouse.examples import example
from feature_repo.warehouse.mapping.model import Source
from feature_repo.warehouse.mapping.read import Project, read
from feature_repo.warehouse.sources.find import find
from feature_repo.warehouse.state import State
from motherlode import audit, names
from motherlode.bundle import sha256
from motherlode.errors import DataError
from motherlode.settings import Settings

BESIDE: Final = ".upgrade"
"""Folder below home."""
_LAYERS: Final = ("raw", "clean", "quarantine", "integrated")
_LINEAGE: Final = "lineage.json"
_ROOM: Final = 2
"""Free bytes that are asked for, in sizes of the old layers: both stand side by side until the new one is whole."""

_UNKEYED: Final = "without a pseudonym key"


class Landing(msgspec.Struct, frozen=True):
    """What `raw/landing.json` of layout 1 records.

    Attributes:
        shift_weeks: weeks by which every date moves.
        source_sha256: raw table → SHA-256 of the package's file.
        raw_sha256: raw table → SHA-256 of the landed file.
        landed_at: UTC.
        last_day: the last transaction's UTC day, moved.
        households: how many of the demo's were asked for; None: all.
    """

    shift_weeks: int
    source_sha256: Mapping[str, str]
    raw_sha256: Mapping[str, str]
    landed_at: datetime
    last_day: date
    households: int | None


class Rows(msgspec.Struct, frozen=True):
    """A table's integrated rows in layout 1."""

    table: str
    integrated: int


class _Lineage(msgspec.Struct, frozen=True):
    tables: tuple[Rows, ...]


def landing(settings: Settings) -> Landing | None:
    """What layout 1 landed here; None where the home is not of layout 1, or its upgrade has ended.

    Raises:
        DataError: the record cannot be read.
    """
    path = settings.raw / state.LANDING
    try:
        return msgspec.json.decode(path.read_bytes(), type=Landing)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise DataError(f"{path} cannot be read: {error}.", "Restore it from a backup.") from error


def rows(settings: Settings) -> dict[str, int]:
    """Table → integrated rows, as layout 1 counted them; empty where it had not come that far."""
    try:
        known = msgspec.json.decode((settings.integrated / _LINEAGE).read_bytes(), type=_Lineage)
    except (FileNotFoundError, msgspec.DecodeError):
        return {}
    return {each.table: each.integrated for each in known.tables}


def old_files(settings: Settings) -> list[Path]:
    """The files of layout 1 in the layers; the record of the landing, which says that they are there, comes last."""
    found = [path for layer in _LAYERS for path in sorted((settings.home / layer).glob("*")) if path.is_file()]
    named = state.paths(state.read(settings)) if flipped(settings) else set()
    record = settings.raw / state.LANDING
    kept = [path for path in found if path.relative_to(settings.home).as_posix() not in named and path != record]
    return [*kept, record] if record.is_file() else kept


def flipped(settings: Settings) -> bool:
    """Whether the state is this layout's already."""
    return (settings.home / state.STATE).is_file()


def check(settings: Settings, landed: Landing) -> None:
    """Check that there is what the upgrade needs, before it does anything.

    Raises:
        DataError: a raw file is missing or is not the one that was landed, the pseudonym key is another, or the disk
            has no room.
    """
    for table in TABLES:
        path = settings.raw / f"{table}.parquet"
        if not path.is_file() or sha256(path) != landed.raw_sha256.get(table):
            raise DataError(
                f"{path} is not the file that was landed.",
                f"Restore it from a backup; or delete {settings.home} and run `motherlode demo`: the demo lands anew.",
            )
    _require_key(settings)
    audit.check(settings)
    size = sum(path.stat().st_size for path in old_files(settings))
    free = shutil.disk_usage(settings.home).free
    if free < _ROOM * size:
        raise DataError(
            f"{settings.home} has {free:,} bytes free, the upgrade may need {_ROOM * size:,}.", "Make room."
        )


def rebuild(settings: Settings, landed: Landing, on_step: pipeline.OnStep | None = None) -> None:
    """Build the new warehouse from the old raw files, and make it the state.

    The old files stay; `clear` removes them. The caller holds the home folder.

    Args:
        settings: whose home.
        landed: of `landing`.
        on_step: told what is being done, as by `pipeline.load`.

    Raises:
        DataError: as in `pipeline.load`; the old warehouse is untouched then.
    """
    beside = replace(settings, home=settings.home / BESIDE, mapping=None, households=None)
    project = _project(settings)
    if not state.read(beside).raw:
        state.write(beside, _landed(beside, project, landed))
    pipeline.load(beside, project, on_step=on_step)
    made = state.read(beside)
    first = msgspec.structs.replace(made.loads[0], landed=tuple(each.order for each in made.raw))
    made = msgspec.structs.replace(made, loads=(first, *made.loads[1:]))
    for name in [*sorted(state.paths(made)), f"lineage/{made.mapping}.yaml"]:
        # Under a second name: an upgrade that is killed here finds what it built, whole.
        _link(beside.home / name, settings.home / name)
    if landed.households is not None:
        _keep_subset(settings, landed.households)
    state.write(settings, made)


def clear(settings: Settings) -> None:
    """Remove what is left of the old layout and of the upgrade; the record that tells of it comes last."""
    known = state.read(settings)
    audit.record(settings, "upgrade", "layout 1 to 2", mapping=known.mapping, files=len(known.raw))
    shutil.rmtree(settings.home / BESIDE, ignore_errors=True)
    for path in old_files(settings):
        path.unlink(missing_ok=True)


def _project(settings: Settings) -> Project:
    """The demo's mapping, with the old raw files in the place of the package's."""
    demo = read(example("demo"))
    sources = {
        name: msgspec.structs.replace(source, files=str(settings.raw / f"{_table(source)}.parquet"))
        for name, source in demo.mapping.sources.items()
    }
    return replace(demo, mapping=msgspec.structs.replace(demo.mapping, sources=sources))


def _landed(beside: Settings, project: Project, landed: Landing) -> State:
    """A state of nothing but the raw files, as they were landed once, under the names that the demo's mapping has."""
    packaged = read(example("demo")).mapping.sources
    found = [each for source in project.mapping.sources for each in find(project, source)]
    landings = [raw.land(beside, project, each, order, landed.landed_at) for order, each in enumerate(found, start=1)]
    for each in landings:
        if each.status == "refused":
            raise DataError(each.problem, each.remedy)
    named = (msgspec.structs.replace(each, name=str(packaged[each.source].files)) for each in landings)
    return State(shift_weeks=landed.shift_weeks, raw=tuple(named))


def _table(source: Source) -> str:
    """The package's table that a source of the demo's mapping reads: its file's name."""
    return PurePosixPath(str(source.files)).stem


def _keep_subset(settings: Settings, households: int) -> None:
    """Make the old raw files the demo's subset of so many households: the next load finds in it what is landed."""
    target = settings.home / "demo" / str(households)
    made = settings.home / BESIDE / "subset"
    shutil.rmtree(made, ignore_errors=True)
    (made / "data").mkdir(parents=True)
    for table in TABLES:
        _link(settings.raw / f"{table}.parquet", made / "data" / f"{table}.parquet")
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    made.replace(target)


def _link(source: Path, target: Path) -> None:
    """The same file under another name, where nothing lies yet; a copy where the disk knows no second names."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        return
    try:
        os.link(source, target)
    except OSError:
        with files.writing(target) as partial:
            shutil.copyfile(source, partial)
            partial.replace(target)


def _require_key(settings: Settings) -> None:
    """Check that the customers are known by the key that is current here: by another one nobody would be found online.

    Raises:
        DataError: they are known by another one.
    """
    path = settings.integrated / f"{names.CUSTOMERS}.parquet"
    if not path.is_file():
        return
    known = pl.read_parquet(path, columns=[names.CUSTOMER_ID], glob=False)[names.CUSTOMER_ID]
    households = pl.read_parquet(settings.raw / "transactions.parquet", columns=[HOUSEHOLD], glob=False)[
        HOUSEHOLD
    ].unique()
    if known.is_in(settings.identity.join_keys_of(households)).any() or households.is_empty():
        return
    ours = settings.identity.key_id
    raise DataError(
        f"The customers in {settings.home} are not known {f'by the pseudonym key {ours}' if ours else _UNKEYED}.",
        "Set MOTHERLODE_PSEUDONYM_KEY as it was, upgrade, and replace it then by `motherlode rekey`.",
    )
