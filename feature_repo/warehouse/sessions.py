"""Web events into visits: who was there, how long, and what they looked at.

A visit is a run of one customer's events, or of one unknown visitor's, of which no two neighbours are further apart
than the gap. A visitor who is identified in a visit was that customer from its first event on, and stays so until
another customer is identified on the same device, which begins that customer's visit.
"""

import hashlib
from typing import Final

import polars as pl

from feature_repo.warehouse.contract import SCHEMAS
from motherlode import names

VIEW: Final = "view"
SEARCH: Final = "search"
CART: Final = "cart"

_ID_BYTES: Final = 12
"""Of a session id: 24 hex digits. Among 100 million visits, two share one with a chance of 6e-14."""

_WHO: Final = (names.CUSTOMER_ID, names.VISITOR_ID, names.SESSION_ID, names.EVENT_TIMESTAMP)


def assign(events: pl.LazyFrame, gap_minutes: float) -> pl.LazyFrame:
    """Give every event without a session its own; rows, order and other columns stay.

    The id depends on who came and on the visit's first moment, on nothing else: the same events in any order, split
    into any files, get the same ids. Events that state a session keep it, and take no part in the others' visits.

    Args:
        events: columns of `interactions`, all events at once: a visit may cross a month's end. Only `customer_id`,
            `visitor_id`, `session_id` and `event_timestamp` are read. An event of nobody gets no session.
        gap_minutes: a longer pause ends a visit; one of exactly this length does not.
    """
    gap = pl.duration(microseconds=round(gap_minutes * 60e6))
    ids = pl.struct(_WHO).map_batches(lambda rows: _session_ids(rows.struct.unnest(), gap), return_dtype=pl.String)
    return events.with_columns(ids.alias(names.SESSION_ID))


def summarise(events: pl.LazyFrame) -> pl.LazyFrame:
    """One row a session, with the columns of `contract.SCHEMAS["sessions"]`, in no order.

    Args:
        events: `interactions` with sessions. Events of one moment count in the frame's order; those without a session
            are left out.
    """
    time, page = pl.col(names.EVENT_TIMESTAMP), pl.col(names.PAGE)
    ordered = events.filter(pl.col(names.SESSION_ID).is_not_null()).sort(names.EVENT_TIMESTAMP, maintain_order=True)
    visits = ordered.group_by(names.SESSION_ID).agg(
        pl.col(names.CUSTOMER_ID).first(ignore_nulls=True),
        pl.col(names.VISITOR_ID).first(ignore_nulls=True),
        time.min().alias(names.STARTED_AT),
        time.max().alias(names.ENDED_AT),
        pl.len().alias(names.EVENTS),
        _count(VIEW).alias(names.PAGE_VIEWS),
        _count(SEARCH).alias(names.SEARCHES),
        _count(CART).alias(names.CARTS),
        page.first(ignore_nulls=True).alias(names.ENTRY_PAGE),
        page.last(ignore_nulls=True).alias(names.EXIT_PAGE),
    )
    dwell = (pl.col(names.ENDED_AT) - pl.col(names.STARTED_AT)).dt.total_microseconds() / 1e6
    made = visits.with_columns(
        dwell.alias(names.DWELL_SECONDS),
        ((pl.col(names.EVENTS) == 1) & (pl.col(names.PAGE_VIEWS) == 1)).alias(names.BOUNCED),
        pl.col(names.ENDED_AT).alias(names.EVENT_TIMESTAMP),
    )
    schema = SCHEMAS[names.SESSIONS]
    return made.select(pl.col(name).cast(dtype) for name, dtype in schema.items())


