"""The demo's columns mapped onto the canonical ones: names, types, units, time zone, identities.

Found in the data, and stated here because a mapping must say it:

- `transaction_timestamp` is UTC. The company's week begins at 05:00 of it, and the hours of trade move by one with
  New York's daylight saving: its shops' clocks show America/New_York. Campaign and redemption dates are days there.
- `sales_value` is what the shop takes for the line after its own discounts, `retail_disc` and `coupon_match_disc`;
  `coupon_disc` it gets back from the manufacturer, so that a line with a coupon alone still brings its list price.
- Petrol is counted in thousandths of a gallon ($2.54 a thousand), everything else in pieces: a filling is one piece.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import polars as pl

from feature_repo.warehouse.demo import HOUSEHOLD
from motherlode import names

TIME_ZONE: Final = "America/New_York"
LINE: Final = "line"
"""A row's number in its raw file, from 1, UInt32."""

_MOMENT: Final = timedelta(microseconds=1)
_DAY: Final = timedelta(days=1)
_PETROL: Final = "GASOLINE"


@dataclass(frozen=True)
class Context:
    """What a mapping needs besides the raw table.

    Attributes:
        shift: added to every date.
        identities: household_id, customer_id.
        products: the raw products.
    """

    shift: timedelta
    identities: pl.LazyFrame
    products: pl.LazyFrame


def transactions(raw: pl.LazyFrame, context: Context) -> pl.LazyFrame:
    """Purchase lines."""
    utc = pl.col("transaction_timestamp").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    petrol = context.products.filter(pl.col("product_type").str.contains(_PETROL, literal=True))
    counted = raw.join(petrol.select("product_id", petrol=pl.lit(True)), on="product_id", how="left")
    return _with_customer(counted, context).select(
        pl.col(LINE),
        pl.col(names.CUSTOMER_ID),
        pl.col("basket_id").cast(pl.String).alias(names.BASKET_ID),
        pl.col("store_id").cast(pl.String).alias(names.STORE_ID),
        pl.col("product_id").cast(pl.String).alias(names.ITEM_ID),
        pl.when(pl.col("petrol").is_null())
        .then(pl.col("quantity"))
        .otherwise(pl.col("quantity").sign())
        .cast(pl.Int64)
        .alias(names.QUANTITY),
        _cents(pl.col("sales_value")).alias(names.AMOUNT),
        _cents(pl.col("retail_disc")).alias(names.RETAIL_DISCOUNT),
        _cents(pl.col("coupon_disc") + pl.col("coupon_match_disc")).alias(names.COUPON_DISCOUNT),
        (utc + context.shift).alias(names.EVENT_TIMESTAMP),
        (utc.dt.convert_time_zone(TIME_ZONE).dt.replace_time_zone(None) + context.shift).alias(names.LOCAL_TIMESTAMP),
    )


def items(raw: pl.LazyFrame, context: Context) -> pl.LazyFrame:
    """The catalogue; an item's name is its type and package."""
    kind = pl.coalesce("product_type", "product_category", "department")
    return raw.select(
        pl.col(LINE),
        pl.col("product_id").cast(pl.String).alias(names.ITEM_ID),
        pl.col("product_id").alias(names.OUTSIDE_ID),
        pl.concat_str(kind, "package_size", separator=", ", ignore_nulls=True).alias(names.ITEM_NAME),
        pl.col("department").alias(names.DEPARTMENT),
        pl.col("product_category").alias(names.CATEGORY),
        pl.col("brand").alias(names.BRAND),
    )


def customers(raw: pl.LazyFrame, context: Context) -> pl.LazyFrame:
    """Demographics, as the company has them."""
    return _with_customer(raw, context).select(pl.col(LINE), pl.col(names.CUSTOMER_ID), *_demographics())


def campaigns(raw: pl.LazyFrame, context: Context) -> pl.LazyFrame:
    """Campaigns, from the first moment of their first day to the last of their last."""
    return raw.select(
        pl.col(LINE),
        pl.col("campaign_id").cast(pl.String).alias(names.CAMPAIGN_ID),
        pl.col("campaign_type").alias(names.CAMPAIGN_TYPE),
        (_day("start_date") + context.shift).alias(names.STARTED_AT),
        (_end_of_day("end_date") + context.shift).alias(names.ENDED_AT),
    )


def contacts(raw: pl.LazyFrame, context: Context) -> pl.LazyFrame:
    """Who was contacted in which campaign; when, the campaign says."""
    return _with_customer(raw, context).select(
        pl.col(LINE), pl.col(names.CUSTOMER_ID), pl.col("campaign_id").cast(pl.String).alias(names.CAMPAIGN_ID)
    )


def responses(raw: pl.LazyFrame, context: Context) -> pl.LazyFrame:
    """Coupons redeemed; only the day is known, so the answer counts as known when the day is over."""
    return _with_customer(raw, context).select(
        pl.col(LINE),
        pl.col(names.CUSTOMER_ID),
        pl.col("campaign_id").cast(pl.String).alias(names.CAMPAIGN_ID),
        pl.col("coupon_upc").cast(pl.String).alias(names.COUPON_ID),
        (_end_of_day("redemption_date") + context.shift).alias(names.EVENT_TIMESTAMP),
    )


MAPPINGS: Final[Mapping[str, Callable[[pl.LazyFrame, Context], pl.LazyFrame]]] = {
    names.TRANSACTIONS: transactions,
    names.ITEMS: items,
    names.CUSTOMERS: customers,
    names.CAMPAIGNS: campaigns,
    names.CONTACTS: contacts,
    names.RESPONSES: responses,
}
"""Canonical table → (raw table with `line`, context) → `line` and the canonical columns that the raw table holds."""


def _with_customer(raw: pl.LazyFrame, context: Context) -> pl.LazyFrame:
    return raw.join(context.identities, on=HOUSEHOLD, how="left", maintain_order="left")


def _cents(value: pl.Expr) -> pl.Expr:
    """Money to whole cents: the file holds sums such as 1.7763568394002505e-15."""
    return value.round(2)


def _day(column: str) -> pl.Expr:
    """A day's first moment at the shops, UTC."""
    return pl.col(column).cast(pl.Datetime("us")).dt.replace_time_zone(TIME_ZONE).dt.convert_time_zone("UTC")


def _end_of_day(column: str) -> pl.Expr:
    """A day's last moment at the shops, UTC."""
    following = (pl.col(column).cast(pl.Datetime("us")) + _DAY).dt.replace_time_zone(TIME_ZONE)
    return following.dt.convert_time_zone("UTC") - _MOMENT


def _demographics() -> list[pl.Expr]:
    known = ("age", "income", "home_ownership", "marital_status", "household_size", "household_comp", "kids_count")
    return [pl.col(column).cast(pl.String) for column in known]
