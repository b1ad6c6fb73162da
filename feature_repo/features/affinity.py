"""Department affinity: where a customer's money of the last half year went.

Grain: customer × snapshot, of those with a line in `transactions` before it. Sources: `transactions`, and `items` for
the departments. A share is a department's part of the `amount` of every line bought in `windows.HALF_YEAR`; returns are
left out. The company's widest departments have a column each; what stands in another one, or in none, is `share_other`.
`department_entropy` is Shannon's entropy of these shares in nats (C. E. Shannon, 1948, §6): 0 for one department
alone, ln n for n all alike. All are null where nothing was paid.
"""

import operator
from collections.abc import Sequence
from functools import reduce
from typing import Final

import polars as pl

from feature_repo.features import windows
from feature_repo.features.frames import Tables, finish, population, purchases, share, sums, units
from feature_repo.features.view import Feature, Words
from motherlode import names

READS: Final = (names.TRANSACTIONS, names.ITEMS)

OTHER: Final = "other"
"""The slug of all departments that have no column."""

_TOTAL: Final = "total"
_WINDOW: Final = {windows.label(windows.HALF_YEAR): windows.HALF_YEAR}


def features(words: Words) -> dict[str, Feature]:
    """A share for each of the company's departments, then their entropy."""
    over = f"of money over {windows.HALF_YEAR.days} days"
    shares = {
        f"share_{slug}": Feature(pl.Float32(), "share 0–1", f"{over}, what went to the department {department!r}")
        for slug, department in words.departments.items()
    }
    return {
        **shares,
        f"share_{OTHER}": Feature(pl.Float32(), "share 0–1", f"{over}, what went to every other department, or none"),
        "department_entropy": Feature(pl.Float32(), "nats", "Shannon's entropy of the shares: 0 is one department"),
    }


def build(tables: Tables, snapshots: pl.LazyFrame, words: Words) -> pl.LazyFrame:
    """The view `affinity`; see the module for units and sources."""
    names_of = [f"share_{slug}" for slug in words.departments]
    spent = sums(by_department(tables, words), population(tables, snapshots), [*names_of, _TOTAL], _WINDOW)
    (label,) = _WINDOW
    whole = pl.col(f"{_TOTAL}_{label}")
    other = reduce(operator.sub, [pl.col(f"{name}_{label}") for name in names_of], whole)
    shares = [share(pl.col(f"{name}_{label}"), whole).alias(name) for name in names_of]
    made = spent.select(
        *("snapshot", names.CUSTOMER_ID), *shares, share(other, whole).alias(f"share_{OTHER}")
    ).with_columns(entropy([*names_of, f"share_{OTHER}"]).alias("department_entropy"))
    return finish(made, features(words))


def by_department(tables: Tables, words: Words) -> pl.LazyFrame:
    """Money of everything a customer bought at one moment, by department.

    Returns:
        customer_id, event_timestamp; `share_<slug>` a department, and `total`: Int64 ten-thousandths.
    """
    departments = tables[names.ITEMS].select(names.ITEM_ID, names.DEPARTMENT)
    key = (names.CUSTOMER_ID, names.EVENT_TIMESTAMP)
    by = purchases(tables).select(*key, names.ITEM_ID, units(names.AMOUNT).alias(_TOTAL))
    spent = pl.col(_TOTAL)
    return (
        by.join(departments, on=names.ITEM_ID, how="left")
        # First by department as it stands: the columns are then made of far fewer rows.
        .group_by(*key, names.DEPARTMENT)
        .agg(spent.sum())
        .group_by(key)
        .agg(
            *(
                pl.when(pl.col(names.DEPARTMENT) == department).then(spent).otherwise(0).sum().alias(f"share_{slug}")
                for slug, department in words.departments.items()
            ),
            spent.sum(),
        )
    )


def entropy(shares: Sequence[str]) -> pl.Expr:
    """-Σ p ln p over columns of shares, left to right, where p ln p is 0 at p = 0; null where they are."""
    terms = [
        pl.when(pl.col(name) > 0).then(-pl.col(name) * pl.col(name).log()).otherwise(pl.col(name) * 0.0)
        for name in shares
    ]
    return reduce(operator.add, terms)
