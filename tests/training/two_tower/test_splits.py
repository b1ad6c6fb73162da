from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motherlode import names
from motherlode.errors import DataError
from training.ranking import ItemSets
from training.two_tower import data, splits
from training.two_tower.data import Examples
from training.two_tower.splits import Cutoffs

START = datetime(2026, 1, 1, tzinfo=UTC)
WHEN = Cutoffs(START + timedelta(days=10), START + timedelta(days=20))


def examples(days: dict[int, list[float]]) -> Examples:
    """Baskets of customers on days after `START`; each holds its own number."""
    owners = [customer for customer, own in sorted(days.items()) for _ in own]
    times = [START + timedelta(days=day) for _, own in sorted(days.items()) for day in own]
    n = len(owners)
    none = np.zeros((n, 1), dtype=np.int64)
    return Examples(
        customers=np.array(owners, dtype=np.int64),
        times=pl.Series(times, dtype=pl.Datetime("us", "UTC")).dt.epoch("us").to_numpy(),
        history=none,
        top=none,
        weights=none.astype(np.float32),
        features=np.empty((n, 0), dtype=np.float32),
        baskets=ItemSets.of([[number] for number in range(n)]),
    )


def test_calendar_splits_at_the_very_time() -> None:
    """At a cutoff is after it; of the baskets after it only each customer's first is asked for."""
    just = 1e-6 / 86_400
    split = splits.by_calendar(examples({0: [1, 10 - just, 10, 12, 20, 25], 1: [3, 20 - just], 2: [2, 29]}), WHEN)
    assert split.train.baskets.items.tolist() == [0, 1, 6, 8]
    assert split.validation.baskets.items.tolist() == [2, 7]
    assert split.before.baskets.items.tolist() == [0, 1, 2, 3, 6, 7, 8]
    assert split.test.baskets.items.tolist() == [4, 9]
    assert split.protocol == "first basket of the last 10 days"


@given(st.dictionaries(st.integers(0, 5), st.lists(st.floats(0, 29.9), min_size=1), min_size=1))
def test_no_customer_teaches_about_a_time_that_another_is_asked_for(days: dict[int, list[float]]) -> None:
    baskets = examples({customer: sorted(own) for customer, own in days.items()} | {9: [1, 11, 21]})
    split = splits.by_calendar(baskets, WHEN)
    assert split.train.times.max() < split.validation.times.min()
    assert split.before.times.max() < split.test.times.min()
    for asked in (split.validation, split.test):
        assert len(np.unique(asked.customers)) == len(asked)


def test_what_happens_in_the_test_s_weeks_changes_nothing_before(
    frames: tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame],
) -> None:
    """Other items sold there, other features: the same catalogue, defaults and baskets to learn from and choose by."""
    when = splits.cutoffs(frames[0])
    late = pl.col(names.EVENT_TIMESTAMP) >= when.test

    def elsewise(column: str, value: pl.Expr) -> pl.Expr:
        return pl.when(late).then(value).otherwise(pl.col(column)).alias(column)

    sold = frames[0].with_columns(elsewise(names.ITEM_ID, pl.col(names.ITEM_ID).sort().over(late)))
    told = frames[2].with_columns(elsewise("rfm__monetary_total", pl.lit(1e6, pl.Float32)))
    found = []
    for transactions, features in ((frames[0], frames[2]), (sold, told)):
        dataset = data.prepare(transactions, frames[1], features, when.validation)
        split = splits.by_calendar(dataset.examples, when)
        found.append((dataset, split, data.learn_inputs(dataset.columns, split.train.features)))
    (dataset, split, inputs), (other, other_split, other_inputs) = found
    assert other.catalogue.table == dataset.catalogue.table
    assert other_inputs == inputs
    for name in ("train", "validation", "before"):
        one, same = getattr(split, name), getattr(other_split, name)
        np.testing.assert_array_equal(same.features, one.features)
        np.testing.assert_array_equal(same.history, one.history)
        np.testing.assert_array_equal(same.baskets.items, one.baskets.items)
    assert not np.array_equal(other_split.test.baskets.items, split.test.baskets.items)
    assert np.nanmax(other_split.test.features) == 1e6


def test_last_baskets_are_each_customer_s_own() -> None:
    split = splits.last_baskets(examples({0: [1, 2, 3, 4], 1: [20, 21, 22]}))
    assert split.train.baskets.items.tolist() == [0, 1, 4]
    assert split.validation.baskets.items.tolist() == [2, 5]
    assert split.before.baskets.items.tolist() == [0, 1, 2, 4, 5]
    assert split.test.baskets.items.tolist() == [3, 6]


def test_nothing_to_test_on_is_refused() -> None:
    with pytest.raises(DataError, match="from 2026-01-21 to 2026-01-31"):
        splits.by_calendar(examples({0: [1, 11]}), WHEN)


@pytest.mark.parametrize(("days", "window"), [(365, 28), (60, 10), (2, 1)])
def test_cutoffs_are_midnights_and_leave_most_to_learn_from(days: int, window: int) -> None:
    """A year gives four weeks twice; little data give less."""
    times = [START + timedelta(hours=5), START + timedelta(days=days - 1, hours=9)]
    found = splits.cutoffs(pl.DataFrame({names.EVENT_TIMESTAMP: times}))
    end = START + timedelta(days=days)
    assert found == Cutoffs(end - timedelta(days=2 * window), end - timedelta(days=window))
    assert found.days == window


def test_no_purchases_are_refused() -> None:
    empty = pl.DataFrame(schema={names.EVENT_TIMESTAMP: pl.Datetime("us", "UTC")})
    with pytest.raises(DataError, match="no purchases"):
        splits.cutoffs(empty)
