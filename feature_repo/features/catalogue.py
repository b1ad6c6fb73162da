"""The catalogue: every feature view, in the order it is built."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import ModuleType
from typing import Final

import polars as pl

from feature_repo.features import (
    affinity,
    campaign_history,
    history,
    price_sensitivity,
    purchases,
    rfm,
    spending,
)
from motherlode import names

TTL: Final = timedelta(days=35)
"""Weekly snapshots, and four missed ones."""

Build = Callable[[Mapping[str, pl.LazyFrame], pl.LazyFrame], pl.LazyFrame]
"""(integrated tables by name, snapshots: one column `event_timestamp`) -> customer_id, event_timestamp, features."""


@dataclass(frozen=True)
class View:
    """A feature view: snapshots of a customer.

    Attributes:
        name: the view's name, in Feast and in `mart/<name>.parquet`.
        features: name → type, in the order of the columns.
        ttl: how long a row may be used after its event time.
        build: the pure function that makes its rows.
        doc: what it holds; the first line of its module.
        latest_only: True where only the latest snapshot is wanted.
    """

    name: str
    features: Mapping[str, pl.DataType]
    ttl: timedelta
    build: Build
    doc: str
    latest_only: bool = False


def _view(name: str, module: ModuleType, *, latest_only: bool = False) -> View:
    doc = (module.__doc__ or "").partition("\n")[0]
    return View(name, module.FEATURES, TTL, module.build, doc, latest_only)


VIEWS: Final[tuple[View, ...]] = (
    _view(names.RFM, rfm),
    _view(names.SPENDING, spending),
    _view(names.PRICE_SENSITIVITY, price_sensitivity),
    _view(names.AFFINITY, affinity),
    _view(names.CAMPAIGN_HISTORY, campaign_history),
    _view(names.HISTORY, history),
    _view(names.PURCHASES, purchases, latest_only=True),
)
