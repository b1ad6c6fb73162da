"""Missing values filled in, and the rows that miss what they must not."""

from collections.abc import Iterable
from importlib.metadata import version
from typing import Final

import polars as pl

from feature_repo.warehouse import parts
from feature_repo.warehouse.contract import TABLES
from feature_repo.warehouse.impute import fill as filled
from feature_repo.warehouse.integrate.table import Clean, Outcome, reject
from feature_repo.warehouse.state import Part
from motherlode import names
from motherlode.settings import Settings

NOTHING: Final = "missing, and nothing in the past to fill it from"

_BEGAN: Final = {names.CUSTOMERS: names.REGISTERED_AT, names.CAMPAIGNS: names.STARTED_AT}
"""Tables that are a state → when what a row tells of began."""
_ORDER: Final = "_impute_order"


def fill(
    clean: Clean, rows: pl.DataFrame, past: pl.DataFrame | None, outcome: Outcome, month: str | None = None
) -> pl.DataFrame:
    """Rows with what was missing filled in and `<column>_missing`.

    A required column that nothing in the past tells gets the contract's default; where there is none, the row is
    rejected.
    """
    if not clean.impute:
        return rows
    rows = _filled(clean, rows, past)
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


def _filled(clean: Clean, rows: pl.DataFrame, past: pl.DataFrame | None) -> pl.DataFrame:
    """A state's rows are filled from what began before them; those of which no beginning is known, from all."""
    began = _BEGAN.get(clean.table)
    if began is None or rows[began].null_count() == rows.height:
        return filled(rows, clean.impute, TABLES[clean.table].time, past)[0]
    rows = rows.with_row_index(_ORDER)
    dated, undated = rows.filter(pl.col(began).is_not_null()), rows.filter(pl.col(began).is_null())
    told = [filled(dated, clean.impute, began)[0], filled(undated, clean.impute, None, dated)[0]]
    return pl.concat(told).sort(_ORDER).drop(_ORDER)


def versions(clean: Clean) -> tuple[str, ...]:
    """Of what fills a table's values in, where another version might fill in others; digests take them in."""
    return (version("xgboost"),) if any(spec.by == "model" for spec in clean.impute.values()) else ()


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
    rows = rows.with_columns(genuine).select(column for column in known if column in wanted)
    # Rows without a value of any of them teach nothing.
    valued = [pl.col(column).is_not_null() for column in clean.impute if column in known]
    return (rows.filter(pl.any_horizontal(valued)) if valued else rows).collect(engine="streaming")
