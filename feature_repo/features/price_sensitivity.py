"""Price sensitivity: what is bought on discount, with coupons, and of the shop's own brand.

Grain: customer × snapshot, over every line bought before it; returns are left out. A line is on discount where the
shop cut its price, a coupon line where a coupon was used on it. `discount_depth` is the money taken off, by cuts
and by coupons, by what the lines would have cost without; `private_label_share` is by `amount`.
`coupon_amount_84d` is in the currency of the table, and 0 where no coupon was used.
"""

from datetime import timedelta
from typing import Final

import polars as pl

from feature_repo.features.frames import (
    AGE,
    BASKET,
    KEY,
    Tables,
    finish,
    money,
    population,
    purchases,
    seen,
    share,
    units,
    within,
)
from motherlode import names

FEATURES: Final[dict[str, pl.DataType]] = {
    "discount_line_share": pl.Float32(),
    "discount_depth": pl.Float32(),
    "coupon_line_share": pl.Float32(),
    "coupon_basket_share": pl.Float32(),
    "coupon_amount_84d": pl.Float32(),
    "private_label_share": pl.Float32(),
}

WINDOW: Final = timedelta(days=84)
PRIVATE: Final = "Private"
"""The brand of what the shop has made for itself."""

_LINES: Final = "lines"
_CUT_LINES: Final = "cut_lines"
_COUPON_LINES: Final = "coupon_lines"
_AMOUNT: Final = "paid"
_PRIVATE: Final = "private"
_OFF: Final = "off"
_COUPONS: Final = "coupons"
_SUMS: Final = (_LINES, _CUT_LINES, _COUPON_LINES, _AMOUNT, _PRIVATE, _OFF, _COUPONS)


def build(tables: Tables, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """The view `price_sensitivity`; see the module for units and sources."""
    customers = (
        _baskets(tables, snapshots)
        .group_by(KEY)
        .agg(
            *(pl.col(name).sum() for name in _SUMS),
            (pl.col(_COUPON_LINES) > 0).mean().alias("coupon_basket_share"),
        )
        .with_columns(
            share(pl.col(_CUT_LINES), pl.col(_LINES)).alias("discount_line_share"),
            share(pl.col(_OFF), pl.col(_AMOUNT) + pl.col(_OFF)).alias("discount_depth"),
            share(pl.col(_COUPON_LINES), pl.col(_LINES)).alias("coupon_line_share"),
            money(pl.col(_COUPONS)).alias("coupon_amount_84d"),
            share(pl.col(_PRIVATE), pl.col(_AMOUNT)).alias("private_label_share"),
        )
    )
    rows = population(tables, snapshots).join(customers, on=KEY, how="left")
    return finish(rows.with_columns(pl.col("coupon_amount_84d").fill_null(0.0)), FEATURES)


def _baskets(tables: Tables, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """What each snapshot has seen of each basket; its coupons' money only within the window."""
    private = tables[names.ITEMS].filter(pl.col(names.BRAND) == PRIVATE).select(names.ITEM_ID, pl.lit(1).alias("own"))
    amount = units(names.AMOUNT)
    lines = (
        purchases(tables)
        .join(private, on=names.ITEM_ID, how="left")
        .group_by(names.CUSTOMER_ID, names.BASKET_ID, names.EVENT_TIMESTAMP)
        .agg(
            pl.len().cast(pl.Int64).alias(_LINES),
            _count(pl.col(names.RETAIL_DISCOUNT) > 0).alias(_CUT_LINES),
            _count(pl.col(names.COUPON_DISCOUNT) > 0).alias(_COUPON_LINES),
            amount.sum().alias(_AMOUNT),
            pl.when(pl.col("own").is_not_null()).then(amount).otherwise(0).sum().alias(_PRIVATE),
            (units(names.RETAIL_DISCOUNT) + units(names.COUPON_DISCOUNT)).sum().alias(_OFF),
            units(names.COUPON_DISCOUNT).sum().alias(_COUPONS),
        )
    )
    recent = pl.when(within(pl.col(AGE), WINDOW)).then(pl.col(_COUPONS)).otherwise(0)
    return (
        seen(lines, snapshots)
        .with_columns(recent.alias(_COUPONS))
        .group_by(BASKET)
        .agg(pl.col(name).sum() for name in _SUMS)
    )


def _count(condition: pl.Expr) -> pl.Expr:
    return condition.cast(pl.Int64).sum()
