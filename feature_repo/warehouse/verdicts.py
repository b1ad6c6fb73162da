"""One verdict a row: kept, or rejected by the first thing that is wrong with it; what quarantine may show of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from feature_repo.warehouse import contract, events, raw
from feature_repo.warehouse.contract import LANDED_AT, LINE, QUARANTINE, ROW, RULES, TABLES, Rule
from feature_repo.warehouse.identities import HIDDEN
from feature_repo.warehouse.mapping.identifying import identifiers
from feature_repo.warehouse.mapping.made import Compiled, Made
from feature_repo.warehouse.parts import KEY
from feature_repo.warehouse.task import Place, Task
from motherlode import names

EXCLUDED: Final = "excluded"

_BAD: Final = "?"
"""Prefix of the columns that say what is wrong with a row."""
_WARNED: Final = "!"
"""Prefix of the columns that say what is to be counted of it."""
_MULTIPLIER: Final = 0x9E3779B97F4A7C15
"""Odd, near 2^64 / golden ratio: mixes the columns' hashes."""


@dataclass(frozen=True)
class Judged:
    """A batch, judged.

    Attributes:
        kept: `_row`, `_line`, `_key`, then the canonical columns with pseudonyms, and the table's own.
        rejected: rows of `contract.QUARANTINE`.
        excluded: how many of them the mapping sets aside.
        warnings: rule → rows that broke it and were kept.
    """

    kept: pl.DataFrame
    rejected: pl.DataFrame
    excluded: int
    warnings: Mapping[str, int]


@dataclass(frozen=True)
class _Fault:
    """One thing that may be wrong with a row."""

    column: str
    rule: str
    remedy: str


def judge(place: Place, task: Task, made: Compiled, frame: pl.DataFrame) -> Judged:
    """Judge a batch of a file's rows.

    Args:
        place, task, made: what and how.
        frame: of `task.batches`.
    """
    rules = _rules(task, made)
    faults, flags = _faults(task, made, rules)
    rows = _evaluated(place, task, made, frame, flags, rules)
    bad = rows[_BAD]
    columns = [column.name for column in made.columns]
    kept = rows.filter(~bad).select(ROW, LINE, *columns, pl.col(f"^{_WARNED}.*$"))
    warned = [rule for rule in rules if rule.severity == "warn"]
    warnings = {rule.name: int(kept[f"{_WARNED}{number}"].sum()) for number, rule in enumerate(warned)}
    kept = _finished(place, task, made, kept.select(ROW, LINE, *columns))
    if not bad.any():
        return Judged(kept, pl.DataFrame(schema=QUARANTINE), 0, warnings)
    first = pl.coalesce(
        pl.when(pl.col(f"{_BAD}{number}")).then(pl.lit(number, pl.UInt16)) for number in range(len(faults))
    )
    verdicts = rows.filter(bad).select(first.alias("verdict"))["verdict"]
    rejected = _quarantine(place, task, made, frame.filter(bad), rows.filter(bad), verdicts, faults)
    return Judged(kept, rejected, int((rejected["rule"] == EXCLUDED).sum()), warnings)


def malformed(place: Place, task: Task) -> pl.DataFrame:
    """Lines that are no row. Whole lines are hidden where any table has an identifier of this source's."""
    lines = raw.malformed(place.settings, task.landed)
    hidden = place.identities.hides(identifiers(place.project.mapping, task.landed.source))
    return lines.select(
        pl.lit(task.table).alias("table"),
        pl.lit(task.landed.name).alias("file"),
        pl.col("line"),
        pl.lit(None, pl.UInt32).alias("row"),
        pl.lit("").alias("column"),
        pl.lit(HIDDEN).alias("value") if hidden else pl.col("value"),
        pl.col("rule"),
        pl.col("remedy"),
    ).cast(QUARANTINE)


def _rules(task: Task, made: Compiled) -> list[Rule]:
    """The table's rules, those of the company after the contract's."""
    # What is filled in at the integrated layer, and what is made from columns that are required themselves.
    waits = {*made.impute, *made.derived} - {TABLES[task.table].time}
    known = {column.name for column in made.columns}
    contract_rules = [rule for rule in RULES[task.table] if rule.column in known]
    texts = [_no_text(column.name) for column in made.columns if column.privacy == "identifier"]
    return [
        rule for rule in (*texts, *contract_rules, *made.rules) if not (rule.name == "missing" and rule.column in waits)
    ]


def _no_text(column: str) -> Rule:
    remedy = "Take the NUL characters out of the source: no identifier has one."
    return Rule("not text", column, pl.col(column).cast(pl.String).str.contains("\0", literal=True), remedy)


def _faults(task: Task, made: Compiled, rules: Sequence[Rule]) -> tuple[list[_Fault], list[tuple[str, pl.Expr]]]:
    """What may be wrong with a row, the first that counts first; and the flags that raw columns give."""
    faults, flags = [], []
    if made.where is not None:
        faults.append(_Fault("", EXCLUDED, f"Nothing: the mapping sets it aside by `where: {task.block.where}`."))
        flags.append(~made.where)
    for column in made.columns:
        if column.failed is not None:
            faults.append(_Fault(column.name, column.rule, column.remedy))
            flags.append(column.failed)
    named = [(f"{_BAD}{number}", flag) for number, flag in enumerate(flags)]
    faults += [_Fault(rule.column, rule.name, rule.remedy) for rule in rules if rule.severity == "fail"]
    return faults, named


