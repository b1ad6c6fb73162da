"""Which baskets teach, which choose, and which measure: by the calendar, or by each customer's own last baskets."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from motherlode import names
from motherlode.errors import DataError
from motherlode.manifest import Input
from training.two_tower.data import Examples

WINDOW: Final = timedelta(days=28)
"""How long the validation and the test last, each."""
_LEAST_WINDOWS: Final = 6
"""Data that span fewer windows get shorter ones, so that two thirds are left to learn from."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Split:
    """Baskets by what they are for.

    Attributes:
        protocol: which basket is the test, in a metric's words.
        train: what the towers learn from at first.
        validation: at most one basket a customer, the repeat weight is chosen on them.
        before: what is known before the test; the towers are carried forward over the latest of it, and the baselines
            count it.
        test: at most one basket a customer, and at least one.
    """

    protocol: str
    train: Examples
    validation: Examples
    before: Examples
    test: Examples

    def imputed(self, inputs: tuple[Input, ...]) -> "Split":
        """These, with the inputs' defaults where a feature is not known."""
        return replace(
            self,
            train=self.train.imputed(inputs),
            validation=self.validation.imputed(inputs),
            before=self.before.imputed(inputs),
            test=self.test.imputed(inputs),
        )


@dataclass(frozen=True)
class Cutoffs:
    """Two midnights in UTC: what is before `validation` teaches, what is not before `test` measures."""

    validation: datetime
    test: datetime

    @property
    def days(self) -> int:
        """From one to the other, and from there to the end of the data."""
        return (self.test - self.validation).days


def cutoffs(transactions: pl.DataFrame) -> Cutoffs:
    """One and two windows before the end of the last day; so the weekly snapshots fall on them.

    Raises:
        DataError: there are no transactions.
    """
    first, last = transactions.select(
        pl.col(names.EVENT_TIMESTAMP).min().alias("first"), pl.col(names.EVENT_TIMESTAMP).max().alias("last")
    ).row(0)
    if first is None:
        raise DataError("There are no purchases for the recommender.", "Give it a table of transactions with rows.")
    end = last.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    window = timedelta(days=max(1, min(WINDOW.days, (end.date() - first.date()).days // _LEAST_WINDOWS)))
    return Cutoffs(end - 2 * window, end - window)


def by_calendar(examples: Examples, when: Cutoffs) -> Split:
    """Nothing at or after a cutoff is seen before it, of no customer; tests are the first baskets after it.

    Raises:
        DataError: no customer has a basket to choose by, or none to test on.
    """
    past = examples.times < _microseconds(when.validation)
    before = examples.times < _microseconds(when.test)
    return Split(
        protocol=f"first basket of the last {when.days} days",
        train=examples.take(np.flatnonzero(past)),
        validation=_first(examples, before & ~past, when.validation, when.test),
        before=examples.take(np.flatnonzero(before)),
        test=_first(examples, ~before, when.test, when.test + timedelta(days=when.days)),
    )


def last_baskets(examples: Examples) -> Split:
    """Each customer's last basket is the test, the last but one the validation, the others teach.

    The usual protocol of next-basket figures. It is not split by the calendar: one customer's December teaches about
    another's November.
    """
    ages = examples.ages
    return Split(
        protocol="each customer's last basket",
        train=examples.take(np.flatnonzero(ages >= 2)),
        validation=examples.take(np.flatnonzero(ages == 1)),
        before=examples.take(np.flatnonzero(ages >= 1)),
        test=examples.take(np.flatnonzero(ages == 0)),
    )


def _first(examples: Examples, rows: npt.NDArray[np.bool_], start: datetime, stop: datetime) -> Examples:
    """The first of each customer's baskets among `rows`."""
    found = examples.take(np.flatnonzero(rows))
    if len(found) == 0:
        raise DataError(
            f"No known customer has a basket from {start:%Y-%m-%d} to {stop:%Y-%m-%d} to measure the recommender on.",
            "Give it purchases without a gap before their end.",
        )
    return found.take(np.flatnonzero(np.diff(found.customers, prepend=-1)))


def _microseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)
