"""The contract of the canonical tables: their columns, their keys, and the rules every row must keep."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from motherlode import names

VERSION: Final = 1
"""Raised whenever the same raw tables would give other integrated ones: what was built before is rebuilt."""

UTC: Final = pl.Datetime("us", "UTC")

SCHEMAS: Final[Mapping[str, pl.Schema]] = {
    names.TRANSACTIONS: pl.Schema(
        {
            names.CUSTOMER_ID: pl.String(),
            names.BASKET_ID: pl.String(),
            names.STORE_ID: pl.String(),
            names.ITEM_ID: pl.String(),
            names.QUANTITY: pl.Int64(),
            names.AMOUNT: pl.Float64(),
            names.RETAIL_DISCOUNT: pl.Float64(),
            names.COUPON_DISCOUNT: pl.Float64(),
            names.EVENT_TIMESTAMP: UTC,
            names.LOCAL_TIMESTAMP: pl.Datetime("us"),
        }
    ),
    names.ITEMS: pl.Schema(
        {
            names.ITEM_ID: pl.String(),
            names.OUTSIDE_ID: pl.Int64(),
            names.ITEM_NAME: pl.String(),
            names.DEPARTMENT: pl.String(),
            names.CATEGORY: pl.String(),
            names.BRAND: pl.String(),
        }
    ),
    names.CUSTOMERS: pl.Schema(
        {
            names.CUSTOMER_ID: pl.String(),
            "age": pl.String(),
            "income": pl.String(),
            "home_ownership": pl.String(),
            "marital_status": pl.String(),
            "household_size": pl.String(),
            "household_comp": pl.String(),
            "kids_count": pl.String(),
        }
    ),
    names.CAMPAIGNS: pl.Schema(
        {names.CAMPAIGN_ID: pl.String(), names.CAMPAIGN_TYPE: pl.String(), names.STARTED_AT: UTC, names.ENDED_AT: UTC}
    ),
    names.CONTACTS: pl.Schema(
        {names.CUSTOMER_ID: pl.String(), names.CAMPAIGN_ID: pl.String(), names.EVENT_TIMESTAMP: UTC}
    ),
    names.RESPONSES: pl.Schema(
        {
            names.CUSTOMER_ID: pl.String(),
            names.CAMPAIGN_ID: pl.String(),
            names.COUPON_ID: pl.String(),
            names.EVENT_TIMESTAMP: UTC,
        }
    ),
}
"""Table → columns of `integrated/<table>.parquet`, in order. All times UTC, but `local_timestamp`."""

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    names.TRANSACTIONS: (names.CUSTOMER_ID, names.BASKET_ID, names.ITEM_ID),
    names.ITEMS: (names.ITEM_ID,),
    names.CUSTOMERS: (names.CUSTOMER_ID,),
    names.CAMPAIGNS: (names.CAMPAIGN_ID,),
    names.CONTACTS: (names.CUSTOMER_ID, names.CAMPAIGN_ID),
    names.RESPONSES: (names.CUSTOMER_ID, names.CAMPAIGN_ID, names.COUPON_ID, names.EVENT_TIMESTAMP),
}
"""Table → the columns that tell its rows apart. The till sums a basket's pieces of an item into one line."""


@dataclass(frozen=True)
class Rule:
    """What every row of a table must keep.

    Attributes:
        name: as it stands in quarantine.
        column: the column at fault.
        broken: true where a row breaks it; null counts as kept.
        remedy: what the data's owner can do.
    """

    name: str
    column: str
    broken: pl.Expr
    remedy: str


LANDED_AT: Final = "landed_at"
"""When the raw tables were landed, Datetime UTC: a column beside every row while rules are checked."""

_COUPON_LINE: Final = (pl.col(names.QUANTITY) == 0) & (pl.col(names.AMOUNT) == 0) & (pl.col(names.COUPON_DISCOUNT) > 0)


def coupon_line() -> pl.Expr:
    """A line that is no purchase: the till's way to book a coupon on a whole basket."""
    return _COUPON_LINE


def _required(column: str) -> Rule:
    return Rule("missing", column, pl.col(column).is_null(), f"Give every row its {column}.")


def _not_negative(column: str) -> Rule:
    return Rule("negative", column, pl.col(column) < 0, "Give a discount as the positive amount taken off.")


def _finite(column: str) -> Rule:
    return Rule("not finite", column, ~pl.col(column).is_finite(), "Give a number; leave out NaN and infinity.")


def _not_in_future(column: str) -> Rule:
    remedy = "Check the file's dates and its time zone; the row is later than its own landing."
    return Rule("in the future", column, pl.col(column) > pl.col(LANDED_AT), remedy)


RULES: Final[Mapping[str, tuple[Rule, ...]]] = {
    names.TRANSACTIONS: (
        *(
            _required(column)
            for column in SCHEMAS[names.TRANSACTIONS]
            if column not in (names.STORE_ID, names.LOCAL_TIMESTAMP)
        ),
        *(_finite(column) for column in (names.AMOUNT, names.RETAIL_DISCOUNT, names.COUPON_DISCOUNT)),
        _not_negative(names.RETAIL_DISCOUNT),
        _not_negative(names.COUPON_DISCOUNT),
        Rule(
            "no pieces",
            names.QUANTITY,
            (pl.col(names.QUANTITY) == 0) & ~_COUPON_LINE,
            "A line of no pieces is neither a sale nor a return: correct its quantity, or leave it out.",
        ),
        _not_in_future(names.EVENT_TIMESTAMP),
    ),
    names.ITEMS: (_required(names.ITEM_ID),),
    names.CUSTOMERS: (_required(names.CUSTOMER_ID),),
    names.CAMPAIGNS: (
        *(_required(column) for column in SCHEMAS[names.CAMPAIGNS]),
        Rule(
            "ends before it starts",
            names.ENDED_AT,
            pl.col(names.ENDED_AT) < pl.col(names.STARTED_AT),
            "Correct the campaign's dates.",
        ),
    ),
    names.CONTACTS: (_required(names.CUSTOMER_ID), _required(names.CAMPAIGN_ID)),
    names.RESPONSES: (
        _required(names.CUSTOMER_ID),
        _required(names.CAMPAIGN_ID),
        _required(names.EVENT_TIMESTAMP),
        _not_in_future(names.EVENT_TIMESTAMP),
    ),
}
"""Table → its rules; a row is rejected by the first that it breaks."""
