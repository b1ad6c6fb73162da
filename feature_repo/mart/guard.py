"""A view cannot see past its snapshot: checked on a sample of customers whenever a view's code is new here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import polars as pl

from feature_repo.features.view import View, Words
from feature_repo.mart import timeline, views
from feature_repo.mart.plans import Plans, declared
from feature_repo.mart.timeline import Timeline
from feature_repo.warehouse.contract import TABLES
from motherlode import names
from motherlode.compute import choose, room
from motherlode.errors import DataError
from motherlode.settings import Settings

SAMPLE: Final = 200
"""Customers that are looked at."""


@dataclass(frozen=True)
class Check:
    """What is to be looked at.

    Attributes:
        settings: where, and on which device; without secrets.
        words: the company's words.
        timeline: what rows are made from.
        views: the names of those whose code is new.
        snapshots: all that there are.
    """

    settings: Settings
    words: Words
    timeline: Timeline
    views: tuple[str, ...]
    snapshots: tuple[datetime, ...]


def check(asked: Check) -> None:
    """Compare the views' rows at two snapshots with their rows on tables that end there.

    Raises:
        DataError: a view sees past its snapshot, naming it, a feature and how many customers tell it.
        DeviceError: a plan does not run on the device.
    """
    known = {view.name: view for view in views.load(asked.settings, asked.words)}
    plans = Plans(room(choose(asked.settings.device)), asked.timeline)
    tables = sample(asked.settings, asked.timeline)
    for name in asked.views:
        for moment in _two(asked.snapshots):
            _check(plans, known[name], tables, moment)


def sample(settings: Settings, made: Timeline) -> dict[str, pl.DataFrame]:
    """Every table, of the first customers of the first partitions."""
    found: list[dict[str, pl.DataFrame]] = []
    wanted = SAMPLE
    for number in range(made.partitions):
        keyed = timeline.partition(settings, made, number)
        ids = pl.concat([table[names.CUSTOMER_ID] for table in keyed.values()]).unique().sort().head(wanted)
        chosen = pl.col(names.CUSTOMER_ID).is_in(ids.implode())
        found.append({name: table.filter(chosen) for name, table in keyed.items()})
        wanted -= len(ids)
        if not wanted:
            break
    some = {name: pl.concat([each[name] for each in found], how="diagonal_relaxed") for name in found[0]}
    return some | timeline.unkeyed(settings, made)


def ended(tables: Mapping[str, pl.DataFrame], moment: datetime) -> dict[str, pl.DataFrame]:
    """The tables as they stood at a moment: without what happened at it or later.

    What a company knows beforehand, such as a campaign's end, and states without a history stay.
    """
    found = {}
    for name, table in tables.items():
        time = TABLES[name].time
        kept = table if time is None else table.filter((pl.col(time) < moment) | pl.col(time).is_null())
        if name == names.CUSTOMERS and names.REGISTERED_AT in kept.columns:
            registered = pl.col(names.REGISTERED_AT)
            kept = kept.filter((registered < moment) | registered.is_null())
        if name == names.TAGS:
            withdrawn = pl.col(names.ENDED_AT)
            kept = kept.with_columns(pl.when(withdrawn < moment).then(withdrawn).alias(names.ENDED_AT))
        found[name] = kept
    return found


def _two(snapshots: Sequence[datetime]) -> list[datetime]:
    """Two snapshots with data behind them and before them, where there are as many."""
    return sorted({snapshots[len(snapshots) // 3], snapshots[2 * len(snapshots) // 3]})


def _check(plans: Plans, view: View, tables: Mapping[str, pl.DataFrame], moment: datetime) -> None:
    open_, closed = (_rows(plans, view, each, moment) for each in (tables, ended(tables, moment)))
    both = open_.join(closed, on=view.key, how="full", coalesce=True, suffix="_ended")
    for name in (names.EVENT_TIMESTAMP, *view.features):
        differ = both.filter(pl.col(name).ne_missing(pl.col(f"{name}_ended"))).height
        if differ:
            what = "gives other rows" if name == names.EVENT_TIMESTAMP else f"gives another {name!r}"
            raise DataError(
                f"The view {view.name!r} sees past its snapshot: at {moment:%Y-%m-%d %H:%M} UTC it {what} for {differ} "
                f"of {both.height} {view.key}s where later rows are taken away.",
                f"Use only rows with {names.EVENT_TIMESTAMP} < the snapshot, in {view.module.__file__}; "
                "`frames.seen`, `sums` and `known` do.",
            )


def _rows(plans: Plans, view: View, tables: Mapping[str, pl.DataFrame], moment: datetime) -> pl.DataFrame:
    """A view's rows at a snapshot, compared among these customers alone."""
    lazy = declared(view, {name: table.lazy() for name, table in tables.items()}, plans.timeline)
    rows = plans.rows(view, lazy, [moment], named=True)
    return rows if view.across is None or view.whole else plans.compared(view, rows)
