"""Tags: the labels that are on, each with who gave it, how sure that is, its version and its day.

Grain: customer × snapshot, every customer that is known or ever had a label. Five lists of one length, sorted by
label; a label that several gave stands once for each, a person's before a model's before a rule's. Null where no
label is on.

Labels of people and models are the rows of `tags` that began before the snapshot and were not withdrawn before it; of
one label by one origin the newest counts. Those of rules are found here, by `RULES`, from the customer's own lines in
`transactions`: their confidence is 1, and their day the one from which the rule has held where the rule tells it
(newcomer, lapsing), else that of the newest purchase that it rests on. Returns count for nothing; money is before
coupons.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import polars as pl

from feature_repo.features import windows
from feature_repo.features.frames import (
    AT,
    EVERYONE,
    LAST,
    MICROSECONDS_PER_DAY,
    ROW,
    SATURDAY,
    SNAPSHOT,
    Tables,
    baskets,
    everyone,
    finish,
    micros,
    seen,
    sums,
)
from feature_repo.features.view import Feature
from motherlode import names

READS: Final = (*EVERYONE, names.TAGS)

FEATURES: Final = {
    "tags": Feature(pl.List(pl.String()), "text", "labels that are on, by name"),
    "tag_origins": Feature(pl.List(pl.String()), "text", "who gave each: person, model or rule"),
    "tag_confidences": Feature(pl.List(pl.Float32()), "share 0–1", "how sure each is"),
    "tag_versions": Feature(
        pl.List(pl.String()), "text", "of the list, model or rule of each; empty where none is told"
    ),
    "tag_dates": Feature(pl.List(pl.Int64()), "days since 1970-01-01 UTC", "from when each is on"),
}

FIRST: Final = "first"
"""The oldest purchase's time, microseconds."""
NOW: Final = "now"
"""The snapshot's, microseconds."""
_MONTH: Final = windows.label(windows.MONTH)
_QUARTER: Final = windows.label(windows.QUARTER)
_VALUES: Final = ("baskets", "weekend", "lines", "bought", "cut", "coupons")

_MONTHS_BEFORE: Final = (windows.QUARTER - windows.MONTH) // windows.MONTH
_MONTH_IS: Final = f"{windows.MONTH.days} days"
_OVER: Final = f"over {windows.QUARTER.days} days and at least {windows.FEWEST} baskets"


@dataclass(frozen=True)
class Rule:
    """A label that follows from a customer's purchases.

    Attributes:
        tag: the label.
        version: raised with every change of the condition.
        doc: what it says.
        holds: over `_VALUES` in all and by window (`baskets_84d`), FIRST and LAST purchase, and NOW.
        since: the moment that the label is dated by, microseconds.
    """

    tag: str
    version: str
    doc: str
    holds: pl.Expr
    since: pl.Expr


def _micros(span: timedelta) -> int:
    return span // timedelta(microseconds=1)


def _c(name: str, window: str = "") -> pl.Expr:
    return pl.col(f"{name}_{window}" if window else name)


def _saved(window: str) -> pl.Expr:
    return _c("cut", window) + _c("coupons", window)


_ENOUGH: Final = _c("baskets", _QUARTER) >= windows.FEWEST
_QUIET: Final = _c(NOW) - _c(LAST)
_LIVED: Final = _c(LAST) - _c(FIRST)
_GAPS: Final = _c("baskets") - 1
_PATIENCE: Final = windows.OVERDUE * _LIVED // pl.when(_GAPS > 0).then(_GAPS).otherwise(1)

RULES: Final = (
    Rule(
        "big_baskets",
        "1",
        f"{windows.BIG} lines a basket or more, in the mean {_OVER}",
        _ENOUGH & (_c("lines", _QUARTER) >= windows.BIG * _c("baskets", _QUARTER)),
        _c(LAST),
    ),
    Rule(
        "lapsing",
        "1",
        f"{windows.HABIT} baskets or more, and none for over {_MONTH_IS} and {windows.OVERDUE} times the mean gap, "
        f"but at most {windows.HALF_YEAR.days} days",
        (_c("baskets") >= windows.HABIT)
        & (_micros(windows.MONTH) < _QUIET)
        & (_QUIET > _PATIENCE)
        & (_micros(windows.HALF_YEAR) >= _QUIET),
        _c(LAST) + pl.when(_micros(windows.MONTH) < _PATIENCE).then(_PATIENCE).otherwise(_micros(windows.MONTH)),
    ),
    Rule(
        "newcomer",
        "1",
        f"the first purchase within the last {_MONTH_IS}",
        _c(NOW) - _c(FIRST) <= _micros(windows.MONTH),
        _c(FIRST),
    ),
    Rule(
        "price_hunter",
        "1",
        f"{windows.SAVED} % of the list price or more saved by cuts and coupons, {_OVER}",
        _ENOUGH
        & (100 * _saved(_QUARTER) >= windows.SAVED * (_c("bought", _QUARTER) + _c("cut", _QUARTER)))
        & (_saved(_QUARTER) > 0),
        _c(LAST),
    ),
    Rule(
        "spending_up",
        "1",
        f"in the last {_MONTH_IS} {windows.GROWTH} % or more of the mean {windows.MONTH.days} of the "
        f"{(windows.QUARTER - windows.MONTH).days} before, which have some, {_OVER}",
        _ENOUGH
        & (_c("bought", _QUARTER) > _c("bought", _MONTH))
        & (
            100 * _MONTHS_BEFORE * _c("bought", _MONTH)
            >= windows.GROWTH * (_c("bought", _QUARTER) - _c("bought", _MONTH))
        ),
        _c(LAST),
    ),
    Rule(
        "weekend_shopper",
        "1",
        f"{windows.WEEKEND} % of the baskets or more on Saturdays and Sundays by the shop's clock, {_OVER}",
        _ENOUGH & (100 * _c("weekend", _QUARTER) >= windows.WEEKEND * _c("baskets", _QUARTER)),
        _c(LAST),
    ),
)
"""The rules. None is about an amount of money: what is much differs by currency and company, and such labels come by
`tags`."""

