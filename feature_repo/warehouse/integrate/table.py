"""A table's clean rows on their way to integrated, and what is written of them."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import msgspec
import polars as pl
import pyarrow.parquet as pq

from feature_repo.warehouse import contract, duplicates, parts
from feature_repo.warehouse.contract import LINE, MERGED, QUARANTINE, ROW, SCHEMAS, TABLES
from feature_repo.warehouse.duplicates import UNIT, Duplicates, Unit
from feature_repo.warehouse.mapping.model import Impute
from feature_repo.warehouse.parts import KEY
from feature_repo.warehouse.state import Integrated, Part, State, digest
from motherlode import names
from motherlode.settings import Settings

WHOLE: Final = ""
"""The month of a table in one file, and the name of the digest that stands for a whole table."""
OF_MONTH: Final = "_month"
"""String: in ledgers and quarantine, the month that a row was found in; null where the whole table told."""

_CHUNK: Final = 1_000_000
"""Rows that a month is read in at once."""

LEDGER: Final = pl.Schema({**MERGED, OF_MONTH: pl.String()})
REJECTED: Final = pl.Schema({**QUARANTINE, OF_MONTH: pl.String()})


@dataclass(frozen=True)
class Place:
    """Where a table is integrated.

    Attributes:
        settings: whose home.
        before: the state before, whose parts are kept where nothing they are made from changed.
        again: keep none of them.
    """

    settings: Settings
    before: State
    again: bool = False

    def kept(self, table: str, inputs: str) -> Integrated | None:
        """The table as it was, where it is still what these inputs give and its files are whole."""
        known = self.before.integrated.get(table)
        if self.again or known is None or known.inputs.get(WHOLE) != inputs:
            return None
        found = [*known.parts.values(), known.ledger, known.quarantine]
        return known if all(parts.holds(self.settings, part) for part in found) else None

    def kept_month(self, table: str, month: str, inputs: str) -> Part | None:
        """A month of it, likewise: what became of its other rows lies in the table's ledger and quarantine."""
        known = self.before.integrated.get(table)
        if self.again or known is None or known.inputs.get(month) != inputs:
            return None
        part = known.parts.get(month)
        found = (part, known.ledger, known.quarantine)
        return part if all(parts.holds(self.settings, each) for each in found) else None


@dataclass(frozen=True)
class Clean:
    """A table's clean rows.

    Attributes:
        table: its name.
        units: its clean files, by landing order.
        columns: what its rows have, in order: canonical ones, then own ones of any file.
        key: columns that tell rows apart; empty: the whole content.
        keep: whether equal rows are all kept.
        last: whether the last row of a key wins within a file too.
        impute: column → what fills it.
        find: finds its duplicates.
    """

    table: str
    units: tuple[Unit, ...] = ()
    columns: Mapping[str, pl.DataType] = field(default_factory=dict)
    key: tuple[str, ...] = ()
    keep: bool = False
    last: bool = False
    impute: Mapping[str, Impute] = field(default_factory=dict)
    find: Callable[[], Duplicates] = lambda: duplicates.NONE

    @cached_property
    def gone(self) -> Duplicates:
        """Its duplicates, looked for when they are first asked for: a table that stays as it is needs none."""
        return self.find()

    @property
    def names(self) -> dict[int, str]:
        """Unit → the source's file."""
        return {unit.number: unit.name for unit in self.units}

    @property
    def rows(self) -> int:
        """Clean rows, duplicates included."""
        return sum(unit.cleaned.clean.rows for unit in self.units if unit.cleaned.clean is not None)

    @property
    def months(self) -> list[str]:
        """Ascending."""
        return sorted({month for unit in self.units for month in unit.cleaned.months})

    def of_month(self, month: str) -> tuple[Unit, ...]:
        """The files that have rows of a month."""
        return tuple(unit for unit in self.units if month in unit.cleaned.months)

    def inputs(self, *others: str) -> str:
        """Digest of all that the whole table is made from."""
        told = [(unit.name, unit.cleaned.clean.sha256) for unit in self.units if unit.cleaned.clean is not None]
        settled = (
            contract.VERSION,
            self.table,
            told,
            self.key,
            self.keep,
            self.last,
            self.impute,
            dict(map(_told, self.columns.items())),
        )
        return digest(msgspec.json.encode(settled), *others)

    def inputs_of(self, month: str, *others: str) -> str:
        """Digest of all that a month is made from."""
        told = [
            (unit.name, unit.cleaned.clean.sha256) for unit in self.of_month(month) if unit.cleaned.clean is not None
        ]
        settled = (contract.VERSION, self.table, month, told, self.impute, dict(map(_told, self.columns.items())))
        gone = self.gone.of_month(month_number(month))
        dropped = [
            hashlib.sha256(gone.filter(pl.col(UNIT) == unit.number)[ROW].to_numpy().tobytes()).hexdigest()
            for unit in self.of_month(month)
        ]
        return digest(msgspec.json.encode(settled), *dropped, *others)