def daily(sessions: pl.LazyFrame, events: pl.LazyFrame, time_zone: str = "UTC") -> pl.LazyFrame:
    """The site's figures by day, ascending.

    Args:
        sessions: of `summarise`.
        events: `interactions` with sessions.
        time_zone: whose midnights part the days, by IANA name.

    Returns:
        `date`; `page_views`, and `unique_visitors`: the customers seen that day, and the visitors who were nobody
        known all that day; `sessions` that began that day, how many of them `bounces`, `bounce_rate` 0..1, and
        `dwell_seconds_mean`. The last two are null on a day on which no session began.
    """
    who = sessions.select(names.SESSION_ID, names.CUSTOMER_ID)
    # Who was identified in one of the day's visits was that customer in the others from the same device too.
    known = pl.col(names.CUSTOMER_ID).sort(nulls_last=True).first().over(DATE, names.VISITOR_ID)
    on_device = pl.when(pl.col(names.VISITOR_ID).is_not_null()).then(known)
    seen = (
        events.filter(pl.col(names.SESSION_ID).is_not_null())
        .select(_date(names.EVENT_TIMESTAMP, time_zone), names.SESSION_ID, names.EVENT_TYPE, names.VISITOR_ID)
        .join(who, on=names.SESSION_ID, how="left")
        .with_columns(pl.coalesce(names.CUSTOMER_ID, on_device))
        .with_columns(_person().alias(_PERSON))
        .group_by(DATE)
        .agg(_count(VIEW).alias(names.PAGE_VIEWS), pl.col(_PERSON).n_unique().alias(UNIQUE_VISITORS))
    )
    begun = (
        sessions.with_columns(_date(names.STARTED_AT, time_zone))
        .group_by(DATE)
        .agg(
            pl.len().alias(names.SESSIONS),
            pl.col(names.BOUNCED).sum().alias(BOUNCES),
            pl.col(names.BOUNCED).mean().alias(BOUNCE_RATE),
            pl.col(names.DWELL_SECONDS).mean().alias(DWELL_SECONDS_MEAN),
        )
    )
    counts = (names.SESSIONS, BOUNCES)
    figures = seen.join(begun, on=DATE, how="left").with_columns(pl.col(counts).fill_null(0)).sort(DATE)
    return figures.select(pl.col(name).cast(dtype) for name, dtype in WEB_DAILY.items())


def terms(events: pl.LazyFrame, time_zone: str = "UTC") -> pl.LazyFrame:
    """What was searched for, by day, the most wanted first.

    Args:
        events: `interactions` with sessions.
        time_zone: whose midnights part the days.

    Returns:
        `date`, `search_terms` in small letters with single spaces, `searches`, and the `sessions` they were made in.
    """
    words = pl.col(names.SEARCH_TERMS).str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()
    asked = events.select(_date(names.EVENT_TIMESTAMP, time_zone), words, names.SESSION_ID)
    counted = (
        asked.filter(pl.col(names.SEARCH_TERMS) != "")
        .group_by(DATE, names.SEARCH_TERMS)
        .agg(
            pl.len().alias(names.SEARCHES),
            pl.col(names.SESSION_ID).drop_nulls().n_unique().alias(names.SESSIONS),
        )
        .sort(DATE, names.SEARCHES, names.SEARCH_TERMS, descending=[False, True, False])
    )
    return counted.select(pl.col(name).cast(dtype) for name, dtype in SEARCH_DAILY.items())


DATE: Final = "date"
UNIQUE_VISITORS: Final = "unique_visitors"
BOUNCES: Final = "bounces"
BOUNCE_RATE: Final = "bounce_rate"
DWELL_SECONDS_MEAN: Final = "dwell_seconds_mean"
_PERSON: Final = "person"

WEB_DAILY: Final = pl.Schema(
    {
        DATE: pl.Date(),
        names.PAGE_VIEWS: pl.Int64(),
        UNIQUE_VISITORS: pl.Int64(),
        names.SESSIONS: pl.Int64(),
        BOUNCES: pl.Int64(),
        BOUNCE_RATE: pl.Float64(),
        DWELL_SECONDS_MEAN: pl.Float64(),
    }
)
"""Columns of `daily`."""

SEARCH_DAILY: Final = pl.Schema(
    {DATE: pl.Date(), names.SEARCH_TERMS: pl.String(), names.SEARCHES: pl.Int64(), names.SESSIONS: pl.Int64()}
)
"""Columns of `terms`."""

_VISIT: Final = "visit"
_BEGINS: Final = "begins"


