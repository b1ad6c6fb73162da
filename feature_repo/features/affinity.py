"""Department affinity: where a customer's money of the last 180 days went.

Grain: customer × snapshot. A share is a department's part of the `amount` of every line bought in the window;
returns are left out. What stands in no department of `DEPARTMENTS`, or in none at all, is `share_other`.
`department_entropy` is Shannon's entropy of these shares in nats (C. E. Shannon, 1948, §6): 0 for one department
alone, ln 13 for all alike. All are null where nothing was paid.
"""

import operator
from collections.abc import Sequence
from datetime import timedelta
from functools import reduce
from typing import Final

import polars as pl

from feature_repo.features.frames import AGE, KEY, Tables, finish, population, purchases, seen, share, units, within
from motherlode import names

DEPARTMENTS: Final = {
    "grocery": "GROCERY",
    "drug_gm": "DRUG GM",
    "fuel": "FUEL",
    "produce": "PRODUCE",
    "meat": "MEAT",
    "meat_pckgd": "MEAT-PCKGD",
    "deli": "DELI",
    "miscellaneous": "MISCELLANEOUS",
    "pastry": "PASTRY",
    "nutrition": "NUTRITION",
    "seafood_pckgd": "SEAFOOD-PCKGD",
    "floral": "FLORAL",
}
"""Slug → department: the twelve that take the most money in the demo, 98 % of it together."""

WINDOW: Final = timedelta(days=180)

_SHARES: Final = tuple(f"share_{slug}" for slug in (*DEPARTMENTS, "other"))
_TOTAL: Final = "total"

FEATURES: Final[dict[str, pl.DataType]] = {
    **{name: pl.Float32() for name in _SHARES},
    "department_entropy": pl.Float32(),
}


def build(tables: Tables, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """The view `affinity`; see the module for units and sources."""
    sums = (*_SHARES, _TOTAL)
    spent = seen(_visits(tables), snapshots).filter(within(pl.col(AGE), WINDOW)).group_by(KEY)
    shares = (
        spent.agg(pl.col(name).sum() for name in sums)
        .with_columns(share(pl.col(name), pl.col(_TOTAL)).alias(name) for name in _SHARES)
        .with_columns(_entropy())
    )
    return finish(population(tables, snapshots).join(shares, on=KEY, how="left"), FEATURES)


def _visits(tables: Tables) -> pl.LazyFrame:
    """Money by department, a column each, of everything a customer bought at one moment."""
    amount = units(names.AMOUNT)
    departments = tables[names.ITEMS].select(names.ITEM_ID, names.DEPARTMENT)
    by_department = {
        f"share_{slug}": pl.when(pl.col(names.DEPARTMENT) == department).then(amount).otherwise(0)
        for slug, department in DEPARTMENTS.items()
    }
    listed = _sum([pl.col(name) for name in by_department])
    return (
        purchases(tables)
        .join(departments, on=names.ITEM_ID, how="left")
        .group_by(names.CUSTOMER_ID, names.EVENT_TIMESTAMP)
        .agg(*(column.sum().alias(name) for name, column in by_department.items()), amount.sum().alias(_TOTAL))
        .with_columns((pl.col(_TOTAL) - listed).alias("share_other"))
    )


def _entropy() -> pl.Expr:
    """-Σ p ln p over the shares, where p ln p is 0 at p = 0."""
    terms = [pl.when(pl.col(name) > 0).then(-pl.col(name) * pl.col(name).log()).otherwise(0.0) for name in _SHARES]
    return pl.when(pl.col(_TOTAL) > 0).then(_sum(terms)).otherwise(None).alias("department_entropy")


def _sum(terms: Sequence[pl.Expr]) -> pl.Expr:
    """Their sum, left to right; `sum_horizontal` does not translate to cuDF."""
    return reduce(operator.add, terms)
