"""What several views share: what a snapshot sees, and sums that come out the same in any order.

Every plan here runs on Polars' CPU engine and, unchanged, on cuDF (`make check-gpu` holds it to that).
Money is summed in whole ten-thousandths, so a sum has one value whatever order the lines come in.

`sums` is the way to windows: running sums are taken once over the events, and a window is the difference of two
of them. Its cost grows with events and snapshots added, where `seen` pairs every event with every snapshot.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

import polars as pl

from feature_repo.features.view import Feature
from feature_repo.features.windows import BEFORE, RECENT
from motherlode import names

Tables = Mapping[str, pl.LazyFrame]
"""The integrated tables by name, with the columns of `feature_repo.warehouse.contract`."""

SNAPSHOT: Final = "snapshot"
"""The snapshot's time while a plan runs; it leaves as `event_timestamp`."""

AGE: Final = "age"
"""Microseconds from an event to the snapshot that sees it, Int64."""

ROW: Final = (SNAPSHOT, names.CUSTOMER_ID)
"""What tells a view's rows apart while a plan runs. (A view's module that holds the name KEY declares its entity.)"""
BASKETS: Final = "baskets"
"""The table that `baskets` makes, where a build has computed it once for all views."""
AT: Final = "at"
"""An event's time, or a time that is asked about: Int64 microseconds since 1970 UTC."""
LAST: Final = "last"
"""The newest event before a time that is asked about: Int64 microseconds since 1970 UTC, null where there is none."""
EVERYONE: Final = (
    names.TRANSACTIONS,
    names.CUSTOMERS,
    names.CONTACTS,
    names.RESPONSES,
    names.INTERACTIONS,
    names.FEEDBACK,
)
"""The tables that `everyone` reads: what a view with its rows has in READS."""
_SIDE: Final = "side"
_KEPT: Final = "kept"

MICROSECONDS_PER_DAY: Final = 86_400_000_000
MONEY_UNIT: Final = 10_000
"""A sum of money is an integer of ten-thousandths: exact up to nine hundred billion."""

TREND: Final = {"recent": RECENT, "both": RECENT + BEFORE}
"""The windows that `trend` is made of, for `sums`."""

SATURDAY: Final = 6
"""ISO weekday."""


def units(column: str) -> pl.Expr:
    """A column of money, or of pieces, as whole ten-thousandths, Int64."""
    return (pl.col(column) * MONEY_UNIT).round(0).cast(pl.Int64)


def money(expr: pl.Expr) -> pl.Expr:
    """Whole ten-thousandths back to money, or to pieces, Float64."""
    return expr / MONEY_UNIT


def micros(expr: pl.Expr) -> pl.Expr:
    """A Datetime("us") as its microseconds, Int64: the arithmetic that both engines have."""
    return expr.cast(pl.Int64)


def days(age: pl.Expr) -> pl.Expr:
    """Microseconds as days with their fraction, Float64."""
    return age / MICROSECONDS_PER_DAY


def within(age: pl.Expr, window: timedelta) -> pl.Expr:
    """Whether an age lies in the window that ends at the snapshot, its far end included."""
    return age <= window // timedelta(microseconds=1)


