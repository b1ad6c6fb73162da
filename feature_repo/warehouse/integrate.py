"""Clean to integrated: what only several tables together can tell."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from feature_repo.warehouse.clean import MERGED, QUARANTINE, merge, reject
from feature_repo.warehouse.contract import SCHEMAS, coupon_line
from feature_repo.warehouse.mapping import LINE
from motherlode import names


@dataclass(frozen=True)
class Integrated:
    """One integrated table.

    Attributes:
        rows: the canonical columns, in the contract's order and types.
        rejected: rows that broke a rule between tables, see `clean.QUARANTINE`.
        merged: rows that live on in another, see `clean.MERGED`.
        derived: how many rows no raw row stands behind.
    """

    rows: pl.DataFrame
    rejected: pl.DataFrame
    merged: pl.DataFrame
    derived: int = 0


def integrate(clean: Mapping[str, pl.DataFrame], files: Mapping[str, str]) -> dict[str, Integrated]:
    """The canonical tables.

    Args:
        clean: canonical table → its clean rows, with `line`.
        files: canonical table → its raw file's name, for quarantine.
    """
    campaigns = clean[names.CAMPAIGNS]
    transactions = _transactions(clean[names.TRANSACTIONS], files[names.TRANSACTIONS])
    contacts = _contacts(clean[names.CONTACTS], campaigns, files[names.CONTACTS])
    responses = _responses(clean[names.RESPONSES], campaigns, contacts.rows, files[names.RESPONSES])
    events = (transactions.rows, contacts.rows, responses.rows)
    return {
        names.TRANSACTIONS: transactions,
        names.ITEMS: _items(clean[names.ITEMS], transactions.rows),
        names.CUSTOMERS: _customers(clean[names.CUSTOMERS], events),
        names.CAMPAIGNS: _done(names.CAMPAIGNS, campaigns),
        names.CONTACTS: contacts,
        names.RESPONSES: responses,
    }


_SPLIT: Final = [names.CUSTOMER_ID, names.BASKET_ID, names.EVENT_TIMESTAMP]


def _transactions(rows: pl.DataFrame, file: str) -> Integrated:
    """Purchase lines; a coupon on the whole basket is added to the basket's most expensive line.

    So the discount of a basket stays what it was, and every line is a thing bought.
    """
    coupons, lines = rows.filter(coupon_line()), rows.filter(~coupon_line())
    dearest = (
        lines.join(coupons.select(_SPLIT).unique(), on=_SPLIT, how="semi")
        .sort([names.AMOUNT, names.ITEM_ID], descending=[True, False])
        .group_by(_SPLIT)
        .agg(pl.col(LINE).first().alias("into_line"))
    )
    placed = coupons.join(dearest, on=_SPLIT, how="left")
    orphans = placed.filter(pl.col("into_line").is_null())
    placed = placed.filter(pl.col("into_line").is_not_null())
    added = placed.group_by(pl.col("into_line").alias(LINE)).agg(pl.col(names.COUPON_DISCOUNT).sum().alias("added"))
    total = (pl.col(names.COUPON_DISCOUNT) + pl.col("added").fill_null(0)).round(2)
    lines = lines.join(added, on=LINE, how="left", maintain_order="left")
    return _done(
        names.TRANSACTIONS,
        lines.with_columns(total.alias(names.COUPON_DISCOUNT)),
        reject(
            file,
            orphans,
            names.COUPON_DISCOUNT,
            "coupon without a purchase",
            "Land the lines of the basket that the coupon was used on.",
        ),
        merge(file, placed, "coupon on the whole basket"),
    )


def _contacts(rows: pl.DataFrame, campaigns: pl.DataFrame, file: str) -> Integrated:
    """Contacts at their campaign's start."""
    starts = campaigns.select(names.CAMPAIGN_ID, pl.col(names.STARTED_AT).alias(names.EVENT_TIMESTAMP))
    return _done(
        names.CONTACTS,
        rows.join(starts, on=names.CAMPAIGN_ID, how="inner", maintain_order="left"),
        _unknown_campaign(rows, campaigns, file),
    )


def _responses(rows: pl.DataFrame, campaigns: pl.DataFrame, contacts: pl.DataFrame, file: str) -> Integrated:
    """Responses to a campaign that the customer was contacted in, while it ran."""
    unknown = _unknown_campaign(rows, campaigns, file)
    rows = rows.join(campaigns.drop(LINE), on=names.CAMPAIGN_ID, how="inner", maintain_order="left")
    contacted = [names.CUSTOMER_ID, names.CAMPAIGN_ID]
    uninvited = rows.join(contacts, on=contacted, how="anti")
    rows = rows.join(contacts, on=contacted, how="semi", maintain_order="left")
    runs = pl.col(names.EVENT_TIMESTAMP).is_between(names.STARTED_AT, names.ENDED_AT)
    rejected = [
        unknown,
        reject(file, uninvited, names.CAMPAIGN_ID, "not contacted", "Land the contact, or correct the campaign."),
        reject(
            file,
            rows.filter(~runs),
            names.EVENT_TIMESTAMP,
            "outside its campaign",
            "Correct the response's day, or the campaign's.",
        ),
    ]
    return _done(names.RESPONSES, rows.filter(runs), pl.concat(rejected))


def _items(rows: pl.DataFrame, transactions: pl.DataFrame) -> Integrated:
    """The catalogue, and what was sold without standing in it, with its id alone."""
    sold = transactions.select(names.ITEM_ID).unique().join(rows, on=names.ITEM_ID, how="anti").sort(names.ITEM_ID)
    unlisted = sold.with_columns(
        pl.col(names.ITEM_ID).cast(pl.Int64).alias(names.OUTSIDE_ID),
        pl.concat_str(pl.lit("Item "), names.ITEM_ID).alias(names.ITEM_NAME),
    )
    return _completed(names.ITEMS, rows, unlisted)


def _customers(rows: pl.DataFrame, events: tuple[pl.DataFrame, ...]) -> Integrated:
    """Everyone who occurs anywhere."""
    seen = pl.concat([table.select(names.CUSTOMER_ID) for table in events]).unique()
    unlisted = seen.join(rows, on=names.CUSTOMER_ID, how="anti").sort(names.CUSTOMER_ID)
    return _completed(names.CUSTOMERS, rows, unlisted)


def _unknown_campaign(rows: pl.DataFrame, campaigns: pl.DataFrame, file: str) -> pl.DataFrame:
    unknown = rows.join(campaigns, on=names.CAMPAIGN_ID, how="anti")
    remedy = "Land the campaign's description, or correct the number."
    return reject(file, unknown, names.CAMPAIGN_ID, "unknown campaign", remedy)


def _completed(table: str, rows: pl.DataFrame, derived: pl.DataFrame) -> Integrated:
    done = _done(table, pl.concat([rows.drop(LINE), derived], how="diagonal"))
    return Integrated(done.rows, done.rejected, done.merged, derived.height)


def _done(
    table: str, rows: pl.DataFrame, rejected: pl.DataFrame | None = None, merged: pl.DataFrame | None = None
) -> Integrated:
    schema = SCHEMAS[table]
    return Integrated(
        rows.select(pl.col(column).cast(dtype) for column, dtype in schema.items()),
        pl.DataFrame(schema=QUARANTINE) if rejected is None else rejected,
        pl.DataFrame(schema=MERGED) if merged is None else merged,
    )