_TOLD: Final = (*ROW, names.TAG, names.ORIGIN, names.CONFIDENCE, names.LABEL_VERSION, AT)
_PLACE: Final = "place"


def build(tables: Tables, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """The view `tags`; see the module for units and sources."""
    given = _given(tables, snapshots)
    rows = everyone(tables, snapshots)
    labels = pl.concat([given, _found(tables, rows)]).with_columns(_place().alias(_PLACE))
    whole = [*ROW, names.TAG, _PLACE]
    once = labels.sort(*whole, AT, names.LABEL_VERSION, names.CONFIDENCE).unique(whole, keep="last")
    lists = (
        once.sort(*whole)
        .group_by(ROW)
        .agg(
            pl.col(names.TAG).alias("tags"),
            pl.col(names.ORIGIN).alias("tag_origins"),
            pl.col(names.CONFIDENCE).alias("tag_confidences"),
            pl.col(names.LABEL_VERSION).alias("tag_versions"),
            (pl.col(AT) // MICROSECONDS_PER_DAY).alias("tag_dates"),
        )
    )
    every = pl.concat([rows, _labelled(tables, snapshots)]).unique()
    return finish(every.join(lists, on=ROW, how="left"), FEATURES)


def _place() -> pl.Expr:
    """Where an origin stands among those of one label."""
    place = pl.lit(len(names.ORIGINS), dtype=pl.Int64)
    for number, origin in enumerate(names.ORIGINS):
        place = pl.when(pl.col(names.ORIGIN) == origin).then(number).otherwise(place)
    return place


def _labelled(tables: Tables, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """Who ever had a label: a row goes on when the last one is withdrawn."""
    first = tables[names.TAGS].group_by(names.CUSTOMER_ID).agg(pl.col(names.EVENT_TIMESTAMP).min())
    return seen(first, snapshots).select(ROW)


def _given(tables: Tables, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """Labels of `tags` that are on at each snapshot."""
    time = pl.col(names.EVENT_TIMESTAMP)
    labels = tables[names.TAGS].select(
        names.CUSTOMER_ID,
        names.TAG,
        names.ORIGIN,
        pl.col(names.CONFIDENCE).cast(pl.Float32),
        pl.col(names.LABEL_VERSION).fill_null(""),
        micros(time).alias(AT),
        names.ENDED_AT,
        time,
    )
    on = pl.col(names.ENDED_AT).is_null() | (micros(pl.col(names.ENDED_AT)) >= micros(pl.col(SNAPSHOT)))
    return seen(labels, snapshots).filter(on).select(_TOLD)


def _found(tables: Tables, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Labels by rules: a column a rule, its moment where it holds, then a row each."""
    moments = [pl.when(rule.holds).then(rule.since).otherwise(None).alias(rule.tag) for rule in RULES]
    version = pl.lit("")
    for rule in RULES:
        version = pl.when(pl.col(names.TAG) == rule.tag).then(pl.lit(rule.version)).otherwise(version)
    return (
        _purchases(tables, rows)
        .select(*ROW, *moments)
        .unpivot([rule.tag for rule in RULES], index=ROW, variable_name=names.TAG, value_name=AT)
        .filter(pl.col(AT).is_not_null())
        .with_columns(
            version.alias(names.LABEL_VERSION),
            pl.lit(names.RULE).alias(names.ORIGIN),
            pl.lit(1.0, dtype=pl.Float32).alias(names.CONFIDENCE),
        )
        .select(_TOLD)
    )


def _purchases(tables: Tables, rows: pl.LazyFrame) -> pl.LazyFrame:
    """The rows of who bought something, with what the rules are about."""
    weekend = (pl.col(names.LOCAL_TIMESTAMP).dt.weekday() >= SATURDAY).cast(pl.Int64)
    bought = (
        baskets(tables)
        .filter(pl.col("lines") > 0)
        .with_columns(pl.col("begins").alias("baskets"), (pl.col("begins") * weekend).alias("weekend"))
        .select(names.CUSTOMER_ID, names.EVENT_TIMESTAMP, *_VALUES)
    )
    windowed = {_MONTH: windows.MONTH, _QUARTER: windows.QUARTER}
    first = bought.group_by(names.CUSTOMER_ID).agg(micros(pl.col(names.EVENT_TIMESTAMP).min()).alias(FIRST))
    return (
        sums(bought, rows, _VALUES, windowed)
        .filter(pl.col(LAST).is_not_null())
        .join(first, on=names.CUSTOMER_ID, how="left")
        .with_columns(micros(pl.col(SNAPSHOT)).alias(NOW))
    )
