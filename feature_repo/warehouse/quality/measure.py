"""Everything that the quality table and the report show of a home."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

import msgspec
import polars as pl

from feature_repo.warehouse import state as states
from feature_repo.warehouse import tables
from feature_repo.warehouse.contract import TABLES
from feature_repo.warehouse.lineage import mapping_of
from feature_repo.warehouse.mapping.model import Mapping
from feature_repo.warehouse.quality import checks, classes, drift, gate, layers, measurement, profile, relations
from feature_repo.warehouse.quality.finding import Finding, verdict
from feature_repo.warehouse.state import State
from motherlode.errors import DataError
from motherlode.settings import Settings

EXAMPLES: Final = 3
"""Rows shown of each rule that rejects some."""
_EXCLUDED: Final = "excluded"


class Example(msgspec.Struct, frozen=True):
    """A rejected row; `value` is hidden unless its column's class is `none`: one row's value may tell whose it is."""

    file: str
    line: int | None
    value: str


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """What one rule keeps out of a table."""

    table: str
    rule: str
    column: str
    rows: int
    remedy: str
    examples: tuple[Example, ...]


class FileRejection(msgspec.Struct, frozen=True):
    """What is kept out of a table of one file's rows."""

    table: str
    file: str
    rule: str
    rows: int


class TableQuality(msgspec.Struct, frozen=True, kw_only=True):
    """One table.

    Attributes:
        name, doc: its name and what a row is.
        files: it is made from.
        landed: rows of those files that were offered to it.
        merged: rule → rows that live on in another.
        rejected, excluded: rows in quarantine: for a rule, or set aside by the mapping.
        derived: rows that no raw row stands behind.
        rows: integrated.
        imputed: column → values filled in.
        newest: its newest event, UTC; None for a table without times.
        landed_at: when its newest file came, UTC.
        figures: its columns.
    """

    name: str
    doc: str
    files: int
    landed: int
    merged: dict[str, int]
    rejected: int
    excluded: int
    derived: int
    rows: int
    imputed: dict[str, int]
    newest: datetime | None
    landed_at: datetime | None
    figures: profile.Table | None


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """A home's quality.

    Attributes:
        company: the mapping's.
        load, at: the newest load.
        full: whether every row was looked at.
        findings: what stands, the worst first.
        tables: every table, in the contract's order.
        rejections: by table, rule and column, the most rows first.
        files: by table, file and rule, the most rows first.
        comparisons: the mapping's checks.
        changes: the newest load's new rows against the load before.
        loads: every load, the newest first.
        refused_files: files that could not be used.
        refused_load: findings that refused the load after the newest one; empty where none was refused.
    """

    company: str
    load: int
    at: datetime
    full: bool
    findings: tuple[Finding, ...]
    tables: tuple[TableQuality, ...]
    rejections: tuple[Rejection, ...]
    files: tuple[FileRejection, ...]
    comparisons: tuple[checks.Comparison, ...]
    changes: tuple[drift.Change, ...]
    loads: tuple[states.Load, ...]
    refused_files: tuple[states.Landed, ...]
    refused_load: tuple[Finding, ...]

    @property
    def failed(self) -> bool:
        """Whether something of severity `fail` stands, or refused the newest load."""
        return any(finding.severity == "fail" for finding in (*self.findings, *self.refused_load))


