"""A feature view: what one is made of, and what a module of it declares.

A view's module holds these names; the starred ones may be left out:

- its docstring: what a row is about, over what, with units and sources; its first line is the view's description;
- `READS`: the integrated tables that its rows are made of;
- `FEATURES`: name → `Feature`; or, where the columns follow the company's words, `features(words)` that answers it;
- `build(tables, snapshots)`, or `build(tables, snapshots, words)` where there is `features(words)`;
- `ACROSS` and `across(rows)` *: the features that compare customers with each other, and what adds them;
- `KEY` *: the entity's column, `customer_id` by default;
- `WHOLE` *: True where a row is made of more than its own customer's rows, so that all are computed together;
- `APART` *: of a view that is WHOLE and whose `build` makes a key's rows of that key's rows alone: table → the columns
  that it takes of it, the key among them. Keys are then computed some at a time; what compares them is `across`'s;
- `BESIDE` *: of such a view: name → type of what `build` hands on to `across`, beside the features;
- `LATEST_ONLY` *: True where only the latest snapshot is wanted;
- `LOOKS_BACK` *: how long before a snapshot a row with a time may lie and still matter; older ones are not read;
- `SPACING` *: how far apart its snapshots stand at least, but for the latest.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from types import ModuleType
from typing import Final

import polars as pl

from motherlode import names

TTL: Final = timedelta(days=35)
"""Weekly snapshots, and four missed ones."""

STORABLE: Final[tuple[pl.DataType, ...]] = (
    pl.Boolean(),
    pl.Int32(),
    pl.Int64(),
    pl.Float32(),
    pl.Float64(),
    pl.String(),
    pl.Binary(),
    pl.Datetime("us", "UTC"),
)
"""What a feature may be, or a list of it: what Feast, the mart and the online store all have."""

Build = Callable[[Mapping[str, pl.LazyFrame], pl.LazyFrame], pl.LazyFrame]
"""(integrated tables by name, snapshots: one column `event_timestamp`) -> the key, event_timestamp, features."""
Across = Callable[[pl.LazyFrame], pl.LazyFrame]
"""Every customer's rows at some snapshots, without the features of `ACROSS` -> the same rows with them."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature.

    Attributes:
        dtype: its type in the mart.
        unit: what it is counted in: "days", "currency", "share 0–1", "baskets", "1–5", "text", ...
        doc: what it says, over what window, from which table; one line.
    """

    dtype: pl.DataType
    unit: str
    doc: str


@dataclass(frozen=True, slots=True)
class Words:
    """The company's own words that features are named after: slug → the word as its tables have it.

    Found in the data by the first build and kept, so that a view's columns stay.

    Attributes:
        departments: those that take the most money, the widest first.
        campaign_types: kinds of campaign.
        channels: of purchases, contacts and events.
        attributes: columns of `customers` that may be features → their type, as Polars writes it.
        purposes: what customers were asked to consent to.
    """

    departments: Mapping[str, str] = field(default_factory=dict)
    campaign_types: Mapping[str, str] = field(default_factory=dict)
    channels: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)
    purposes: tuple[str, ...] = ()


@dataclass(frozen=True)
class View:
    """A feature view: snapshots of a customer, or of an item.

    Attributes:
        name: the view's name, in Feast and in the mart.
        meanings: name → feature, in the order of the columns.
        build: the pure function that makes its rows, but for the features of `across`.
        reads: the integrated tables that its rows are made of.
        doc: what it holds: its module's docstring.
        module: the module that declares it.
        key: the entity's column.
        ttl: how long a row may be used after its event time.
        compared: the features that `across` adds.
        across: the pure function that compares customers with each other; None where nothing is compared.
        whole: True where a row is made of more than its own customer's rows.
        apart: table → columns, where a whole view's `build` may be given some keys' rows at a time.
        beside: name → type of what `build` hands on to `across` and is no feature; where `apart` says so.
        latest_only: True where only the latest snapshot is wanted.
        spacing: how far apart its snapshots stand at least, but for the latest; what a dear view saves by.
        looks_back: older rows of tables with a time don't matter to a snapshot; None: all do.
    """

    name: str
    meanings: Mapping[str, Feature]
    build: Build
    reads: tuple[str, ...]
    doc: str
    module: ModuleType
    key: str = names.CUSTOMER_ID
    ttl: timedelta = TTL
    compared: tuple[str, ...] = ()
    across: Across | None = None
    whole: bool = False
    apart: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    beside: Mapping[str, pl.DataType] = field(default_factory=dict)
    latest_only: bool = False
    spacing: timedelta = timedelta(0)
    looks_back: timedelta | None = None

    @property
    def features(self) -> dict[str, pl.DataType]:
        """Name → type, in the order of the columns."""
        return {name: feature.dtype for name, feature in self.meanings.items()}

    @property
    def summary(self) -> str:
        """The first line of `doc`."""
        return self.doc.partition("\n")[0]

    def plan(self, tables: Mapping[str, pl.LazyFrame], snapshots: pl.LazyFrame) -> pl.LazyFrame:
        """The whole view at once: the key, event_timestamp, then the features in their order."""
        rows = self.build(tables, snapshots)
        rows = rows if self.across is None else self.across(rows)
        return rows.select(self.key, names.EVENT_TIMESTAMP, *self.meanings)


def view(name: str, module: ModuleType, words: Words) -> View:
    """The view that a module declares; `feature_repo.features.own` checks a user's module first."""
    build: Build = module.build
    meanings: Mapping[str, Feature]
    if hasattr(module, "features"):
        meanings, build = module.features(words), partial(module.build, words=words)
    else:
        meanings = module.FEATURES
    whole = bool(getattr(module, "WHOLE", False))
    apart: Mapping[str, Sequence[str]] = getattr(module, "APART", {}) if whole else {}
    return View(
        name=name,
        meanings=meanings,
        build=build,
        reads=tuple(module.READS),
        doc=module.__doc__ or "",
        module=module,
        key=getattr(module, "KEY", names.CUSTOMER_ID),
        ttl=getattr(module, "TTL", TTL),
        compared=tuple(getattr(module, "ACROSS", ())),
        across=getattr(module, "across", None),
        whole=whole,
        apart={table: tuple(columns) for table, columns in apart.items()},
        beside=dict(getattr(module, "BESIDE", {})),
        latest_only=getattr(module, "LATEST_ONLY", False),
        spacing=getattr(module, "SPACING", timedelta(0)),
        looks_back=getattr(module, "LOOKS_BACK", None),
    )
