"""What became of a load's rows: the share that was rejected, columns without a value, rows lost or doubled."""

from collections.abc import Iterator, Sequence
from typing import Final

import polars as pl

from feature_repo.warehouse.contract import QUARANTINE, TABLES, Severity
from feature_repo.warehouse.mapping.model import Mapping, Threshold
from feature_repo.warehouse.parts import together
from feature_repo.warehouse.quality import classes, layers, parquet
from feature_repo.warehouse.quality.finding import Finding, percent, share
from feature_repo.warehouse.state import Cleaned, Integrated, Part, State
from motherlode.settings import Settings

_SHRUNK: Final = 0.5
"""The share of its rows that a table may lose between two loads before one asks why."""
_LOOK: Final = (
    "Look at them by `motherlode quarantine show {table}`, with --refused where the load was refused; correct the "
    "source or the mapping, and load again."
)
_REPORT: Final = (
    "Rebuild by `motherlode ingest --rebuild`, and report it: a row must be integrated, merged or quarantined."
)


def find(settings: Settings, mapping: Mapping, state: State, before: State) -> Iterator[Finding]:
    """Findings about every mapped table's rows since the state before."""
    for table in mapping.tables:
        threshold = mapping.quality.get(table, Threshold())
        new = layers.new_cleaned(state, before, table)
        every = tuple(it for it in state.clean if it.table == table)
        entry = state.integrated.get(table)
        before_entry = before.integrated.get(table)
        yield from rejected(settings, table, threshold, new, every, entry)
        yield from single_files(table, threshold, new)
        yield from warned(table, new, entry)
        yield from empty_columns(settings, mapping, table, new)
        yield from unbalanced(table, new, entry)
        yield from shrunk(table, entry, before_entry)


def rejected(
    settings: Settings,
    table: str,
    threshold: Threshold,
    new: Sequence[Cleaned],
    every: Sequence[Cleaned],
    entry: Integrated | None,
) -> Iterator[Finding]:
    """The share of rejected rows, of the newly cleaned files and of the whole table, against the threshold.

    Rows that the mapping sets aside are no rows of the table: they count on neither side.
    """
    later = entry.rejected if entry else 0
    scopes = [("in the new files", new, later if len(new) == len(every) else 0)]
    scopes += [("in the whole table", every, later)] if len(new) < len(every) else []
    for where, cleaned, more in scopes:
        bad, rows = sum(it.rejected for it in cleaned) + more, _offered(cleaned)
        severity = _severity(bad, rows, threshold)
        if severity is not None:
            quarantines = [it.quarantine for it in (*cleaned, entry if more else None) if it is not None]
            most = _most(settings, [part for part in quarantines if part is not None])
            limit = threshold.fail if severity == "fail" else threshold.warn
            value = f"{share(bad, rows)}, above {percent(limit)}; most: {most}"
            yield Finding(severity, table, f"rejected rows {where}", value, _LOOK.format(table=table))


def single_files(table: str, threshold: Threshold, new: Sequence[Cleaned]) -> Iterator[Finding]:
    """Files that lost more rows than a load may, among others that did not."""
    if len(new) < 2:
        return
    for it in new:
        if _severity(it.rejected, _offered([it]), threshold) == "fail":
            value = share(it.rejected, _offered([it]))
            yield Finding("warn", table, f"rejected rows of the file {it.name}", value, _LOOK.format(table=table))


def warned(table: str, new: Sequence[Cleaned], entry: Integrated | None) -> Iterator[Finding]:
    """Rules that were broken and whose rows were kept."""
    counts: dict[str, int] = {}
    for warnings in (*(it.warnings for it in new), *((entry.warnings,) if entry else ())):
        for rule, rows in warnings.items():
            counts[rule] = counts.get(rule, 0) + rows
    for rule, rows in counts.items():
        if rows:
            yield Finding("warn", table, f"rows break `{rule}` and are kept", f"{rows:,} rows", "Correct the source.")


def empty_columns(settings: Settings, mapping: Mapping, table: str, new: Sequence[Cleaned]) -> Iterator[Finding]:
    """Mapped columns that no new row has a value in."""
    # Without a key, the company's own identifiers are left out on purpose.
    left_out = () if settings.identity.keyed else _identifiers(mapping, table)
    for place, block in enumerate(classes.entries(mapping, table)):
        parts = [it.clean for it in new if it.entry == place and it.clean is not None and it.clean.rows]
        found = parquet.extents(settings.home / part.path for part in parts)
        for column in [name for name in block.columns if name not in left_out]:
            it = found.get(column)
            if it is not None and it.rows and it.nulls == it.rows:
                remedy = "Check that the source still fills the column, and that the mapping reads the right one."
                value = f"null in all {it.rows:,} new rows"
                yield Finding("warn", table, f"{column} has no value at all", value, remedy)


def _identifiers(mapping: Mapping, table: str) -> frozenset[str]:
    """The company's own columns that name a person."""
    own = classes.classes(mapping, table).items()
    return frozenset(name for name, privacy in own if privacy == "identifier" and name not in TABLES[table].columns)


def unbalanced(table: str, new: Sequence[Cleaned], entry: Integrated | None) -> Iterator[Finding]:
    """Rows that are neither integrated, nor merged, nor quarantined."""
    for it in new:
        found = (it.clean.rows if it.clean else 0) + it.excluded + it.rejected
        if found != it.rows_in:
            value = f"{it.rows_in:,} rows in, {found:,} found again"
            yield Finding("fail", table, f"rows of the file {it.name} are lost or doubled", value, _REPORT)
    if entry is not None and not entry.balanced:
        found = entry.rows + entry.merged + entry.rejected
        value = f"{entry.clean + entry.derived:,} rows in, {found:,} found again"
        yield Finding("fail", table, "rows are lost or doubled between clean and integrated", value, _REPORT)


def shrunk(table: str, now: Integrated | None, before: Integrated | None) -> Iterator[Finding]:
    """A table that lost most of its rows since the load before."""
    rows, had = now.rows if now else 0, before.rows if before else 0
    if had and rows < _SHRUNK * had:
        remedy = "Check that the newest files are whole: a file of a known name replaces all rows of the one before."
        yield Finding("warn", table, "the table has shrunk", f"{had:,} → {rows:,} rows", remedy)


def _offered(cleaned: Sequence[Cleaned]) -> int:
    return sum(it.rows_in - it.excluded for it in cleaned)


def _severity(bad: int, rows: int, threshold: Threshold) -> Severity | None:
    if not bad or not rows:
        return None
    if bad > threshold.fail * rows:
        return "fail"
    return "warn" if bad > threshold.warn * rows else None


def _most(settings: Settings, quarantine: Sequence[Part]) -> str:
    """The rules that reject the most rows."""
    counted = (
        together(settings, quarantine, QUARANTINE)
        .filter(pl.col("rule") != "excluded")
        .group_by("rule", "column")
        .len()
        .sort(["len", "rule", "column"], descending=[True, False, False])
        .head(3)
        .collect(engine="streaming")
    )
    return "; ".join(
        f"{rule} ({column}) {rows:,}" if column else f"{rule} {rows:,}" for rule, column, rows in counted.rows()
    )