def _evaluated(
    place: Place,
    task: Task,
    made: Compiled,
    frame: pl.DataFrame,
    flags: Sequence[tuple[str, pl.Expr]],
    rules: Sequence[Rule],
) -> pl.DataFrame:
    """`_row`, `_line`, the canonical columns with dates moved, and a flag for each fault; `?` where there is any."""
    own = set(map(id, made.rules))
    failing = [rule for rule in rules if rule.severity == "fail"]
    flagged = [(f"{_BAD}{len(flags) + number}", rule) for number, rule in enumerate(failing)] + [
        (f"{_WARNED}{number}", rule) for number, rule in enumerate(rule for rule in rules if rule.severity == "warn")
    ]
    before = [rule.broken.fill_null(False).alias(name) for name, rule in flagged if id(rule) in own]
    after = [rule.broken.fill_null(False).alias(name) for name, rule in flagged if id(rule) not in own]
    every = [name for name, _ in flags] + [name for name, rule in flagged if rule.severity == "fail"]
    weeks = 0 if events.live(task.landed) else place.shift_weeks  # what came in live is of now
    shifted = [
        _moved(column.dtype, pl.col(column.name), weeks).alias(column.name)
        for column in made.columns
        if weeks and _has_date(column.dtype)
    ]
    return (
        frame.lazy()
        .select(
            ROW,
            LINE,
            *(column.value.cast(column.dtype).alias(column.name) for column in made.columns),
            *(flag.alias(name) for name, flag in flags),
        )
        .with_columns(before)  # the company's rules speak of the company's dates
        .with_columns(shifted)
        .with_columns(pl.lit(task.landed.landed_at, contract.UTC).alias(LANDED_AT))
        .with_columns(after)
        .with_columns((pl.any_horizontal(every) if every else pl.lit(False)).alias(_BAD))
        .collect()
    )


def _finished(place: Place, task: Task, made: Compiled, rows: pl.DataFrame) -> pl.DataFrame:
    """Pseudonyms, what is made of them, and the key's hash."""
    done = []
    for column in made.columns:
        if column.name == names.CUSTOMER_ID:
            done.append(place.identities.join_keys(rows[column.name]))
        elif column.privacy == "identifier":
            done.append(place.identities.pseudonyms(column.name, rows[column.name].cast(pl.String)))
    rows = rows.with_columns(done).with_columns(value.alias(name) for name, value in made.derived.items())
    derived = {name for name, column in TABLES[task.table].columns.items() if column.derived}
    key = made.key or tuple(column.name for column in made.columns if column.name not in derived)
    mixed = pl.lit(0, pl.UInt64)
    for name in sorted(key):
        mixed = mixed * pl.lit(_MULTIPLIER, pl.UInt64) + pl.col(name).hash()
    return rows.select(ROW, LINE, mixed.alias(KEY), *(column.name for column in made.columns))


def _moved(dtype: pl.DataType, value: pl.Expr, weeks: int) -> pl.Expr:
    """A value with every date of it moved; others as they are."""
    return value + pl.duration(weeks=weeks) if weeks and _has_date(dtype) else value


def _has_date(dtype: pl.DataType) -> bool:
    return dtype == pl.Date or isinstance(dtype, pl.Datetime)


def _quarantine(
    place: Place,
    task: Task,
    made: Compiled,
    frame: pl.DataFrame,
    rows: pl.DataFrame,
    verdicts: pl.Series,
    faults: Sequence[_Fault],
) -> pl.DataFrame:
    """Rejected rows of a batch as rows of quarantine, in the file's order."""
    columns = {column.name: column for column in made.columns}
    found = []
    for number in sorted(verdicts.unique().to_list()):
        fault, mine = faults[number], verdicts == number
        place_of = rows.filter(mine).select(ROW, LINE)
        values = _shown(place, columns.get(fault.column), frame.filter(mine), rows.filter(mine))
        found.append(
            place_of.select(
                pl.lit(task.table).alias("table"),
                pl.lit(task.landed.name).alias("file"),
                pl.col(LINE).alias("line"),
                pl.col(ROW).alias("row"),
                pl.lit(fault.column).alias("column"),
                values.alias("value"),
                pl.lit(fault.rule).alias("rule"),
                pl.lit(fault.remedy).alias("remedy"),
            ).cast(QUARANTINE)
        )
    return pl.concat(found).sort("row")


def _shown(place: Place, column: Made | None, frame: pl.DataFrame, rows: pl.DataFrame) -> pl.Series:
    """What stands in the file, as quarantine may show it."""
    if column is None:
        return pl.Series([None] * rows.height, dtype=pl.String)
    made = rows[column.name].cast(pl.String)
    shown = frame.select(column.shown.cast(pl.String).alias("value"))["value"]
    if len(shown) != rows.height:  # a constant
        shown = made
    return place.identities.shown(column.name, column.privacy, shown.zip_with(shown.is_not_null(), made), column.dtype)
