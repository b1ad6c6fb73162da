"""Web behaviour: a customer's visits, and what was searched for.

Grain: customer × snapshot, of those with a visit or an event before it. Sources: `sessions`, each as of its last
event, and `interactions`, of which only the events that tell their customer count. Windows are `windows.MONTH` and
`windows.QUARTER`; counts are 0 where there is nothing, shares and means null.

A visit with a search has one event of type `search` at least, one with a cart one of type `cart`. Purchases are events
of type `purchase`. Search terms are compared as they stand.
"""

from datetime import timedelta
from typing import Final

import polars as pl

from feature_repo.features import windows
from feature_repo.features.frames import (
    AT,
    ROW,
    SNAPSHOT,
    Tables,
    days,
    finish,
    micros,
    seen,
    share,
    sums,
    together,
)
from feature_repo.features.view import Feature
from motherlode import names

READS: Final = (names.SESSIONS, names.INTERACTIONS)

SEARCH: Final = "search"
PURCHASE: Final = "purchase"

WINDOWS: Final = {windows.label(window): window for window in (windows.MONTH, windows.QUARTER)}

_FLOAT: Final = pl.Float32()
_SHARE: Final = "share 0–1"


def _over(label: str) -> dict[str, Feature]:
    over = f"over {WINDOWS[label].days} days"
    return {
        f"sessions_{label}": Feature(_FLOAT, "visits", f"{over}, from `sessions`"),
        f"page_views_{label}": Feature(_FLOAT, "pages", f"viewed in visits {over}"),
        f"views_per_session_{label}": Feature(_FLOAT, "pages", f"viewed in a visit, mean {over}"),
        f"dwell_mean_{label}": Feature(_FLOAT, "seconds", f"from a visit's first event to its last, mean {over}"),
        f"bounce_share_{label}": Feature(_FLOAT, _SHARE, f"of visits {over}, those of one page view and nothing else"),
        f"carts_{label}": Feature(_FLOAT, "events", f"things put into the cart in visits {over}"),
        f"cart_share_{label}": Feature(_FLOAT, _SHARE, f"of visits {over}, those with a cart"),
        f"searches_{label}": Feature(_FLOAT, "events", f"searches in visits {over}"),
        f"search_share_{label}": Feature(_FLOAT, _SHARE, f"of visits {over}, those with a search"),
        f"search_terms_{label}": Feature(_FLOAT, "terms", f"distinct, searched for {over}, from `interactions`"),
        f"purchases_per_session_{label}": Feature(_FLOAT, "events", f"of type purchase a visit, {over}"),
    }


FEATURES: Final = {
    **{name: feature for label in WINDOWS for name, feature in _over(label).items()},
    "days_since_visit": Feature(_FLOAT, "days", "since the last visit ended; null where none has"),
    "days_since_search": Feature(_FLOAT, "days", "since the last search; null where there was none"),
}

_VISITS: Final = "visits"
_OF_VISITS: Final = (_VISITS, "views", "dwell", "bounces", "carts", "cart_visits", "searches", "search_visits")
_OF_EVENTS: Final = ("bought", "searched")
_TERMS: Final = tuple(f"terms_{label}" for label in WINDOWS)
_SECOND: Final = 1_000_000
"""Microseconds."""
_VALUES: Final = (*_OF_VISITS, *_OF_EVENTS)


