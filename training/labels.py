"""Labels: what happened after a moment, for features that end before it."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from motherlode import names
from motherlode.errors import DataError

LABEL: Final = names.LABEL
"""1 where it happened, else 0; Int8."""

_TIME: Final = pl.Datetime("us", "UTC")
_UNKNOWN_TYPE: Final = "unknown"
_FIRST: Final = "first"
_NEXT: Final = "next"


def known_until(transactions: pl.DataFrame) -> datetime:
    """The first moment that the data does not cover: the midnight after the last purchase's day, UTC.

    Raises:
        DataError: there are no transactions.
    """
    last = transactions[names.EVENT_TIMESTAMP].max()
    if not isinstance(last, datetime):
        raise DataError("There are no transactions.", "Run `motherlode ingest` first.")
    return last.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def response_labels(contacts: pl.DataFrame, campaigns: pl.DataFrame, responses: pl.DataFrame) -> pl.DataFrame:
    """Whether a contacted customer redeemed anything in the campaign.

    Args:
        contacts, campaigns, responses: the integrated tables.

    Returns:
        One row a (customer, campaign): customer_id, event_timestamp and label_start (the campaign's start),
        campaign_id, campaign_type, ended_at, label; by time, campaign and customer. A campaign that still runs is
        here too: its zeros may yet become ones, so use `closed`.
    """
    redeemed = responses.select(names.CUSTOMER_ID, names.CAMPAIGN_ID).unique().with_columns(_int8(1))
    return (
        contacts.select(names.CUSTOMER_ID, names.CAMPAIGN_ID)
        .unique()
        .join(campaigns, on=names.CAMPAIGN_ID)
        .join(redeemed, on=[names.CUSTOMER_ID, names.CAMPAIGN_ID], how="left")
        .select(
            names.CUSTOMER_ID,
            pl.col(names.STARTED_AT).cast(_TIME).alias(names.EVENT_TIMESTAMP),
            pl.col(names.STARTED_AT).cast(_TIME).alias(names.LABEL_START),
            names.CAMPAIGN_ID,
            pl.col(names.CAMPAIGN_TYPE).fill_null(_UNKNOWN_TYPE),
            pl.col(names.ENDED_AT).cast(_TIME),
            pl.col(LABEL).fill_null(0),
        )
        .sort(names.EVENT_TIMESTAMP, names.CAMPAIGN_ID, names.CUSTOMER_ID)
    )


def closed(labels: pl.DataFrame, moment: datetime) -> pl.DataFrame:
    """The rows of campaigns that had ended before a moment: then their labels were known."""
    return labels.filter(pl.col(names.ENDED_AT) < moment)


def inactivity_labels(
    transactions: pl.DataFrame, snapshot_times: Iterable[datetime], horizon_days: int = 28
) -> pl.DataFrame:
    """Whether a customer buys nothing in the days after a snapshot.

    Args:
        transactions: the integrated table.
        snapshot_times: of the features, UTC; see `apart` for those that are used.
        horizon_days: the window [snapshot, snapshot + horizon_days).

    Returns:
        One row a snapshot and customer with a purchase before it: customer_id, event_timestamp, label_start and
        label_end (the window), label (1: inactive); by time and customer.
    """
    horizon = timedelta(days=horizon_days)
    known = population(transactions, apart(snapshot_times, known_until(transactions), horizon))
    visits = _visits(transactions).sort(names.EVENT_TIMESTAMP).with_columns(pl.col(names.EVENT_TIMESTAMP).alias(_NEXT))
    following = known.sort(names.EVENT_TIMESTAMP).join_asof(
        visits,
        on=names.EVENT_TIMESTAMP,
        by=names.CUSTOMER_ID,
        strategy="forward",
        check_sortedness=False,  # both are sorted; Polars cannot tell once `by` is given
    )
    bought = (pl.col(_NEXT) < pl.col(names.EVENT_TIMESTAMP) + horizon).fill_null(value=False)
    return following.select(
        names.CUSTOMER_ID,
        names.EVENT_TIMESTAMP,
        pl.col(names.EVENT_TIMESTAMP).alias(names.LABEL_START),
        (pl.col(names.EVENT_TIMESTAMP) + horizon).alias(names.LABEL_END),
        (~bought).cast(pl.Int8).alias(LABEL),
    ).sort(names.EVENT_TIMESTAMP, names.CUSTOMER_ID)


def population(transactions: pl.DataFrame, moments: Iterable[datetime]) -> pl.DataFrame:
    """The customers that a snapshot knows: those with a purchase before it.

    Args:
        transactions: the integrated table.
        moments: of the snapshots, UTC.

    Returns:
        customer_id, event_timestamp; by time and customer.
    """
    first = _visits(transactions).group_by(names.CUSTOMER_ID).agg(pl.col(names.EVENT_TIMESTAMP).min().alias(_FIRST))
    snapshots = pl.DataFrame({names.EVENT_TIMESTAMP: sorted(moments)}, schema={names.EVENT_TIMESTAMP: _TIME})
    return (
        first.join(snapshots, how="cross")
        .filter(pl.col(_FIRST) < pl.col(names.EVENT_TIMESTAMP))
        .select(names.CUSTOMER_ID, names.EVENT_TIMESTAMP)
        .sort(names.EVENT_TIMESTAMP, names.CUSTOMER_ID)
    )


def apart(snapshot_times: Iterable[datetime], until: datetime, horizon: timedelta) -> list[datetime]:
    """The snapshots whose windows are wholly covered and do not overlap, counted back from the last; ascending."""
    kept: list[datetime] = []
    edge = until
    for moment in sorted(snapshot_times, reverse=True):
        if moment + horizon <= edge:
            kept.append(moment)
            edge = moment
    return kept[::-1]


def _visits(transactions: pl.DataFrame) -> pl.DataFrame:
    return transactions.select(names.CUSTOMER_ID, pl.col(names.EVENT_TIMESTAMP).cast(_TIME)).unique()


def _int8(value: int) -> pl.Expr:
    return pl.lit(value, dtype=pl.Int8).alias(LABEL)
