"""Price sensitivity: what is bought on discount, with coupons, and of the shop's own brand; how pieces follow prices.

Grain: customer × snapshot, over every line bought before it or, `_84d`, in the last 84 days; of those who had bought
something. Sources: `transactions`, and `items` for the private label. Returns are left out.

A line is on discount where the shop cut its price, a coupon line where a coupon was used on it; a coupon basket has a
coupon line, or a coupon that was booked on the basket as a whole, and its money counts as coupon money too. The depth
is the money taken off the lines, by cuts and by coupons, by what they would have cost without: `amount`, from which
coupons are not taken off, and the cuts. `coupon_money_share_…` may exceed 1, by coupons booked on baskets. The private
label's share is of the money for items of which the company tells whose label they bear; null where it tells none.

`price_elasticity` is a proxy: the log-log slope of pieces on price within an item, by first differences. Between two
lines of one item that follow each other, x is the change of the logarithm of the price paid for a piece, coupons
not taken off, y that of the pieces; the slope is Σxy / Σx² over all of them (J. M. Wooldridge, *Econometric Analysis
of Cross Section and Panel Data*, 2nd ed. 2010, §10.6). Logarithms are in whole ten-thousandths; lines of no price are
left out, and lines of one moment follow each other by price, then pieces. It says how many more pieces the customer
takes at a lower price when buying at all: -1 means as much more as it is cheaper. It does not see what was not bought,
nor stocks at home, and where the price is cut for those who take several, it takes the one for the other.
"""

from typing import Final

import polars as pl

from feature_repo.features import windows
from feature_repo.features.frames import (
    Tables,
    baskets,
    buyers,
    finish,
    money,
    purchases,
    share,
    sums,
    together,
    units,
)
from feature_repo.features.view import Feature
from motherlode import names

READS: Final = (names.TRANSACTIONS, names.ITEMS)

WINDOW: Final = windows.QUARTER
_LABEL: Final = windows.label(WINDOW)
_LATELY: Final = f"_{_LABEL}"
_LAST: Final = f"the last {WINDOW.days} days"
_COUPONS: Final = f"coupon_amount{_LATELY}"
_COUPON_SHARE: Final = f"coupon_money_share{_LATELY}"

_FLOAT: Final = pl.Float32()
_SHARE: Final = "share 0–1"

FEATURES: Final = {
    "discount_line_share": Feature(_FLOAT, _SHARE, "of lines, on discount"),
    f"discount_line_share{_LATELY}": Feature(_FLOAT, _SHARE, f"of the lines of {_LAST}, on discount"),
    "discount_depth": Feature(_FLOAT, _SHARE, "money off, by cuts and coupons, of what the lines cost without"),
    f"discount_depth{_LATELY}": Feature(_FLOAT, _SHARE, f"discount_depth of {_LAST}"),
    "coupon_line_share": Feature(_FLOAT, _SHARE, "of lines, bought with a coupon"),
    f"coupon_line_share{_LATELY}": Feature(_FLOAT, _SHARE, f"of the lines of {_LAST}, bought with a coupon"),
    "coupon_basket_share": Feature(_FLOAT, _SHARE, "of baskets, bought with a coupon"),
    _COUPONS: Feature(_FLOAT, "currency", f"taken off by coupons in {_LAST}, on lines and baskets"),
    _COUPON_SHARE: Feature(_FLOAT, "ratio", f"{_COUPONS} by what the lines of {_LAST} cost without cuts and coupons"),
    "private_label_share": Feature(
        _FLOAT, _SHARE, "of money for items of a known label, for the shop's own; null where no label is known"
    ),
    "price_elasticity": Feature(
        _FLOAT, "log per log", f"slope of pieces on price; null below {windows.PRICE_CHANGES} changes of price"
    ),
}

_WINDOWED: Final = ("lines", "cut_lines", "coupon_lines", "listed", "off", "coupon_money")
_VALUES: Final = (*_WINDOWED, "begins", "coupon_baskets", "private", "told", "xy", "xx", "changes")

_LOG_UNIT: Final = 10_000