def build(tables: Tables, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """The view `web`; see the module for units and sources."""
    parts = [_visits(tables), _events(tables)]
    rows = _population(tables, snapshots)
    lasts = {"visited_at": _VISITS, "searched_at": "searched"}
    found = sums(together(parts, _VALUES), rows, _VALUES, WINDOWS, lasts=lasts)
    terms = sums(_terms(tables), rows, _TERMS)
    made = found.join(terms.select(*ROW, *_TERMS), on=ROW, how="left")
    now = micros(pl.col(SNAPSHOT))
    return finish(
        made.with_columns(
            *(feature for label in WINDOWS for feature in _windowed(label)),
            days(now - pl.col("visited_at")).alias("days_since_visit"),
            days(now - pl.col("searched_at")).alias("days_since_search"),
        ),
        FEATURES,
    )


def _windowed(label: str) -> list[pl.Expr]:
    of = {value: pl.col(f"{value}_{label}") for value in _VALUES}
    visits = of[_VISITS]
    return [
        visits.alias(f"sessions_{label}"),
        of["views"].alias(f"page_views_{label}"),
        share(of["views"], visits).alias(f"views_per_session_{label}"),
        (share(of["dwell"], visits) / _SECOND).alias(f"dwell_mean_{label}"),
        share(of["bounces"], visits).alias(f"bounce_share_{label}"),
        of["carts"].alias(f"carts_{label}"),
        share(of["cart_visits"], visits).alias(f"cart_share_{label}"),
        of["searches"].alias(f"searches_{label}"),
        share(of["search_visits"], visits).alias(f"search_share_{label}"),
        pl.col(f"terms_{label}").alias(f"search_terms_{label}"),
        share(of["bought"], visits).alias(f"purchases_per_session_{label}"),
    ]


def _of_customers(tables: Tables, table: str) -> pl.LazyFrame:
    return tables[table].filter(pl.col(names.CUSTOMER_ID).is_not_null() & pl.col(names.EVENT_TIMESTAMP).is_not_null())


def _population(tables: Tables, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """Each customer with a visit that ended, or an event, before the snapshot: SNAPSHOT, customer_id."""
    key = (names.CUSTOMER_ID, names.EVENT_TIMESTAMP)
    both = pl.concat([_of_customers(tables, name).select(key) for name in READS])
    return seen(both.group_by(names.CUSTOMER_ID).agg(pl.col(names.EVENT_TIMESTAMP).min()), snapshots).select(ROW)


def _visits(tables: Tables) -> pl.LazyFrame:
    """Visits as of their ends: customer_id, event_timestamp, and `_OF_VISITS`, Int64; dwell in microseconds."""
    return _of_customers(tables, names.SESSIONS).select(
        names.CUSTOMER_ID,
        names.EVENT_TIMESTAMP,
        pl.lit(1, dtype=pl.Int64).alias(_VISITS),
        pl.col(names.PAGE_VIEWS).fill_null(0).alias("views"),
        (pl.col(names.DWELL_SECONDS).fill_null(0.0) * _SECOND).round(0).cast(pl.Int64).alias("dwell"),
        pl.col(names.BOUNCED).fill_null(False).cast(pl.Int64).alias("bounces"),
        pl.col(names.CARTS).fill_null(0),
        (pl.col(names.CARTS).fill_null(0) > 0).cast(pl.Int64).alias("cart_visits"),
        pl.col(names.SEARCHES).fill_null(0),
        (pl.col(names.SEARCHES).fill_null(0) > 0).cast(pl.Int64).alias("search_visits"),
    )


def _events(tables: Tables) -> pl.LazyFrame:
    """What was bought and searched for: customer_id, event_timestamp, and `_OF_EVENTS`, Int64."""
    kind = pl.col(names.EVENT_TYPE)
    events = _of_customers(tables, names.INTERACTIONS).filter(kind.is_in([SEARCH, PURCHASE]))
    return events.select(
        names.CUSTOMER_ID,
        names.EVENT_TIMESTAMP,
        (kind == PURCHASE).cast(pl.Int64).alias("bought"),
        (kind == SEARCH).cast(pl.Int64).alias("searched"),
    )


def _terms(tables: Tables) -> pl.LazyFrame:
    """+1 when a term is searched for, -1 when that search falls out of the window, or the term is searched for again.

    Their sum before a snapshot is the number of distinct terms in the window before it.
    """
    by = [names.CUSTOMER_ID, names.SEARCH_TERMS]
    at = micros(pl.col(names.EVENT_TIMESTAMP)).alias(AT)
    searches = (
        _of_customers(tables, names.INTERACTIONS)
        .filter((pl.col(names.EVENT_TYPE) == SEARCH) & pl.col(names.SEARCH_TERMS).is_not_null())
        .select(*by, at)
        .unique()
        .sort(*by, AT)
    )
    same = (pl.col(names.CUSTOMER_ID).shift(-1) == pl.col(names.CUSTOMER_ID)) & (
        pl.col(names.SEARCH_TERMS).shift(-1) == pl.col(names.SEARCH_TERMS)
    )
    again = pl.when(same.fill_null(False)).then(pl.col(AT).shift(-1))
    lives = searches.with_columns(again.alias("again")).cache()
    begun = lives.select(names.CUSTOMER_ID, AT, *(pl.lit(1, dtype=pl.Int64).alias(name) for name in _TERMS))
    ended = []
    for window, name in zip(WINDOWS.values(), _TERMS, strict=True):
        out = pl.col(AT) + window // timedelta(microseconds=1)
        gone = pl.when(pl.col("again") < out).then(pl.col("again")).otherwise(out).alias(AT)
        others = (pl.lit(-1 if other == name else 0, dtype=pl.Int64).alias(other) for other in _TERMS)
        ended.append(lives.select(names.CUSTOMER_ID, gone, *others))
    time = pl.col(AT).cast(pl.Datetime("us", "UTC")).alias(names.EVENT_TIMESTAMP)
    return pl.concat([begun, *ended]).select(names.CUSTOMER_ID, time, *_TERMS)
