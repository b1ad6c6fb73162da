"""Lineage: which files went where, by which mapping, when, and what became of every row."""

import hashlib
from collections.abc import Mapping

import msgspec

from feature_repo.warehouse.contract import MAPPED, TABLES
from feature_repo.warehouse.mapping import model
from feature_repo.warehouse.mapping.read import read as read_mapping
from feature_repo.warehouse.state import Cleaned, Integrated, Landed, Load, State, read
from motherlode.errors import DataError
from motherlode.settings import Settings


class FileLineage(msgspec.Struct, frozen=True):
    """One landed file in one table, or a file that is in none.

    Attributes:
        source, name: of the file.
        table: the canonical table; of a file that is looked up in alone, its source; "" for one that no table takes.
        landed_at: ISO 8601, UTC.
        status: `active`, `superseded`, `refused`.
        landed: its rows.
        quarantined: rows that broke a rule of their own, and lines that are no row.
        excluded: rows that the mapping sets aside.
        clean: rows that went on.
        problem, remedy: why it was refused.
        erased: rows that it had besides: of customers who were erased.
    """

    source: str
    name: str
    table: str
    landed_at: str
    status: str
    landed: int
    quarantined: int = 0
    excluded: int = 0
    clean: int = 0
    problem: str = ""
    remedy: str = ""
    erased: int = 0


class TableLineage(msgspec.Struct, frozen=True):
    """Row counts of one table through the layers.

    Attributes:
        table: the canonical table, or a source that is looked up in alone.
        landed: rows of its files.
        excluded: rows that the mapping's `where` sets aside.
        quarantined: rows that broke a rule, their own or one between tables.
        merged: rows that live on in another row.
        derived: integrated rows that no raw row stands behind: an item or customer known only by its events.
        integrated: rows of the integrated table; of a look-up, the rows that another row refers to.
    """

    table: str
    landed: int
    excluded: int
    quarantined: int
    merged: int
    derived: int
    integrated: int

    @property
    def balanced(self) -> bool:
        """Whether every landed row is found again."""
        return self.landed + self.derived == self.integrated + self.merged + self.quarantined + self.excluded


class Lineage(msgspec.Struct, frozen=True):
    """How the integrated layer came about.

    Attributes:
        company: the mapping's.
        mapping: digest of the mapping; its text lies under `lineage/<digest>.yaml`.
        tables: by table.
        files: by file and table.
        loads: every load that changed something, the newest last.
        refused: files that the load that returned this refused, or found refused before and still there.
        changed: whether that load changed anything.
    """

    company: str
    mapping: str
    tables: tuple[TableLineage, ...]
    files: tuple[FileLineage, ...]
    loads: tuple[Load, ...]
    refused: tuple[FileLineage, ...] = ()
    changed: bool = False

    @property
    def balanced(self) -> bool:
        """Whether every landed row of every table is found again."""
        return all(table.balanced for table in self.tables)


def of(state: State, *, changed: bool = False, orders: tuple[int, ...] = ()) -> Lineage:
    """A state's lineage.

    Args:
        state: which.
        changed: whether the load at hand changed anything.
        orders: of the files that it landed, and of the refused ones that it found again.
    """
    refused = tuple(_unused(landed) for landed in state.raw if landed.status == "refused" and landed.order in orders)
    return Lineage(
        company=state.company,
        mapping=state.mapping,
        tables=(*_tables(state), *(_looked_up(source, entry) for source, entry in sorted(state.lookups.items()))),
        files=_files(state),
        loads=state.loads,
        refused=refused,
        changed=changed,
    )


def current(settings: Settings) -> Lineage:
    """The lineage of the current state.

    Raises:
        DataError: nothing was loaded.
    """
    state = read(settings)
    if not state.loads:
        raise DataError(f"Nothing was loaded in {settings.home}.", "Run `motherlode ingest`.")
    return of(state)


def mapping_of(settings: Settings, state: State) -> model.Mapping:
    """The mapping that made a state, as its lineage keeps it.

    Raises:
        DataError: it is not there, or this version cannot read it.
    """
    path = settings.home / "lineage" / f"{state.mapping}.yaml"
    if not path.is_file():
        raise DataError(f"The mapping of the newest load is not at {path}.", "Load again, by `motherlode ingest`.")
    return read_mapping(path).mapping


def combine(parts: Mapping[str, str]) -> str:
    """One SHA-256 of named digests, whatever their order."""
    return hashlib.sha256("\n".join(f"{name} {parts[name]}" for name in sorted(parts)).encode()).hexdigest()


def fingerprint(settings: Settings) -> str:
    """SHA-256 of the integrated layer, over the hashes of its files.

    Raises:
        DataError: nothing was loaded.
    """
    state = read(settings)
    if not state.loads:
        raise DataError(f"There is no integrated table in {settings.integrated}.", "Run `motherlode ingest`.")
    found = {
        f"{name}/{month}": part.sha256
        for name, table in state.integrated.items()
        for month, part in table.parts.items()
    }
    return combine(found)


def _tables(state: State) -> list[TableLineage]:
    cleaned: dict[str, list[Cleaned]] = {}
    for each in state.clean:
        cleaned.setdefault(each.table, []).append(each)
    return [
        _count(table, tuple(cleaned.get(table, ())), state.integrated.get(table))
        for table in TABLES
        if table in state.integrated or (table in MAPPED and table in cleaned)
    ]


def _count(table: str, cleaned: tuple[Cleaned, ...], entry: Integrated | None) -> TableLineage:
    entry = entry or Integrated(table=table, parts={}, inputs={}, rows=0)
    return TableLineage(
        table=table,
        landed=sum(each.rows_in for each in cleaned),
        excluded=sum(each.excluded for each in cleaned),
        quarantined=sum(each.rejected for each in cleaned) + entry.rejected,
        merged=entry.merged,
        derived=entry.derived,
        integrated=entry.rows,
    )


def _looked_up(source: str, entry: Integrated) -> TableLineage:
    return TableLineage(
        table=source,
        landed=entry.clean,
        excluded=0,
        quarantined=entry.rejected,
        merged=entry.merged,
        derived=0,
        integrated=entry.rows,
    )


def _files(state: State) -> tuple[FileLineage, ...]:
    cleaned: dict[int, list[Cleaned]] = {}
    for each in state.clean:
        cleaned.setdefault(each.order, []).append(each)
    found: list[FileLineage] = []
    for landed in state.raw:
        alone = landed.source if landed.source in state.lookups and landed.status == "active" else ""
        found += [_used(landed, each) for each in cleaned.get(landed.order, ())] or [_unused(landed, alone)]
    return tuple(found)


def _used(landed: Landed, cleaned: Cleaned) -> FileLineage:
    return FileLineage(
        source=landed.source,
        name=landed.name,
        table=cleaned.table,
        landed_at=landed.landed_at.isoformat(timespec="seconds"),
        status=landed.status,
        landed=cleaned.rows_in,
        quarantined=cleaned.rejected,
        excluded=cleaned.excluded,
        clean=cleaned.clean.rows if cleaned.clean is not None else 0,
        erased=landed.erased,
    )


def _unused(landed: Landed, table: str = "") -> FileLineage:
    return FileLineage(
        source=landed.source,
        name=landed.name,
        table=table,
        landed_at=landed.landed_at.isoformat(timespec="seconds"),
        status=landed.status,
        landed=landed.rows,
        problem=landed.problem,
        remedy=landed.remedy,
        erased=landed.erased,
    )
