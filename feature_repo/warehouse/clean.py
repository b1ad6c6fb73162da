"""Raw to clean: canonical columns, each row judged by its table's rules, each row once."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import polars as pl

from feature_repo.warehouse.contract import KEYS, LANDED_AT, RULES, Rule
from feature_repo.warehouse.mapping import LINE

QUARANTINE: Final = pl.Schema(
    {
        "file": pl.String(),
        "line": pl.UInt32(),
        "column": pl.String(),
        "value": pl.String(),
        "rule": pl.String(),
        "remedy": pl.String(),
    }
)
"""`quarantine/<table>.parquet`: a rejected row each, by the first rule that it breaks; customers by join key."""

MERGED: Final = pl.Schema({"file": pl.String(), "line": pl.UInt32(), "into_line": pl.UInt32(), "rule": pl.String()})
"""`clean/merged.parquet`: rows that live on in another row of the same file."""


@dataclass(frozen=True)
class Cleaned:
    """One table, cleaned.

    Attributes:
        rows: `line` and the canonical columns, in the file's order.
        rejected: see `QUARANTINE`.
        merged: see `MERGED`.
    """

    rows: pl.DataFrame
    rejected: pl.DataFrame
    merged: pl.DataFrame


def clean(table: str, file: str, mapped: pl.LazyFrame, landed_at: datetime) -> Cleaned:
    """Judge a mapped table's rows.

    Args:
        table: the canonical table.
        file: the raw file's name, for quarantine.
        mapped: `line` and canonical columns.
        landed_at: no event is later, UTC.
    """
    columns = set(mapped.collect_schema().names())
    rules = [rule for rule in RULES[table] if rule.column in columns]
    judged = mapped.with_columns(pl.lit(landed_at).alias(LANDED_AT)).with_columns(_verdict(rules)).drop(LANDED_AT)
    rows = judged.collect(engine="streaming").sort(LINE)
    broken = rows.filter(pl.col(_VERDICT).is_not_null())
    rejected = [
        reject(file, broken.filter(pl.col(_VERDICT) == number), rule.column, rule.name, rule.remedy)
        for number, rule in enumerate(rules)
    ]
    kept = rows.filter(pl.col(_VERDICT).is_null()).drop(_VERDICT)
    return _once(table, file, kept, pl.concat([pl.DataFrame(schema=QUARANTINE), *rejected]))


def reject(file: str, rows: pl.DataFrame, column: str, rule: str, remedy: str) -> pl.DataFrame:
    """Rows with `line` as rows of quarantine."""
    return rows.select(
        pl.lit(file).alias("file"),
        pl.col(LINE).alias("line"),
        pl.lit(column).alias("column"),
        pl.col(column).cast(pl.String).alias("value"),
        pl.lit(rule).alias("rule"),
        pl.lit(remedy).alias("remedy"),
    ).cast(QUARANTINE)


def merge(file: str, rows: pl.DataFrame, rule: str) -> pl.DataFrame:
    """Rows with `line` and `into_line` as rows of the merge ledger."""
    return rows.select(
        pl.lit(file).alias("file"), pl.col(LINE).alias("line"), pl.col("into_line"), pl.lit(rule).alias("rule")
    ).cast(MERGED)


_VERDICT: Final = "verdict"
_CONFLICT: Final = "two rows of one key"


def _verdict(rules: list[Rule]) -> pl.Expr:
    """The number of the first rule that a row breaks; null where it keeps them all."""
    verdict = pl.lit(None, pl.UInt8)
    for number, rule in reversed(list(enumerate(rules))):
        verdict = pl.when(rule.broken).then(pl.lit(number, pl.UInt8)).otherwise(verdict)
    return verdict.alias(_VERDICT)


def _once(table: str, file: str, rows: pl.DataFrame, rejected: pl.DataFrame) -> Cleaned:
    """One row a key: a later row equal in every column was landed twice and merges, one that differs is rejected."""
    key = list(KEYS[table])
    several = rows.lazy().group_by(key).agg(pl.len(), pl.col(LINE).min().alias("into_line"))
    several_rows = several.filter(pl.col("len") > 1).drop("len").collect(engine="streaming")
    suspects = rows.join(several_rows, on=key, how="inner", nulls_equal=True)
    values = [column for column in rows.columns if column != LINE]
    first = suspects.filter(pl.col(LINE) == pl.col("into_line")).select(values)
    later = suspects.filter(pl.col(LINE) != pl.col("into_line"))
    equal = later.join(first, on=values, how="semi", nulls_equal=True)
    differing = later.join(first, on=values, how="anti", nulls_equal=True)
    remedy = f"Keep one of the rows of equal {', '.join(key)}, or correct the key; the first was taken."
    return Cleaned(
        rows.join(later.select(LINE), on=LINE, how="anti", maintain_order="left"),
        pl.concat([rejected, reject(file, differing, key[-1], _CONFLICT, remedy)]).sort("line"),
        merge(file, equal, "landed twice"),
    )