def measure(settings: Settings, *, full: bool = False) -> Quality:
    """Measure a home.

    Args:
        settings: where it lies.
        full: look at every row, and hold every row against its table's schema; else figures are the load's, which
            looks at a sample of a large table.

    Raises:
        DataError: nothing was loaded, or the load's mapping is gone.
    """
    state = states.read(settings)
    refused = gate.refused(settings)
    if not state.loads:
        if refused is not None:
            why = verdict(refused.findings).reason
            raise DataError(f"The first load was refused: {why}.", "Look at its rows by `motherlode quarantine list`.")
        raise DataError(f"Nothing was loaded into {settings.home}.", "Run `motherlode ingest`.")
    mapping = mapping_of(settings, state)
    kept = measurement.read(settings, state.loads[-1].number)
    if kept is None or not all(measurement.allowed(table, mapping) for table in kept.tables):
        kept = measurement.take(settings, mapping, state, State())
    figures = measurement.whole(settings, mapping, state) if full else kept.tables
    comparisons = tuple(checks.compare_all(settings, mapping, state))
    findings = [
        *gate.find(settings, mapping, state, State()),
        *checks.find(comparisons, mapping),
        *drift.find(kept.changes),
        *(gate.whole(settings, mapping, state, tuple(state.integrated)) if full else ()),
    ]
    return Quality(
        company=state.company,
        load=state.loads[-1].number,
        at=state.loads[-1].at,
        full=full,
        findings=verdict(findings).findings,
        tables=tuple(_table(settings, state, name, figures) for name in TABLES if name in state.integrated),
        rejections=tuple(_rejections(settings, mapping, state)),
        files=tuple(_files(settings, state)),
        comparisons=comparisons,
        changes=kept.changes,
        loads=tuple(reversed(state.loads)),
        refused_files=tuple(it for it in state.raw if it.status == "refused"),
        refused_load=refused.findings if refused else (),
    )


def _table(settings: Settings, state: State, name: str, figures: tuple[profile.Table, ...]) -> TableQuality:
    cleaned, entry = [it for it in state.clean if it.table == name], state.integrated[name]
    return TableQuality(
        name=name,
        doc=TABLES[name].doc,
        files=len({it.order for it in cleaned}),
        landed=sum(it.rows_in for it in cleaned),
        merged=_merged(settings, state, name),
        rejected=sum(it.rejected for it in cleaned) + entry.rejected,
        excluded=sum(it.excluded for it in cleaned),
        derived=entry.rows if TABLES[name].derived else entry.derived,
        rows=entry.rows,
        imputed=dict(entry.imputed),
        newest=relations.newest_event(settings, state, name),
        landed_at=layers.newest_landing(state, name),
        figures=next((it for it in figures if it.name == name), None),
    )


def _merged(settings: Settings, state: State, name: str) -> dict[str, int]:
    rows = tables.merged_state(settings, state, name)
    counted = rows.group_by("rule").len().sort("len", "rule", descending=[True, False])
    return dict(counted.collect(engine="streaming").iter_rows())


def _rejections(settings: Settings, mapping: Mapping, state: State) -> Iterator[Rejection]:
    """By table, rule and column, with the first rows of each."""
    key = ["table", "rule", "column"]
    counted = (
        tables.quarantine_state(settings, state)
        .group_by(key)
        .agg(
            pl.len().alias("rows"),
            pl.col("remedy").first(),
            *(pl.col(it).head(EXAMPLES) for it in ("file", "line", "value")),
        )
        .sort("rows", *key, descending=[True, False, False, False])
        .collect(engine="streaming")
    )
    known = {table: classes.classes(mapping, table) for table in TABLES}
    for row in counted.iter_rows(named=True):
        visible = known.get(row["table"], {}).get(row["column"] or "") == "none"
        values = [value or "" if visible or not value else classes.HIDDEN for value in row["value"]]
        yield Rejection(
            table=row["table"],
            rule=row["rule"],
            column=row["column"] or "",
            rows=row["rows"],
            remedy=row["remedy"] or "",
            examples=tuple(Example(*it) for it in zip(row["file"], row["line"], values, strict=True)),
        )


def _files(settings: Settings, state: State) -> Iterator[FileRejection]:
    key = ["table", "file", "rule"]
    counted = (
        tables.quarantine_state(settings, state)
        .filter(pl.col("rule") != _EXCLUDED)
        .group_by(key)
        .len("rows")
        .sort("rows", *key, descending=[True, False, False, False])
    )
    yield from (FileRejection(*row) for row in counted.collect(engine="streaming").iter_rows())