def _told(column: tuple[str, pl.DataType]) -> tuple[str, str]:
    return column[0], str(column[1])


def columns(
    settings: Settings, table: str, units: Iterable[Unit], own: Mapping[str, pl.DataType]
) -> dict[str, pl.DataType]:
    """The columns of a table's clean files: one type each, text where the files do not agree on a kind.

    Args:
        settings: whose clean layer.
        table: the canonical table.
        units: its clean files.
        own: what the mapping adds, for columns of which no file has a row yet.
    """
    found: dict[str, set[pl.DataType]] = {name: set() for name in TABLES[table].columns}
    for unit in units:
        if unit.cleaned.clean is not None:
            # Not read_parquet_schema: it takes brackets in the home's path for a glob.
            schema = pl.scan_parquet(settings.home / unit.cleaned.clean.path, glob=False).collect_schema()
            for name, dtype in schema.items():
                if name not in (ROW, LINE, KEY):
                    found.setdefault(name, set()).add(dtype)
    known = {name: _common(dtypes) if dtypes else SCHEMAS[table][name] for name, dtypes in found.items()}
    return {**known, **{name: dtype for name, dtype in own.items() if name not in known}}


def _common(dtypes: set[pl.DataType]) -> pl.DataType:
    if len(dtypes) == 1:
        return next(iter(dtypes))
    if all(dtype.is_integer() for dtype in dtypes):
        return pl.Int64()
    return pl.Float64() if all(dtype.is_numeric() for dtype in dtypes) else pl.String()


def whole(settings: Settings, clean: Clean) -> pl.DataFrame:
    """A table's clean rows without its duplicates: `_unit`, `_row`, `_line`, columns; by landing order."""
    frames = [pl.DataFrame(schema={UNIT: pl.UInt32(), ROW: pl.UInt32(), LINE: pl.UInt32(), **clean.columns})]
    frames += [
        _conformed(clean, unit, pl.read_parquet(settings.home / unit.cleaned.clean.path, glob=False))
        for unit in clean.units
        if unit.cleaned.clean is not None
    ]
    rows = pl.concat(frames)
    return rows.join(clean.gone.drops, on=[UNIT, ROW], how="anti", maintain_order="left")


def chunks(settings: Settings, clean: Clean, month: str) -> Iterator[pl.DataFrame]:
    """The same of one month, in bounded memory."""
    gone = clean.gone.of_month(month_number(month))
    for unit in clean.of_month(month):
        mine = gone.filter(pl.col(UNIT) == unit.number)
        for rows in _row_groups(settings, clean.table, unit, month):
            frame = _conformed(clean, unit, rows)
            yield frame.join(mine, on=[UNIT, ROW], how="anti", maintain_order="left") if mine.height else frame


