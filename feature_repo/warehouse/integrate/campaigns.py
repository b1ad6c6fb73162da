"""Campaigns, who was contacted in them, and who answered."""

from typing import Final

import polars as pl

from feature_repo.warehouse.contract import LINE, ROW, SCHEMAS, TABLES
from feature_repo.warehouse.duplicates import UNIT
from feature_repo.warehouse.integrate import imputing
from feature_repo.warehouse.integrate.table import (
    SAME_PERSON,
    Clean,
    Outcome,
    Place,
    aliased,
    digest_of,
    merge,
    reject,
    whole,
    write_whole,
)
from feature_repo.warehouse.state import Integrated
from motherlode import names

_UNKNOWN: Final = "unknown campaign"
_RUN: Final = [names.CAMPAIGN_ID, names.STARTED_AT, names.ENDED_AT]


def campaigns(place: Place, clean: Clean, contacts: Clean, responses: Clean) -> tuple[Integrated, pl.DataFrame]:
    """Campaigns as mapped; where none are, as contacts tell of them, or else responses.

    Returns:
        The table, and its rows: `campaign_id`, `started_at`, `ended_at`.
    """
    outcome = Outcome()
    if clean.units:
        inputs = clean.inputs(*imputing.versions(clean))
        rows = imputing.fill(clean, whole(place.settings, clean), None, outcome)
    else:
        told = contacts if contacts.units else responses
        inputs = clean.inputs(told.inputs())
        rows = _derived(whole(place.settings, told)) if told.units else pl.DataFrame(schema=SCHEMAS[names.CAMPAIGNS])
        outcome.derived = rows.height
    known = place.kept(names.CAMPAIGNS, inputs)
    return known or write_whole(place, clean, rows, inputs, outcome), rows.select(_RUN)


def contacts(place: Place, clean: Clean, runs: pl.DataFrame, aliases: pl.DataFrame) -> Integrated:
    """Contacts of known campaigns; one without a time was made at its campaign's start."""
    inputs = clean.inputs(digest_of(runs), digest_of(aliases), *imputing.versions(clean))
    if (known := place.kept(clean.table, inputs)) is not None:
        return known
    outcome = Outcome()
    rows = aliased(_of_known(clean, whole(place.settings, clean), runs, outcome), aliases)
    starts = runs.select(names.CAMPAIGN_ID, pl.col(names.STARTED_AT).alias("_start"))
    rows = rows.join(starts, on=names.CAMPAIGN_ID, how="left", maintain_order="left")
    rows = rows.with_columns(pl.coalesce(names.EVENT_TIMESTAMP, "_start").alias(names.EVENT_TIMESTAMP)).drop("_start")
    timeless = rows.filter(pl.col(names.EVENT_TIMESTAMP).is_null())
    remedy = "Give the contact's time, or map the campaigns with their starts."
    outcome.rejected.append(reject(clean, timeless, names.EVENT_TIMESTAMP, "missing", remedy))
    rows = imputing.fill(clean, rows.filter(pl.col(names.EVENT_TIMESTAMP).is_not_null()), None, outcome)
    rows = once(clean, rows, outcome) if aliases.height else rows
    return write_whole(place, clean, rows, inputs, outcome)


def responses(
    place: Place, clean: Clean, runs: pl.DataFrame, contacted: pl.DataFrame | None, aliases: pl.DataFrame
) -> Integrated:
    """Responses to known campaigns; where contacts are mapped, of customers who were contacted, while it ran.

    Args:
        place, clean: whose, and what of.
        runs: campaigns: `campaign_id`, `started_at`, `ended_at`.
        contacted: integrated contacts; None where none are mapped.
        aliases: `customer_id`, `into_customer_id`.
    """
    pairs = [names.CUSTOMER_ID, names.CAMPAIGN_ID]
    told = "" if contacted is None else digest_of(contacted.select(pairs).unique().sort(pairs))
    inputs = clean.inputs(digest_of(runs), digest_of(aliases), told, *imputing.versions(clean))
    if (known := place.kept(clean.table, inputs)) is not None:
        return known
    outcome = Outcome()
    rows = aliased(_of_known(clean, whole(place.settings, clean), runs, outcome), aliases)
    rows = imputing.fill(clean, rows, None, outcome)
    rows = once(clean, rows, outcome) if aliases.height else rows
    if contacted is not None:
        rows = _invited(clean, rows, runs, contacted, outcome)
    return write_whole(place, clean, rows, inputs, outcome)