def share(part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    """part / whole, Float64; null where there is no whole, or none above zero."""
    return pl.when(whole > 0).then(part / whole).otherwise(None)


def seen(events: pl.LazyFrame, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """Every event beside every snapshot that sees it: those strictly after it.

    The age stands between the join and the filter so that no optimizer fuses them: the fused, conditional
    join is the one part that cuDF can translate only where there is a driver.

    Args:
        events: with `event_timestamp`.
        snapshots: one column, `event_timestamp`.

    Returns:
        The events' other columns, `snapshot`, and `age`: Int64, microseconds, above 0.
    """
    times = snapshots.select(pl.col(names.EVENT_TIMESTAMP).alias(SNAPSHOT))
    age = micros(pl.col(SNAPSHOT)) - micros(pl.col(names.EVENT_TIMESTAMP))
    aged = events.join(times, how="cross").with_columns(age.alias(AGE)).drop(names.EVENT_TIMESTAMP)
    return aged.filter(pl.col(AGE) > 0)


def population(tables: Tables, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """The rows of every view: each customer with a line in `transactions` before the snapshot.

    Returns:
        `snapshot`, `customer_id`.
    """
    first = tables[names.TRANSACTIONS].group_by(names.CUSTOMER_ID).agg(pl.col(names.EVENT_TIMESTAMP).min())
    return seen(first, snapshots).select(ROW)


def purchases(tables: Tables) -> pl.LazyFrame:
    """The lines on which something was bought; a return's quantity is negative."""
    return tables[names.TRANSACTIONS].filter(pl.col(names.QUANTITY) > 0)


def finish(frame: pl.LazyFrame, features: Mapping[str, pl.DataType] | Mapping[str, Feature]) -> pl.LazyFrame:
    """A view's columns in their order and types: customer_id, event_timestamp, then the features."""
    types = {name: it.dtype if isinstance(it, Feature) else it for name, it in features.items()}
    return frame.select(
        pl.col(names.CUSTOMER_ID),
        pl.col(SNAPSHOT).alias(names.EVENT_TIMESTAMP),
        *(pl.col(name).cast(dtype) for name, dtype in types.items()),
    )


def baskets(tables: Tables) -> pl.LazyFrame:
    """The lines of each basket at each of its moments: most baskets have one moment, some are booked bit by bit.

    Returns:
        customer_id, basket_id, event_timestamp; `local_timestamp`, `store_id`, `channel`, each the least of its lines;
        Int64: `bought` and `returned`, money in ten-thousandths, both from 0 up; `lines` bought and `return_lines`;
        `pieces` bought and `returned_pieces`, in ten-thousandths; `cut` and `coupons`, money off the bought lines in
        ten-thousandths; `cut_lines` and `coupon_lines` of those bought; `basket_coupons`, coupons booked on the
        basket as a whole, in ten-thousandths; `begins`: 1 at the first moment at which anything is bought, else 0.
    """
    if BASKETS in tables:
        return tables[BASKETS]
    bought, back = pl.col(names.QUANTITY) > 0, pl.col(names.QUANTITY) < 0
    amount, pieces = units(names.AMOUNT), units(names.QUANTITY)
    cut, coupons = units(names.RETAIL_DISCOUNT), units(names.COUPON_DISCOUNT)
    moments = (
        tables[names.TRANSACTIONS]
        .group_by(names.CUSTOMER_ID, names.BASKET_ID, names.EVENT_TIMESTAMP)
        .agg(
            pl.col(names.LOCAL_TIMESTAMP).min(),
            pl.col(names.STORE_ID).min(),
            pl.col(names.CHANNEL).min(),
            _where(bought, amount).alias("bought"),
            _where(back, -amount).alias("returned"),
            _count(bought).alias("lines"),
            _count(back).alias("return_lines"),
            _where(bought, pieces).alias("pieces"),
            _where(back, -pieces).alias("returned_pieces"),
            _where(bought, cut).alias("cut"),
            _where(bought, coupons).alias("coupons"),
            _count(bought & (cut > 0)).alias("cut_lines"),
            _count(bought & (coupons > 0)).alias("coupon_lines"),
            _where(pl.col(names.QUANTITY) == 0, coupons).alias("basket_coupons"),
        )
    )
    first = (
        moments.filter(pl.col("lines") > 0)
        .group_by(names.CUSTOMER_ID, names.BASKET_ID)
        .agg(pl.col(names.EVENT_TIMESTAMP).min(), pl.lit(1, dtype=pl.Int64).first().alias("begins"))
    )
    whole = [names.CUSTOMER_ID, names.BASKET_ID, names.EVENT_TIMESTAMP]
    return moments.join(first, on=whole, how="left").with_columns(pl.col("begins").fill_null(0))


def _where(condition: pl.Expr, value: pl.Expr) -> pl.Expr:
    return pl.when(condition).then(value).otherwise(0).sum()


def _count(condition: pl.Expr) -> pl.Expr:
    return condition.cast(pl.Int64).sum()


def asked(snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """The snapshots as SNAPSHOT, with AT."""
    time = pl.col(names.EVENT_TIMESTAMP)
    return snapshots.select(time.alias(SNAPSHOT), micros(time).alias(AT))


def running(
    events: pl.LazyFrame, by: Sequence[str], values: Sequence[str], lasts: Mapping[str, str] | None = None
) -> pl.LazyFrame:
    """Running sums: what all events of a key up to each of its moments come to.

    Args:
        events: `by`, `event_timestamp`, and the values, Int64.
        by: the key's columns.
        values: what is summed.
        lasts: column → one of the values: the column tells the moments at which that value is above 0.

    Returns:
        `by`, AT, the sums, LAST, equal to AT, and the columns of `lasts`: AT, or null; sorted by key and time, a
        key's moment once.
    """
    of = {name: pl.when(pl.col(value) > 0).then(pl.col(AT)) for name, value in (lasts or {}).items()}
    return (
        events.group_by(*by, micros(pl.col(names.EVENT_TIMESTAMP)).alias(AT))
        .agg(pl.col(name).sum() for name in values)
        .sort(*by, AT)
        .with_columns(
            *(pl.col(name).cum_sum().over(by) for name in values),
            *(at.alias(name) for name, at in ({LAST: pl.col(AT)} | of).items()),
        )
    )


def known(states: pl.LazyFrame, asks: pl.LazyFrame, by: Sequence[str], values: Sequence[str]) -> pl.LazyFrame:
    """The newest state of a key strictly before each time that is asked about.

    Args:
        states: `by`, AT, and the values; a key's moment once. Of each value the newest that is not null counts.
        asks: `by`, AT, each once.
        by: the key's columns, without nulls.
        values: columns of the states; any types.

    Returns:
        `by`, AT, the values: one row an ask, in no order; null where nothing was known yet.
    """
    schema = states.collect_schema()
    nothing = [pl.lit(None, dtype=schema[name]).alias(name) for name in values]
    both = pl.concat(
        [
            asks.select(*by, AT, pl.lit(0, dtype=pl.Int64).alias(_SIDE), *nothing),
            states.select(*by, AT, pl.lit(1, dtype=pl.Int64).alias(_SIDE), *values),
        ]
    ).sort(*by, AT, _SIDE)
    filled = both.with_columns(pl.col(name).forward_fill().over(by) for name in values)
    return filled.filter(pl.col(_SIDE) == 0).drop(_SIDE)


def sums(
    events: pl.LazyFrame,
    rows: pl.LazyFrame,
    values: Sequence[str],
    windows: Mapping[str, timedelta] | None = None,
    *,
    by: Sequence[str] = (names.CUSTOMER_ID,),
    windowed: Sequence[str] | None = None,
    lasts: Mapping[str, str] | None = None,
) -> pl.LazyFrame:
    """What a key's events before each snapshot come to, in all and by window.

    Args:
        events: `by`, `event_timestamp`, and the values, Int64.
        rows: SNAPSHOT and `by`: each once.
        values: what is summed.
        windows: label → length. A window may end earlier than the snapshot by being the difference of two.
        by: the key's columns.
        windowed: the values whose windows are wanted; all of them by default.
        lasts: column → one of the values: the column tells the newest event at which that value is above 0.

    Returns:
        The rows, with `<value>` and `<value>_<label>`: Int64, 0 where there is no event; LAST, the newest event's
        time, and the columns of `lasts`: Int64 microseconds since 1970 UTC, null where there is none.
    """
    windows, lasts = windows or {}, lasts or {}
    windowed = values if windowed is None else windowed
    states = running(events, by, values, lasts)
    dated = rows.with_columns(micros(pl.col(SNAPSHOT)).alias(AT))
    spans = {name: window // timedelta(microseconds=1) for name, window in windows.items()}
    starts = [dated.select(*by, pl.col(AT) - span) for span in spans.values()]
    asks = pl.concat([dated.select(*by, AT), *starts]).unique()
    found = known(states, asks, by, list(dict.fromkeys([*values, LAST, *lasts])))
    joined = dated.join(found, on=[*by, AT], how="left").with_columns(pl.col(name).fill_null(0) for name in values)
    for label, span in spans.items():
        before = found.select(
            *by, pl.col(AT) + span, *(pl.col(name).fill_null(0).alias(f"{name}_{label}") for name in windowed)
        )
        joined = joined.join(before, on=[*by, AT], how="left").with_columns(
            (pl.col(name) - pl.col(f"{name}_{label}")).alias(f"{name}_{label}") for name in windowed
        )
    return joined.drop(AT)


def trend(value: str) -> pl.Expr:
    """A day's worth of a value in `windows.RECENT` by that in `windows.BEFORE`; null where that is not above nought.

    Args:
        value: there are `<value>_recent` and `<value>_both`, its sums over the windows of TREND.
    """
    lately, both = pl.col(f"{value}_recent"), pl.col(f"{value}_both")
    return share(lately * BEFORE.days, (both - lately) * RECENT.days)


def together(parts: Sequence[pl.LazyFrame], values: Sequence[str]) -> pl.LazyFrame:
    """Customers' events of several kinds as one frame for `sums`.

    Args:
        parts: customer_id, event_timestamp, and some of the values, Int64.
        values: all of them.

    Returns:
        customer_id, event_timestamp and the values, 0 where a part has not got one; in no order.
    """
    key = (names.CUSTOMER_ID, names.EVENT_TIMESTAMP)
    whole = []
    for part in parts:
        there = part.collect_schema()
        nought = pl.lit(0, dtype=pl.Int64)
        whole.append(part.select(*key, *(name if name in there else nought.alias(name) for name in values)))
    return pl.concat(whole)


def begun(tables: Tables) -> pl.LazyFrame:
    """When each customer first bought something.

    Returns:
        customer_id, event_timestamp.
    """
    bought = tables[BASKETS].filter(pl.col("lines") > 0) if BASKETS in tables else purchases(tables)
    return bought.group_by(names.CUSTOMER_ID).agg(pl.col(names.EVENT_TIMESTAMP).min())


def purchase_days(tables: Tables) -> pl.LazyFrame:
    """The days on which a customer bought something, by the shop's clock, each at its first purchase.

    Days count in the order in which they were first bought on. Where a company's shops stand in several time zones, a
    day may so follow the day after it: its gap is negative then, and the gaps still add up to last day less first.

    Returns:
        customer_id, event_timestamp; Int64: `days`, 1; `gaps`, 1 but for the first day; `gap`, whole days since the
        day before in this order, 0 for the first.
    """
    customer, day = pl.col(names.CUSTOMER_ID), pl.col("day")
    follows = customer == customer.shift(1)  # of the sorted frame: a shift by customer does not translate to cuDF
    gap = pl.when(follows).then(day - day.shift(1)).otherwise(0)
    return (
        baskets(tables)
        .filter(pl.col("lines") > 0)
        .group_by(names.CUSTOMER_ID, (micros(pl.col(names.LOCAL_TIMESTAMP)) // MICROSECONDS_PER_DAY).alias("day"))
        .agg(pl.col(names.EVENT_TIMESTAMP).min())
        .sort(names.CUSTOMER_ID, names.EVENT_TIMESTAMP, "day")
        .select(
            names.CUSTOMER_ID,
            names.EVENT_TIMESTAMP,
            pl.lit(1, dtype=pl.Int64).alias("days"),
            follows.fill_null(value=False).cast(pl.Int64).alias("gaps"),
            gap.cast(pl.Int64).alias("gap"),
        )
    )


def codes(values: pl.LazyFrame, column: str, code: str) -> pl.LazyFrame:
    """A column's values, without null → their numbers in its order, from 1, Int64."""
    number = pl.col(column).rank("dense").cast(pl.Int64)
    return values.select(pl.col(column).unique()).filter(pl.col(column).is_not_null()).with_columns(number.alias(code))


def kept(rows: pl.LazyFrame, condition: pl.Expr) -> pl.LazyFrame:
    """The rows that fulfil a condition, by a filter that no optimizer moves into what comes before.

    Fused with a cross join it is slow, and only half translates to cuDF; pushed into a plan that is used elsewhere too,
    it makes Polars compute that plan once for each use.
    """
    return rows.with_columns(condition.alias(_KEPT)).filter(pl.col(_KEPT)).drop(_KEPT)


def buyers(tables: Tables, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """The rows of the views about purchases: each customer who bought something before the snapshot.

    Returns:
        SNAPSHOT, customer_id.
    """
    return seen(begun(tables), snapshots).select(ROW)


def everyone(tables: Tables, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """The rows of the views about customers: each who was registered, or did or got anything, before the snapshot.

    A customer of `customers` without a time of registration counts from its first event.

    Returns:
        SNAPSHOT, customer_id.
    """
    time = pl.col(names.EVENT_TIMESTAMP)
    registered = pl.col(names.REGISTERED_AT).alias(names.EVENT_TIMESTAMP)
    firsts = [
        tables[name].select(names.CUSTOMER_ID, registered if name == names.CUSTOMERS else time) for name in EVERYONE
    ]
    whole = pl.concat(firsts).filter(pl.col(names.CUSTOMER_ID).is_not_null() & time.is_not_null())
    return seen(whole.group_by(names.CUSTOMER_ID).agg(time.min()), snapshots).select(ROW)
