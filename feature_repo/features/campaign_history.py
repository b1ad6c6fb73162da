"""Campaign history: how often a customer was contacted, and answered.

Grain: customer × snapshot. A contact counts from its campaign's start. Responses count the campaigns that the
customer redeemed a coupon of, once each; `responses_84d` those with a redemption in the last 84 days. Days are
since the newest, null where there is none; counts are 0 then. `response_rate` is shrunk towards one response in
twenty contacts, (responses + 1) / (contacts + 20): the mean under a Beta(1, 19) prior.
"""

from datetime import timedelta
from typing import Final

import polars as pl

from feature_repo.features.frames import AGE, KEY, Tables, days, finish, population, seen, within
from motherlode import names

CAMPAIGN_TYPES: Final = {"a": "Type A", "b": "Type B", "c": "Type C"}
"""Slug → campaign type."""

COUNTS: Final = tuple(
    f"{event}_{part}"
    for event in ("contacts", "responses")
    for part in ("total", "84d", *(f"type_{t}" for t in CAMPAIGN_TYPES))
)

FEATURES: Final[dict[str, pl.DataType]] = {
    "contacts_total": pl.Float32(),
    "contacts_84d": pl.Float32(),
    "responses_total": pl.Float32(),
    "responses_84d": pl.Float32(),
    "response_rate": pl.Float32(),
    "days_since_contact": pl.Float32(),
    "days_since_response": pl.Float32(),
    **{f"contacts_type_{slug}": pl.Float32() for slug in CAMPAIGN_TYPES},
    **{f"responses_type_{slug}": pl.Float32() for slug in CAMPAIGN_TYPES},
}

WINDOW: Final = timedelta(days=84)
PRIOR_RESPONSES: Final = 1
PRIOR_CONTACTS: Final = 20


def build(tables: Tables, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """The view `campaign_history`; see the module for units and sources."""
    rows = (
        population(tables, snapshots)
        .join(_events(tables, names.CONTACTS, "contact", snapshots), on=KEY, how="left")
        .join(_events(tables, names.RESPONSES, "response", snapshots), on=KEY, how="left")
        .with_columns(pl.col(name).cast(pl.Int64).fill_null(0) for name in COUNTS)
    )
    shrunk = (pl.col("responses_total") + PRIOR_RESPONSES) / (pl.col("contacts_total") + PRIOR_CONTACTS)
    return finish(rows.with_columns(shrunk.alias("response_rate")), FEATURES)


def _events(tables: Tables, table: str, event: str, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """Counts of campaigns with an event of a customer, and the days since the newest."""
    types = tables[names.CAMPAIGNS].select(names.CAMPAIGN_ID, names.CAMPAIGN_TYPE)
    events = tables[table].select(names.CUSTOMER_ID, names.CAMPAIGN_ID, names.EVENT_TIMESTAMP)
    return (
        seen(events, snapshots)
        .group_by(*KEY, names.CAMPAIGN_ID)
        .agg(pl.col(AGE).min())
        .join(types, on=names.CAMPAIGN_ID, how="left")
        .group_by(KEY)
        .agg(
            pl.len().alias(f"{event}s_total"),
            within(pl.col(AGE), WINDOW).sum().alias(f"{event}s_84d"),
            days(pl.col(AGE).min()).alias(f"days_since_{event}"),
            *(
                (pl.col(names.CAMPAIGN_TYPE) == name).sum().alias(f"{event}s_type_{slug}")
                for slug, name in CAMPAIGN_TYPES.items()
            ),
        )
    )
