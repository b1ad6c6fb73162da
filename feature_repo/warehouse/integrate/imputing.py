"""Missing values filled in, and the rows that miss what they must not."""

from collections.abc import Iterable
from typing import Final

import polars as pl

from feature_repo.warehouse import parts
from feature_repo.warehouse.contract import TABLES
from feature_repo.warehouse.impute import fill as filled
from feature_repo.warehouse.integrate.table import Clean, Outcome, reject
from feature_repo.warehouse.state import Part
from motherlode.settings import Settings

NOTHING: Final = "missing, and nothing in the past to fill it from"


def fill(
    clean: Clean, rows: pl.DataFrame, past: pl.DataFrame | None, outcome: Outcome, month: str | None = None
) -> pl.DataFrame:
    """Rows with what was missing filled in and `<column>_missing`.

    A required column that nothing in the past tells gets the contract's default; where there is none, the row is
    rejected.
    """
    if not clean.impute:
        return rows
    rows, _ = filled(rows, clean.impute, TABLES[clean.table].time, past)
    canonical = TABLES[clean.table].columns
    for column in clean.impute:
        if column not in canonical or not canonical[column].required:
            continue
        if (default := canonical[column].default) is not None:
            rows = rows.with_columns(pl.col(column).fill_null(default))
        else:
            lacking = rows.filter(pl.col(column).is_null())
            rows = rows.filter(pl.col(column).is_not_null())
            remedy = f"Give every row its {column}, or land earlier months."
            outcome.rejected.append(reject(clean, lacking, column, NOTHING, remedy, month))
    return rows


def past(settings: Settings, clean: Clean, months: Iterable[Part]) -> pl.DataFrame | None:
    """What earlier months have to fit on: the columns that specs name, without the values that were filled in."""
    scans = parts.scan(settings, months)
    if not scans:
        return None
    wanted = {TABLES[clean.table].time, *clean.impute}
    for spec in clean.impute.values():
        wanted |= {*spec.within, *spec.using}
    rows = pl.concat(scans, how="diagonal")
    known = rows.collect_schema().names()
    genuine = [
        # A month from before the column was imputed has no flag: its values are genuine.
        pl.when(~pl.col(f"{column}_missing").fill_null(value=False)).then(pl.col(column)).alias(column)
        for column in clean.impute
        if f"{column}_missing" in known
    ]
    return rows.with_columns(genuine).select(column for column in known if column in wanted).collect(engine="streaming")
