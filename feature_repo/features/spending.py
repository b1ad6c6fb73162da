"""Spending behaviour: what a basket is like, when and where it is bought, and what is brought back.

Grain: customer × snapshot, over everything before it, of those who had bought something. Source: `transactions`.

Purchases are the lines of more than nought pieces, returns those of less. A basket is what the snapshot has seen
bought of it; its value is in the currency of the table and does not fall when something is brought back. Its hour, its
weekday and its store are those of its first purchase, by the shop's clock; where that moment's lines differ, the least.

`days_between_baskets` is the mean gap between the days with a purchase. `trend_4w_12w` is money a day over the last 28
days by money a day over the 84 days before them, what was paid back taken off.
"""

from typing import Final

import polars as pl

from feature_repo.features import windows
from feature_repo.features.frames import (
    SATURDAY,
    SNAPSHOT,
    TREND,
    Tables,
    baskets,
    buyers,
    days,
    finish,
    micros,
    money,
    purchase_days,
    share,
    sums,
    together,
    trend,
)
from feature_repo.features.view import Feature
from motherlode import names

READS: Final = (names.TRANSACTIONS,)

_FLOAT: Final = pl.Float32()
_SHARE: Final = "share 0–1"
_OPENS, _CLOSES = windows.DAYTIME
_TREND: Final = f"trend_{windows.trend_label()}"

FEATURES: Final = {
    "basket_value_mean": Feature(_FLOAT, "currency", "value of a basket, mean"),
    "basket_value_std": Feature(_FLOAT, "currency", "value of a basket, sample deviation; null below two baskets"),
    "basket_value_cv": Feature(_FLOAT, "ratio", "the deviation by the mean: coefficient of variation"),
    "basket_items_mean": Feature(_FLOAT, "lines", "bought in a basket, mean"),
    "basket_quantity_mean": Feature(_FLOAT, "pieces", "bought in a basket, mean"),
    "weekend_share": Feature(_FLOAT, _SHARE, "of baskets, bought on Saturday or Sunday"),
    "daytime_share": Feature(_FLOAT, _SHARE, f"of baskets, bought from {_OPENS} and before {_CLOSES} o'clock"),
    "evening_share": Feature(_FLOAT, _SHARE, f"of baskets, bought from {windows.EVENING} o'clock"),
    "store_count": Feature(_FLOAT, "stores", "with a basket; null where no basket tells its store"),
    "favourite_store_share": Feature(_FLOAT, _SHARE, "of the baskets that tell their store, in the one with the most"),
    "days_between_baskets": Feature(_FLOAT, "days", "mean gap of the days with a purchase; null where there is one"),
    _TREND: Feature(
        _FLOAT,
        "ratio",
        f"money a day, last {windows.RECENT.days} days by the {windows.BEFORE.days} before; "
        "null where those come to nothing, or to less by returns",
    ),
    "return_line_share": Feature(_FLOAT, _SHARE, "of all lines, those brought back"),
    "returned_money_share": Feature(_FLOAT, "ratio", "money paid back by money paid; null where nothing was paid"),
    "days_since_return": Feature(_FLOAT, "days", "since something was last brought back; null where nothing was"),
}

_DIGIT: Final = 1 << 20
"""Of the numeral system that values are squared in. A value of v ten-thousandths squared may not fit an Int64, nor may
the sum of such squares: with v = a·DIGIT + b, the sums of a², ab and b² do, for values up to 10¹¹."""

_OF_BASKETS: Final = ("begins", "bought", "lines", "return_lines", "returned", "pieces", "net")
_OF_SQUARES: Final = ("high", "mixed", "low")
_OF_CLOCK: Final = ("weekend", "daytime", "evening")
_OF_STORES: Final = ("placed", "stores", "favourite")
_OF_DAYS: Final = ("gaps", "gap")
_VALUES: Final = (*_OF_BASKETS, *_OF_SQUARES, *_OF_CLOCK, *_OF_STORES, *_OF_DAYS)
_RETURNED: Final = "returned_at"


