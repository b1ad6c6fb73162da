"""What changed between two timelines: which customers' rows of a table, and from when on.

A changed part's old file is still there, so that the two are compared row by row, by hashes that are added up by
customer and period: nothing is kept for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from feature_repo.features.frames import micros
from feature_repo.mart import manifest
from feature_repo.mart.manifest import TimelinePart
from feature_repo.mart.timeline import KEYED, Parts
from feature_repo.warehouse.contract import SCHEMAS, TABLES
from motherlode import names
from motherlode.settings import Settings

PERIOD: Final = "period"
ALWAYS: Final = -(2**62)
"""The period of rows without a time: every snapshot sees them."""
_SCHEMA: Final = {names.CUSTOMER_ID: pl.String(), PERIOD: pl.Int64()}
_HALF: Final = 2**32
_OLD: Final = "_old"


@dataclass(frozen=True)
class Grid:
    """The regular snapshots, without an end: `anchor` and whole cadences from it.

    Period p holds [anchor + p cadences, anchor + (p + 1) cadences): snapshots after its begin may see its rows.
    """

    anchor: datetime
    cadence: timedelta

    def begin(self, period: int) -> datetime | None:
        """When a period begins; None where it is that of rows without a time."""
        return None if period == ALWAYS else self.anchor + period * self.cadence

    def number(self, time: str) -> pl.Expr:
        """The period of each row."""
        length = self.cadence // timedelta(microseconds=1)
        since = micros(pl.col(time)) - pl.lit(self.anchor, dtype=pl.Datetime("us", "UTC")).cast(pl.Int64)
        return (since // length).fill_null(ALWAYS)


@dataclass(frozen=True)
class Changes:
    """What changed.

    Attributes:
        customers: table → `customer_id` (null: nobody's rows) and the first `period` with a change; keyed tables only.
        tables: those of which everything counts as changed: one that is not keyed, or whose old rows are gone.
    """

    customers: Mapping[str, pl.DataFrame]
    tables: frozenset[str]

    def of(self, reads: Sequence[str]) -> pl.DataFrame:
        """The customers whose rows changed in any of these tables, and the first period with a change."""
        found = [self.customers[name] for name in reads if name in self.customers]
        return pl.concat([pl.DataFrame(schema=_SCHEMA), *found]).group_by(names.CUSTOMER_ID).agg(pl.col(PERIOD).min())


def between(settings: Settings, before: Parts, after: Parts, grid: Grid) -> Changes:
    """What changed from one timeline to another."""
    customers: dict[str, pl.DataFrame] = {}
    whole: set[str] = set()
    for name in SCHEMAS:
        old, new = before.get(name, {}), after.get(name, {})
        months = [month for month in sorted({*old, *new}) if old.get(month) != new.get(month)]
        if not months:
            continue
        if name not in KEYED or not all(_there(settings, part) for month in months for part in old.get(month, ())):
            whole.add(name)
            continue
        found = [_touched(settings, name, old.get(month, ()), new.get(month, ()), grid) for month in months]
        customers[name] = pl.concat(found)
    return Changes(customers, frozenset(whole))


def _there(settings: Settings, part: TimelinePart) -> bool:
    return manifest.whole(settings.mart / part.path, sum(part.rows))


def _touched(
    settings: Settings, name: str, old: Sequence[TimelinePart], new: Sequence[TimelinePart], grid: Grid
) -> pl.DataFrame:
    """The customers whose rows differ, and the first period with a difference."""
    columns = sorted({column for part in (*old, *new) for column in pl.read_parquet_schema(settings.mart / part.path)})
    before, after = (_digests(settings, name, parts, columns, grid) for parts in (old, new))
    key = [names.CUSTOMER_ID, PERIOD]
    both = before.join(after, on=key, how="full", coalesce=True, nulls_equal=True, suffix=_OLD)
    differs = pl.any_horizontal(pl.col(each).ne_missing(pl.col(f"{each}{_OLD}")) for each in ("rows", "low", "high"))
    return both.filter(differs).group_by(names.CUSTOMER_ID).agg(pl.col(PERIOD).min())


def _digests(
    settings: Settings, name: str, parts: Sequence[TimelinePart], columns: Sequence[str], grid: Grid
) -> pl.DataFrame:
    """How many rows each customer has in each period, and the sum of their hashes.

    The two halves of a hash are added up apart, so that no sum runs over.
    """
    time = TABLES[name].time
    period = pl.lit(ALWAYS, dtype=pl.Int64) if time is None else grid.number(time)
    found = [pl.DataFrame(schema={**_SCHEMA, "rows": pl.UInt32(), "low": pl.UInt64(), "high": pl.UInt64()})]
    for part in parts:
        frame = pl.read_parquet(settings.mart / part.path, glob=False)
        lacking = [pl.lit(None).alias(column) for column in columns if column not in frame.columns]
        row = frame.with_columns(lacking).select(columns).hash_rows()
        hashed = frame.select(
            names.CUSTOMER_ID,
            period.alias(PERIOD),
            (row % _HALF).alias("low"),
            (row // _HALF).alias("high"),
        )
        found.append(
            hashed.group_by(names.CUSTOMER_ID, PERIOD).agg(pl.len().alias("rows"), pl.col("low", "high").sum())
        )
    return pl.concat(found).group_by(names.CUSTOMER_ID, PERIOD).agg(pl.col("rows", "low", "high").sum())