def _session_ids(rows: pl.DataFrame, gap: pl.Expr) -> pl.Series:
    """The session of every row, in the rows' order."""
    given = rows[names.SESSION_ID]
    nameless = rows.with_row_index().filter(given.is_null())
    customers, visitors = (_Names(nameless[column]) for column in (names.CUSTOMER_ID, names.VISITOR_ID))
    coded = nameless.select(
        "index", names.EVENT_TIMESTAMP, customers.codes.alias(names.CUSTOMER_ID), visitors.codes.alias(names.VISITOR_ID)
    )
    if customers.codes.has_nulls():
        coded = _identify(coded, gap)
    visitor = pl.col(names.VISITOR_ID) + len(customers.known)
    events = coded.select(
        "index", names.EVENT_TIMESTAMP, pl.coalesce(pl.col(names.CUSTOMER_ID), visitor).alias(_PERSON)
    ).filter(pl.col(_PERSON).is_not_null())
    events = events.sort(_PERSON, names.EVENT_TIMESTAMP)
    begins = events.select(_begins(_PERSON, gap)).to_series()
    first = events.filter(begins)
    who = pl.concat(["c" + customers.known, "v" + visitors.known]).gather(first[_PERSON])
    ids = pl.Series(_hashed(who, first[names.EVENT_TIMESTAMP]), dtype=pl.String)
    visit = begins.cast(pl.UInt32).cum_sum() - 1
    place = pl.Series([None], dtype=pl.UInt32).new_from_index(0, rows.height).scatter(events["index"], visit)
    # Scattering the texts themselves would make equal ones count as different in a group's `n_unique` (Polars 1.39).
    return given.zip_with(given.is_not_null(), ids.gather(place))


class _Names:
    """Names by their number: many times faster to sort, and in the same order.

    Attributes:
        known: the names, ascending.
        codes: each row's number among them, Int64; null for none.
    """

    def __init__(self, texts: pl.Series) -> None:
        self.known = texts.drop_nulls().unique().sort()
        self.codes = texts.cast(pl.Enum(self.known)).to_physical().cast(pl.Int64)


def _identify(rows: pl.DataFrame, gap: pl.Expr) -> pl.DataFrame:
    """Each row's customer: its own, else the last one before it on the device in this visit, else the next one.

    Of events at one moment, those that tell the customer count as the earlier ones.
    """
    customer, visit = pl.col(names.CUSTOMER_ID), pl.col(_VISIT)
    order = [names.VISITOR_ID, names.EVENT_TIMESTAMP, names.CUSTOMER_ID]
    ordered = rows.sort(order, nulls_last=True)
    numbered = ordered.with_columns(_begins(names.VISITOR_ID, gap).cast(pl.UInt32).cum_sum().alias(_VISIT))
    # A filled value counts where the visit that it was filled from is the row's own.
    told = pl.when(customer.is_not_null()).then(visit)
    return numbered.with_columns(
        pl.coalesce(
            customer,
            pl.when(told.forward_fill() == visit).then(customer.forward_fill()),
            pl.when(told.backward_fill() == visit).then(customer.backward_fill()),
        )
    )


def _begins(who: str, gap: pl.Expr) -> pl.Expr:
    """Whether a row begins a visit, in rows sorted by `who` and time."""
    time = pl.col(names.EVENT_TIMESTAMP)
    same = (pl.col(who) == pl.col(who).shift()) & (time - time.shift() <= gap)
    return (~same.fill_null(value=False)).alias(_BEGINS)


def _hashed(who: pl.Series, started: pl.Series) -> list[str]:
    """Hashed, so that ids are short and no visit's id holds its customer's; `who` is a pseudonym already."""
    moments = started.dt.epoch("us").to_list()
    return [
        hashlib.blake2b(f"{moment} {person}".encode(), digest_size=_ID_BYTES).hexdigest()
        for person, moment in zip(who.to_list(), moments, strict=True)
    ]


def _person() -> pl.Expr:
    """A session's customer, else its visitor; told apart where a customer and a visitor are called the same."""
    return pl.coalesce(pl.lit("c") + pl.col(names.CUSTOMER_ID), pl.lit("v") + pl.col(names.VISITOR_ID))


def _count(event_type: str) -> pl.Expr:
    return (pl.col(names.EVENT_TYPE) == event_type).sum()


def _date(column: str, time_zone: str) -> pl.Expr:
    return pl.col(column).dt.convert_time_zone(time_zone).dt.date().alias(DATE)