def build(tables: Tables, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """The view `spending`; see the module for units and sources."""
    found = sums(
        together([_moments(tables), *_stores(tables), purchase_days(tables)], _VALUES),
        buyers(tables, snapshots),
        _VALUES,
        TREND,
        windowed=("net",),
        lasts={_RETURNED: "return_lines"},
    )
    number = pl.col("begins")
    since = micros(pl.col(SNAPSHOT)) - pl.col(_RETURNED)
    measured = found.with_columns(_spread().alias("basket_value_std")).with_columns(
        (money(pl.col("bought")) / number).alias("basket_value_mean"),
        share(pl.col("basket_value_std") * number, money(pl.col("bought"))).alias("basket_value_cv"),
        (pl.col("lines") / number).alias("basket_items_mean"),
        (money(pl.col("pieces")) / number).alias("basket_quantity_mean"),
        *((pl.col(name) / number).alias(f"{name}_share") for name in _OF_CLOCK),
        pl.when(pl.col("stores") > 0).then(pl.col("stores")).otherwise(None).alias("store_count"),
        share(pl.col("favourite"), pl.col("placed")).alias("favourite_store_share"),
        share(pl.col("gap"), pl.col("gaps")).alias("days_between_baskets"),
        trend("net").alias(_TREND),
        (pl.col("return_lines") / (pl.col("lines") + pl.col("return_lines"))).alias("return_line_share"),
        share(pl.col("returned"), pl.col("bought")).alias("returned_money_share"),
        days(since).alias("days_since_return"),
    )
    return finish(measured, FEATURES)


def _moments(tables: Tables) -> pl.LazyFrame:
    """What each moment of a basket adds to the customer's sums."""
    basket = (names.CUSTOMER_ID, names.BASKET_ID)
    hour, weekday = pl.col(names.LOCAL_TIMESTAMP).dt.hour(), pl.col(names.LOCAL_TIMESTAMP).dt.weekday()
    begins = pl.col("begins") > 0
    after, before = pl.col("after"), pl.col("after") - pl.col("bought")
    squares = zip(_OF_SQUARES, _square(after), _square(before), strict=True)
    return (
        baskets(tables)
        .sort(*basket, names.EVENT_TIMESTAMP)
        .with_columns(pl.col("bought").cum_sum().over(basket).alias("after"))
        .select(
            names.CUSTOMER_ID,
            names.EVENT_TIMESTAMP,
            *(name for name in _OF_BASKETS if name != "net"),
            (pl.col("bought") - pl.col("returned")).alias("net"),
            *((now - then).alias(name) for name, now, then in squares),
            (begins & (weekday >= SATURDAY)).cast(pl.Int64).alias("weekend"),
            (begins & (hour >= _OPENS) & (hour < _CLOSES)).cast(pl.Int64).alias("daytime"),
            (begins & (hour >= windows.EVENING)).cast(pl.Int64).alias("evening"),
        )
    )


def _square(value: pl.Expr) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """The parts a², ab and b² of a value's square in the numeral system of _DIGIT."""
    a, b = value // _DIGIT, value % _DIGIT
    return a * a, a * b, b * b


def _spread() -> pl.Expr:
    """√((Σv² - (Σv)² / n) / (n - 1)), in money."""
    number, total = pl.col("begins"), money(pl.col("bought"))
    high, mixed, low = (money(money(pl.col(name).cast(pl.Float64))) for name in _OF_SQUARES)
    spread = (high * _DIGIT + 2 * mixed) * _DIGIT + low - total * total / number
    # Where all baskets are alike, rounding may leave less than nothing.
    spread = pl.when(spread > 0).then(spread).otherwise(0.0)
    return pl.when(number > 1).then((spread / (number - 1)).sqrt()).otherwise(None)


def _stores(tables: Tables) -> tuple[pl.LazyFrame, pl.LazyFrame]:
    """Baskets by store; and, for each number, the first time that any store had so many baskets.

    The favourite store's baskets only ever grow, by one at a time: they are how many of those times have passed.
    """
    store = (names.CUSTOMER_ID, names.STORE_ID)
    one = pl.lit(1, dtype=pl.Int64)
    placed = (
        baskets(tables)
        .filter((pl.col("begins") > 0) & pl.col(names.STORE_ID).is_not_null())
        .select(*store, names.EVENT_TIMESTAMP, one.alias("placed"))
        .sort(*store, names.EVENT_TIMESTAMP)
        .with_columns(pl.col("placed").cum_sum().over(store).alias("nth"))
        .with_columns((pl.col("nth") == 1).cast(pl.Int64).alias("stores"))
    )
    reached = placed.group_by(names.CUSTOMER_ID, "nth").agg(pl.col(names.EVENT_TIMESTAMP).min())
    return placed, reached.with_columns(one.alias("favourite"))