def scan_month(settings: Settings, clean: Clean, month: str, wanted: Sequence[str]) -> pl.LazyFrame:
    """The same as a plan: `_unit`, `_row`, `_line` and the columns that are wanted."""
    time = TABLES[clean.table].time
    assert time is not None
    gone = clean.gone.of_month(month_number(month))
    frames = [
        pl.scan_parquet(settings.home / unit.cleaned.clean.path, glob=False)
        .filter(_within(time, month))
        .select(pl.lit(unit.number, pl.UInt32).alias(UNIT), ROW, LINE, *wanted)
        for unit in clean.of_month(month)
        if unit.cleaned.clean is not None
    ]
    rows = pl.concat(frames)
    return rows.join(gone.lazy(), on=[UNIT, ROW], how="anti", maintain_order="left") if gone.height else rows


def month_number(month: str) -> int:
    """ "2024-03" as `duplicates.MONTH` has it."""
    year, _, number = month.partition("-")
    return int(year) * 12 + int(number) - 1


def _within(time: str, month: str) -> pl.Expr:
    number = month_number(month)
    first = pl.datetime(number // 12, number % 12 + 1, 1, time_unit="us", time_zone="UTC")
    after = pl.datetime((number + 1) // 12, (number + 1) % 12 + 1, 1, time_unit="us", time_zone="UTC")
    return (pl.col(time) >= first) & (pl.col(time) < after)


def _row_groups(settings: Settings, table: str, unit: Unit, month: str) -> Iterator[pl.DataFrame]:
    """A clean file's rows of a month: each of its row groups holds one month."""
    time = TABLES[table].time
    assert unit.cleaned.clean is not None
    with pq.ParquetFile(settings.home / unit.cleaned.clean.path) as file:
        column = file.schema_arrow.names.index(time)
        waiting: list[int] = []
        rows = 0
        for number in range(file.metadata.num_row_groups):
            group = file.metadata.row_group(number)
            first = group.column(column).statistics.min
            if f"{first.year:04d}-{first.month:02d}" != month:
                continue
            if waiting and rows + group.num_rows > _CHUNK:
                yield _frame(file, waiting)
                waiting, rows = [], 0
            waiting.append(number)
            rows += group.num_rows
        if waiting:
            yield _frame(file, waiting)


def _frame(file: pq.ParquetFile, groups: list[int]) -> pl.DataFrame:
    frame = pl.from_arrow(file.read_row_groups(groups))
    assert isinstance(frame, pl.DataFrame)
    return frame


def _conformed(clean: Clean, unit: Unit, rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(
        pl.lit(unit.number, pl.UInt32).alias(UNIT),
        ROW,
        LINE,
        *(
            (pl.col(name) if name in rows.columns else pl.lit(None)).cast(dtype).alias(name)
            for name, dtype in clean.columns.items()
        ),
    )


def aliased(rows: pl.DataFrame, aliases: pl.DataFrame) -> pl.DataFrame:
    """Rows by the customer that theirs was found to be."""
    if not aliases.height or names.CUSTOMER_ID not in rows.columns:
        return rows
    found = rows.join(aliases, on=names.CUSTOMER_ID, how="left", maintain_order="left")
    return found.with_columns(pl.coalesce(INTO, names.CUSTOMER_ID).alias(names.CUSTOMER_ID)).drop(INTO)


INTO: Final = "into_customer_id"
SAME_PERSON: Final = "same person"
"""Why rows of several customers' are one in the ledger."""


def digest_of(frame: pl.DataFrame) -> str:
    """Of a small frame's content."""
    return digest(frame.write_csv())


def reject(
    clean: Clean, rows: pl.DataFrame, column: str, rule: str, remedy: str, month: str | None = None
) -> pl.DataFrame:
    """Rows as rows of quarantine."""
    return rows.select(
        pl.lit(clean.table).alias("table"),
        pl.col(UNIT).replace_strict(clean.names, return_dtype=pl.String).alias("file"),
        pl.col(LINE).alias("line"),
        pl.col(ROW).alias("row"),
        pl.lit(column).alias("column"),
        pl.col(column).cast(pl.String).alias("value"),
        pl.lit(rule).alias("rule"),
        pl.lit(remedy).alias("remedy"),
        pl.lit(month, pl.String).alias(OF_MONTH),
    ).cast(REJECTED)


def merge(clean: Clean, rows: pl.DataFrame, rule: str, month: str | None = None) -> pl.DataFrame:
    """Rows with `into_unit`, `into_row`, `into_line` as rows of the ledger."""
    told = rows.with_columns(pl.lit(rule).alias("rule"))
    frames = [pl.DataFrame(schema=MERGED), *duplicates.ledger(clean.table, told, clean.names)]
    return pl.concat(frames).with_columns(pl.lit(month, pl.String).alias(OF_MONTH))


@dataclass
class Outcome:
    """What became of a table's rows, besides those that are integrated.

    Attributes:
        merged: frames of `LEDGER`.
        rejected: frames of `REJECTED`.
        derived: rows that no raw row stands behind.
    """

    merged: list[pl.DataFrame] = field(default_factory=list)
    rejected: list[pl.DataFrame] = field(default_factory=list)
    derived: int = 0


def write(
    place: Place, clean: Clean, months: Mapping[str, Part], inputs: Mapping[str, str], outcome: Outcome
) -> Integrated:
    """A table's record, with its ledger and its quarantine written.

    Args:
        place, clean: whose.
        months: month → its part.
        inputs: month → digest.
        outcome: what did not become a row.
    """
    found = (
        frame.with_columns(pl.lit(None, pl.String).alias(OF_MONTH))
        for frame in duplicates.ledger(clean.table, clean.gone.merged, clean.names)
    )
    ledger = parts.write(place.settings, f"integrated/{clean.table}", "merged", _chain(found, outcome.merged))
    conflicts = duplicates.quarantined(clean.table, clean.gone.rejected, clean.names, clean.key)
    conflicts = conflicts.with_columns(pl.lit(None, pl.String).alias(OF_MONTH))
    quarantine = parts.write(place.settings, f"quarantine/{clean.table}", "integrated", [conflicts, *outcome.rejected])
    return Integrated(
        table=clean.table,
        parts=dict(months),
        inputs=dict(inputs),
        rows=sum(part.rows for part in months.values()),
        clean=clean.rows,
        merged=ledger.rows if ledger is not None else 0,
        rejected=quarantine.rows if quarantine is not None else 0,
        derived=outcome.derived,
        ledger=ledger,
        quarantine=quarantine,
        imputed=imputed(place.settings, clean, months.values()),
    )


def _chain(first: Iterable[pl.DataFrame], then: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    yield from first
    yield from then


def write_whole(place: Place, clean: Clean, rows: pl.DataFrame, inputs: str, outcome: Outcome) -> Integrated:
    """A table in one file, its columns in the contract's order, own ones after them."""
    part = parts.write(place.settings, f"integrated/{clean.table}", "all", [ordered(clean.table, rows)])
    return write(place, clean, {WHOLE: part} if part is not None else {}, {WHOLE: inputs}, outcome)


def ordered(table: str, rows: pl.DataFrame) -> pl.DataFrame:
    """The canonical columns, then the table's own, without ours; canonical ones that are missing are null."""
    canonical = TABLES[table].columns
    own = [name for name in rows.columns if name not in canonical and name not in (UNIT, ROW, LINE, KEY)]
    made = [
        pl.col(name) if name == names.OUTSIDE_ID else pl.col(name).cast(column.dtype)
        for name, column in canonical.items()
        if name in rows.columns
    ]
    absent = [pl.lit(None, column.dtype).alias(name) for name, column in canonical.items() if name not in rows.columns]
    return rows.select(*made, *absent, *own).select(*canonical, *own)


def imputed(settings: Settings, clean: Clean, found: Iterable[Part]) -> dict[str, int]:
    """Values that were filled in, by column."""
    if not clean.impute:
        return {}
    rows = pl.concat(parts.scan(settings, found) or [pl.LazyFrame()], how="diagonal")
    known = rows.collect_schema().names()
    counted = [
        (pl.col(f"{name}_missing") & pl.col(name).is_not_null()).sum().alias(name)
        for name in clean.impute
        if f"{name}_missing" in known
    ]
    return (
        {name: int(number) for name, number in rows.select(counted).collect().row(0, named=True).items()}
        if counted
        else {}
    )
