"""Consent: to which purposes a customer agreed.

Grain: customer × snapshot, from the columns `consent_<purpose>` of `customers`. A state without time: every snapshot
has it as the tables tell it now, so that a consent that was withdrawn counts nowhere any more. `consent_<purpose>` is
true where the customer agreed, false where it refused, null where nobody asked.
"""

from typing import Final

import polars as pl

from feature_repo.features.frames import EVERYONE, Tables, everyone, finish
from feature_repo.features.view import Feature, Words
from motherlode import names

READS: Final = EVERYONE

_FIXED: Final = {
    "purposes_agreed": Feature(pl.Float32(), "purposes", "purposes that the customer agreed to"),
    "purposes_refused": Feature(pl.Float32(), "purposes", "purposes that the customer refused"),
}


def features(words: Words) -> dict[str, Feature]:
    """The view's columns: two counts, then a column a purpose."""
    asked = {
        f"{names.CONSENT}{purpose}": Feature(pl.Boolean(), "yes or no", f"agreed to {purpose}; null: never asked")
        for purpose in words.purposes
    }
    return _FIXED | asked


def build(tables: Tables, snapshots: pl.LazyFrame, words: Words) -> pl.LazyFrame:
    """The view `consent`; see the module for units and sources."""
    customers = tables[names.CUSTOMERS]
    there = customers.collect_schema()
    purposes = [f"{names.CONSENT}{purpose}" for purpose in words.purposes]
    told = customers.select(
        names.CUSTOMER_ID,
        *(pl.col(name) if name in there else pl.lit(None, dtype=pl.Boolean).alias(name) for name in purposes),
    )
    agreed, refused = pl.lit(0, dtype=pl.Int64), pl.lit(0, dtype=pl.Int64)
    for name in purposes:
        agreed += pl.col(name).fill_null(value=False).cast(pl.Int64)
        refused += (~pl.col(name)).fill_null(value=False).cast(pl.Int64)
    rows = everyone(tables, snapshots).join(told, on=names.CUSTOMER_ID, how="left")
    return finish(
        rows.with_columns(agreed.alias("purposes_agreed"), refused.alias("purposes_refused")), features(words)
    )
