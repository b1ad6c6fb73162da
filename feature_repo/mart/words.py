"""The company's own words, found in its data: what features are named after."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

import polars as pl

from feature_repo.features.frames import purchases, units
from feature_repo.features.view import Words
from feature_repo.features.windows import CAMPAIGN_TYPES, CHANNELS, DEPARTMENTS
from motherlode import names

_MISSING: Final = "_missing"
_RESERVED: Final = ("other", "total", "unknown")
"""What features call the rest, the whole, and what is not known."""


def find(
    tables: Mapping[str, pl.LazyFrame], kept: Words | None = None, lines: Iterable[pl.LazyFrame] | None = None
) -> Words:
    """The company's words.

    Args:
        tables: the tables by name, as the views see them.
        lines: the rows of `transactions`, some at a time: what is in memory at once. By default the whole table.
        kept: those found before: departments, campaign types and channels stay as they are, so that a view's
            columns stay. Attributes and purposes are those that the customers have.
    """
    columns = tables[names.CUSTOMERS].collect_schema()
    asked = [name for name in columns if name.startswith(names.CONSENT) and not name.endswith(_MISSING)]
    canonical = (names.CUSTOMER_ID, names.REGISTERED_AT)
    attributes = {name: str(dtype) for name, dtype in columns.items() if name not in (*asked, *canonical)}
    return Words(
        departments=slugs(_departments(tables, lines or [tables[names.TRANSACTIONS]]))
        if kept is None
        else kept.departments,
        campaign_types=slugs(_campaign_types(tables)) if kept is None else kept.campaign_types,
        channels=slugs(_channels(tables)) if kept is None else kept.channels,
        attributes=attributes,
        purposes=tuple(sorted(name.removeprefix(names.CONSENT) for name in asked)),
    )


def slugs(words: Iterable[str]) -> dict[str, str]:
    """Slug → word: lower case, every run of other characters than letters and digits as `_`.

    Words of one slug, and those whose slug means something else, are numbered from 2.
    """
    found: dict[str, str] = {}
    for word in words:
        stem = re.sub(r"[\W_]+", "_", word.lower()).strip("_") or "unnamed"
        slug, number = stem, 2
        while slug in found or slug in _RESERVED:
            slug, number = f"{stem}_{number}", number + 1
        found[slug] = word
    return found


def _departments(tables: Mapping[str, pl.LazyFrame], lines: Iterable[pl.LazyFrame]) -> list[str]:
    """Those that take the most money, the widest first."""
    departments = tables[names.ITEMS].select(names.ITEM_ID, names.DEPARTMENT).filter(pl.col(names.DEPARTMENT) != "")
    money = [
        purchases({names.TRANSACTIONS: some}).group_by(names.ITEM_ID).agg(units(names.AMOUNT).sum()) for some in lines
    ]
    whole = pl.concat([some.collect(engine="streaming") for some in money])
    sums = departments.join(whole.lazy(), on=names.ITEM_ID, how="inner").group_by(names.DEPARTMENT)
    widest = sums.agg(pl.col(names.AMOUNT).sum()).sort(names.AMOUNT, names.DEPARTMENT, descending=[True, False])
    return list(widest.head(DEPARTMENTS).collect(engine="streaming")[names.DEPARTMENT])


def _campaign_types(tables: Mapping[str, pl.LazyFrame]) -> list[str]:
    """The commonest kinds of campaign, in the alphabet's order."""
    kinds = [tables[names.CAMPAIGNS].select(pl.col(names.CAMPAIGN_TYPE).alias("word"))]
    return sorted(_commonest(kinds, CAMPAIGN_TYPES))


def _channels(tables: Mapping[str, pl.LazyFrame]) -> list[str]:
    """The commonest channels of purchases, contacts and events, in the alphabet's order."""
    lists = [
        tables[name].select(pl.col(names.CHANNEL).alias("word"))
        for name in (names.TRANSACTIONS, names.CONTACTS, names.INTERACTIONS)
    ]
    return sorted(_commonest(lists, CHANNELS))


def _commonest(lists: Iterable[pl.LazyFrame], number: int) -> list[str]:
    counted = [each.filter(pl.col("word") != "").group_by("word").agg(pl.len().cast(pl.Int64)) for each in lists]
    both = pl.concat(counted).group_by("word").agg(pl.col("len").sum()).sort("len", "word", descending=[True, False])
    return list(both.head(number).collect(engine="streaming")["word"])