def _invited(
    clean: Clean, rows: pl.DataFrame, runs: pl.DataFrame, contacted: pl.DataFrame, outcome: Outcome
) -> pl.DataFrame:
    pairs = [names.CUSTOMER_ID, names.CAMPAIGN_ID]
    uninvited = rows.join(contacted, on=pairs, how="anti", maintain_order="left")
    remedy = "Land the contact, or correct the campaign."
    outcome.rejected.append(reject(clean, uninvited, names.CAMPAIGN_ID, "not contacted", remedy))
    rows = rows.join(contacted.select(pairs).unique(), on=pairs, how="semi", maintain_order="left")
    columns = rows.columns
    own = {column: f"of {column}" for column in (names.STARTED_AT, names.ENDED_AT)}
    rows = rows.join(runs.rename(own), on=names.CAMPAIGN_ID, how="left", maintain_order="left")
    time = pl.col(names.EVENT_TIMESTAMP)
    start, end = pl.col(own[names.STARTED_AT]), pl.col(own[names.ENDED_AT])
    outside = ((time < start) | (time > end)).fill_null(False)
    remedy = "Correct the response's day, or the campaign's."
    outcome.rejected.append(reject(clean, rows.filter(outside), names.EVENT_TIMESTAMP, "outside its campaign", remedy))
    return rows.filter(~outside).select(columns)


def _of_known(clean: Clean, rows: pl.DataFrame, runs: pl.DataFrame, outcome: Outcome) -> pl.DataFrame:
    unknown = rows.join(runs, on=names.CAMPAIGN_ID, how="anti", maintain_order="left")
    remedy = "Land the campaign's description, or correct the campaign."
    outcome.rejected.append(reject(clean, unknown, names.CAMPAIGN_ID, _UNKNOWN, remedy))
    return rows.join(runs, on=names.CAMPAIGN_ID, how="semi", maintain_order="left")


def once(clean: Clean, rows: pl.DataFrame, outcome: Outcome) -> pl.DataFrame:
    """Rows by the customers that theirs were found to be: what two of one person had both is one row."""
    if not clean.key:
        return rows
    own = pl.struct(UNIT, ROW, LINE).first().over(clean.key)
    known = rows.with_columns(own.alias("_first"))
    twin = (pl.col("_first").struct.field(UNIT) != pl.col(UNIT)) | (pl.col("_first").struct.field(ROW) != pl.col(ROW))
    twins = known.filter(twin).with_columns(
        pl.col("_first").struct.field(UNIT).alias("into_unit"),
        pl.col("_first").struct.field(ROW).alias("into_row"),
        pl.col("_first").struct.field(LINE).alias("into_line"),
    )
    outcome.merged.append(merge(clean, twins, SAME_PERSON))
    return known.filter(~twin).drop("_first")


def _derived(rows: pl.DataFrame) -> pl.DataFrame:
    first = pl.col(names.EVENT_TIMESTAMP).min().alias(names.STARTED_AT)
    found = rows.group_by(names.CAMPAIGN_ID).agg(first).filter(pl.col(names.STARTED_AT).is_not_null())
    absent = [
        pl.lit(None, column.dtype).alias(name)
        for name, column in TABLES[names.CAMPAIGNS].columns.items()
        if name not in found.columns
    ]
    return found.with_columns(absent).select(SCHEMAS[names.CAMPAIGNS].names()).sort(names.CAMPAIGN_ID)
