"""Lifecycle: how regularly a customer buys, when the next purchase is due, and the stage of the relationship.

Grain: customer × snapshot, of those who had bought something. Source: `transactions`.

Purchases are the lines of more than nought pieces. The cadence is that of the days with a purchase, by the shop's
clock, in the order in which they were first bought on; a gap is the whole days from one to the next. The mean gap
itself is `days_between_baskets` of `spending`, tenure `tenure_days` of `rfm`, the trend of money `trend_4w_12w` of
`spending`.

`stage` is the first of these that holds:

- dormant: the newest purchase is more than `windows.DORMANT` ago;
- new: the first purchase is at most `windows.NEW` ago;
- reactivated: a day with a purchase, at most `windows.REACTIVATED` ago, followed a gap longer than `windows.DORMANT`;
- growing: money a day over `windows.RECENT` is above nought, and at least `windows.GROWING` times that over
  `windows.BEFORE` before it;
- fading: it is at most `windows.FADING` times that, which is above nought;
- steady: all others.

Money is what was paid less what was paid back.
"""

from typing import Final

import polars as pl

from feature_repo.features import windows
from feature_repo.features.frames import (
    AGE,
    LAST,
    SNAPSHOT,
    TREND,
    Tables,
    baskets,
    begun,
    days,
    finish,
    micros,
    purchase_days,
    seen,
    share,
    sums,
    together,
    trend,
    within,
)
from feature_repo.features.view import Feature
from motherlode import names

READS: Final = (names.TRANSACTIONS,)

STAGES: Final = ("new", "growing", "steady", "fading", "dormant", "reactivated")

_FLOAT: Final = pl.Float32()
_TREND: Final = f"frequency_trend_{windows.trend_label()}"

FEATURES: Final = {
    "purchase_days": Feature(_FLOAT, "days", "with a purchase, by the shop's clock"),
    "gap_std_days": Feature(_FLOAT, "days", "spread of the gaps between them: sample deviation; null below two gaps"),
    "next_purchase_days": Feature(
        _FLOAT, "days", "from the snapshot to newest purchase + mean gap; negative: overdue; null without a gap"
    ),
    "overdue_ratio": Feature(_FLOAT, "mean gaps", "since the newest purchase; above 1: overdue; null without a gap"),
    _TREND: Feature(
        _FLOAT,
        "ratio",
        f"baskets a day, last {windows.RECENT.days} days by the {windows.BEFORE.days} before; "
        "null where those have none",
    ),
    "stage": Feature(pl.String(), "text", "new, growing, steady, fading, dormant or reactivated"),
}

_VALUES: Final = ("lines", "begins", "net", "days", "gaps", "gap", "square", "back")
_BACK: Final = "back_at"
_SINCE: Final = "since"
"""Microseconds since the newest purchase."""


def build(tables: Tables, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """The view `lifecycle`; see the module for units and sources."""
    gap = pl.col("gap")
    moments = baskets(tables).with_columns((pl.col("bought") - pl.col("returned")).alias("net"))
    dated = purchase_days(tables).with_columns(
        (gap * gap).alias("square"), (gap > windows.DORMANT.days).cast(pl.Int64).alias("back")
    )
    found = sums(
        together([moments, dated], _VALUES),
        seen(begun(tables), snapshots),
        _VALUES,
        TREND,
        windowed=("begins", "net"),
        lasts={LAST: "lines", _BACK: "back"},
    )
    measured = found.with_columns((micros(pl.col(SNAPSHOT)) - pl.col(LAST)).alias(_SINCE)).with_columns(
        pl.col("days").alias("purchase_days"),
        _spread().alias("gap_std_days"),
        (share(gap, pl.col("gaps")) - days(pl.col(_SINCE))).alias("next_purchase_days"),
        share(days(pl.col(_SINCE)) * pl.col("gaps"), gap).alias("overdue_ratio"),
        trend("begins").alias(_TREND),
        _stage().alias("stage"),
    )
    return finish(measured, FEATURES)


def _spread() -> pl.Expr:
    """√((Σg² - (Σg)² / n) / (n - 1)) of n gaps."""
    number, total = pl.col("gaps"), pl.col("gap")
    # The division stands between product and difference: Polars fuses these two, and cuDF cannot translate that.
    spread = pl.col("square") - total * total / number
    # Where all gaps are alike, rounding may leave less than nothing.
    spread = pl.when(spread > 0).then(spread).otherwise(0.0)
    return pl.when(number > 1).then((spread / (number - 1)).sqrt()).otherwise(None)


def _stage() -> pl.Expr:
    lately = pl.col("net_recent") * windows.BEFORE.days
    earlier = (pl.col("net_both") - pl.col("net_recent")) * windows.RECENT.days
    (more, of_more), (less, of_less) = windows.GROWING, windows.FADING
    back = within(micros(pl.col(SNAPSHOT)) - pl.col(_BACK), windows.REACTIVATED).fill_null(value=False)
    return (
        pl.when(~within(pl.col(_SINCE), windows.DORMANT))
        .then(pl.lit("dormant"))
        .when(within(pl.col(AGE), windows.NEW))
        .then(pl.lit("new"))
        .when(back)
        .then(pl.lit("reactivated"))
        .when((lately > 0) & (lately * of_more >= earlier * more))
        .then(pl.lit("growing"))
        .when((earlier > 0) & (lately * of_less <= earlier * less))
        .then(pl.lit("fading"))
        .otherwise(pl.lit("steady"))
    )