def build(tables: Tables, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """The view `price_sensitivity`; see the module for units and sources."""
    moments = baskets(tables).with_columns(
        (pl.col("cut") + pl.col("coupons")).alias("off"),
        (pl.col("bought") + pl.col("cut")).alias("listed"),
        (pl.col("coupons") + pl.col("basket_coupons")).alias("coupon_money"),
    )
    events = together([moments, _coupon_baskets(moments), _private(tables), _changes(tables)], _VALUES)
    found = sums(events, buyers(tables, snapshots), _VALUES, {_LABEL: WINDOW}, windowed=_WINDOWED)
    slope = pl.when(pl.col("changes") >= windows.PRICE_CHANGES).then(pl.col("xy") / pl.col("xx")).otherwise(None)
    measured = found.with_columns(
        *(share(pl.col(f"cut_lines{w}"), pl.col(f"lines{w}")).alias(f"discount_line_share{w}") for w in ("", _LATELY)),
        *(share(pl.col(f"off{w}"), pl.col(f"listed{w}")).alias(f"discount_depth{w}") for w in ("", _LATELY)),
        *(share(pl.col(f"coupon_lines{w}"), pl.col(f"lines{w}")).alias(f"coupon_line_share{w}") for w in ("", _LATELY)),
        share(pl.col("coupon_baskets"), pl.col("begins")).alias("coupon_basket_share"),
        money(pl.col(f"coupon_money{_LATELY}")).alias(_COUPONS),
        share(pl.col(f"coupon_money{_LATELY}"), pl.col(f"listed{_LATELY}")).alias(_COUPON_SHARE),
        share(pl.col("private"), pl.col("told")).alias("private_label_share"),
        slope.alias("price_elasticity"),
    )
    return finish(measured, FEATURES)


def _coupon_baskets(moments: pl.LazyFrame) -> pl.LazyFrame:
    """Each basket with a coupon, at the time from which it is one: when both something and a coupon are booked."""
    basket = (names.CUSTOMER_ID, names.BASKET_ID)
    time = pl.col(names.EVENT_TIMESTAMP)
    with_coupon = moments.filter((pl.col("coupon_lines") > 0) | (pl.col("basket_coupons") > 0))
    coupon = with_coupon.group_by(basket).agg(time.min().alias("coupon_at"))
    later = pl.when(pl.col("coupon_at") > time).then(pl.col("coupon_at")).otherwise(time)
    return (
        moments.filter(pl.col("begins") > 0)
        .select(*basket, time)
        .join(coupon, on=basket, how="inner")
        .select(
            names.CUSTOMER_ID,
            later.alias(names.EVENT_TIMESTAMP),
            pl.lit(1, dtype=pl.Int64).alias("coupon_baskets"),
        )
    )


def _private(tables: Tables) -> pl.LazyFrame:
    """Money for what is known to be of the shop's own brand or not, and for its own."""
    known = tables[names.ITEMS].filter(pl.col(names.PRIVATE_LABEL).is_not_null())
    amount = units(names.AMOUNT)
    own = pl.when(pl.col(names.PRIVATE_LABEL)).then(amount).otherwise(0)
    return (
        purchases(tables)
        .join(known.select(names.ITEM_ID, names.PRIVATE_LABEL), on=names.ITEM_ID, how="inner")
        .group_by(names.CUSTOMER_ID, names.EVENT_TIMESTAMP)
        .agg(amount.sum().alias("told"), own.sum().alias("private"))
    )


def _changes(tables: Tables) -> pl.LazyFrame:
    """The lines at another price than the same item's line before, with x² and xy in the square of _LOG_UNIT."""
    item = (names.CUSTOMER_ID, names.ITEM_ID)
    x, y = pl.col("price") - pl.col("price").shift(1), pl.col("pieces") - pl.col("pieces").shift(1)
    follows = pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in item)
    return (
        purchases(tables)
        .filter(pl.col(names.AMOUNT) > 0)
        .select(
            *item,
            names.EVENT_TIMESTAMP,
            _log(pl.col(names.AMOUNT) / pl.col(names.QUANTITY)).alias("price"),
            _log(pl.col(names.QUANTITY)).alias("pieces"),
        )
        .sort(*item, names.EVENT_TIMESTAMP, "price", "pieces")
        .select(
            names.CUSTOMER_ID,
            names.EVENT_TIMESTAMP,
            follows.alias("follows"),
            (x * x).alias("xx"),
            (x * y).alias("xy"),
            pl.lit(1, dtype=pl.Int64).alias("changes"),
        )
        .filter(pl.col("follows") & (pl.col("xx") > 0))
        .group_by(names.CUSTOMER_ID, names.EVENT_TIMESTAMP)
        .agg(pl.col("xx", "xy", "changes").sum())
    )


def _log(value: pl.Expr) -> pl.Expr:
    return (value.log() * _LOG_UNIT).round(0).cast(pl.Int64)
