"""The population stability index: nothing where nothing moved, finite whatever did."""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from motherlode import stability
from motherlode.stability import Seen, bins, counted, index, of_counts, seen

DRAW = np.random.default_rng(17)
Drawn = Callable[[int], npt.NDArray[np.float64]]


def test_it_is_the_sum_of_share_differences_times_log_ratios() -> None:
    expected = (0.4 - 0.5) * math.log(0.4 / 0.5) + (0.6 - 0.5) * math.log(0.6 / 0.5)
    assert index((0.5, 0.5), (0.4, 0.6)) == pytest.approx(expected)
    assert of_counts((500_000, 500_000), (400_000, 600_000)) == pytest.approx(expected, rel=1e-3)
    assert of_counts((0, 10), (0, 10)) == 0
    assert 0.25 < index((1.0, 0.0), (0.0, 1.0)) < 100


@pytest.mark.parametrize(
    "drawn",
    [
        lambda n: DRAW.normal(size=n),
        lambda n: 1.0 * DRAW.poisson(1.3, n),
        lambda n: 1.0 * DRAW.poisson(9, n),
        lambda n: np.where(DRAW.random(n) < 0.03, 1.0, 0.0),
        lambda n: np.where(DRAW.random(n) < 0.6, 0.0, DRAW.random(n)),
        lambda n: np.full(n, 7.3),
        lambda n: np.full(n, np.nan),
        lambda n: np.where(DRAW.random(n) < 0.2, np.nan, DRAW.integers(1, 6, n)),
    ],
    ids=["normal", "few counts", "counts", "rare", "half zero", "constant", "nothing", "fifths with nulls"],
)
def test_the_same_distribution_is_no_drift_whatever_its_ties(drawn: Drawn) -> None:
    for _ in range(10):
        assert seen(drawn(20_000)).psi(drawn(2_000)) < 0.05


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (lambda n: DRAW.normal(size=n), lambda n: DRAW.normal(0.7, size=n)),
        (lambda n: np.where(DRAW.random(n) < 0.03, 1.0, 0.0), lambda n: np.where(DRAW.random(n) < 0.2, 1.0, 0.0)),
        (lambda n: np.ones(n), lambda n: np.zeros(n)),
        (lambda n: np.zeros(n), lambda n: np.ones(n)),
        (lambda n: DRAW.random(n), lambda n: np.full(n, 0.5)),
        (lambda n: DRAW.random(n), lambda n: np.where(DRAW.random(n) < 0.1, np.nan, DRAW.random(n))),
        (lambda n: np.full(n, np.nan), lambda n: np.zeros(n)),
        (lambda n: np.zeros(n), lambda n: np.full(n, np.inf)),
        (lambda n: DRAW.integers(1, 4, n) * 2.0, lambda n: DRAW.integers(2, 8, n) * 1.0),
    ],
    ids=["shifted", "rare", "fallen", "risen", "stuck", "nulls", "filled", "infinite", "never seen"],
)
def test_another_distribution_is_above_a_quarter_and_finite(before: Drawn, now: Drawn) -> None:
    assert 0.25 < seen(before(20_000)).psi(now(2_000)) < 100


def test_a_value_that_fills_a_tenth_is_a_bin_and_so_is_each_of_a_few() -> None:
    few = bins(np.array([0.0, 1.0, 5.0]))
    assert counted(few, np.array([0.0, 1.0, 1.0, 3.0, 5.0, 9.0])).tolist() == [0, 1, 0, 2, 1, 1, 1]
    zeros = np.concatenate([np.zeros(600), np.arange(1, 401)])
    many = bins(zeros)
    assert counted(many, np.array([-1.0, 0.0, 0.0, 0.5, 500.0])).tolist() == [1, 2, 1, 0, 0, 1]


def test_what_rounding_makes_of_a_value_is_the_same_value() -> None:
    values = np.array([0.1, 0.3, 1234.56] * 500)
    profile = seen(values)
    assert profile.psi(values.astype(np.float32)) == 0
    assert profile.psi(values * (1 + 1e-7)) == 0


def test_what_is_kept_is_the_bins_their_shares_and_the_nulls() -> None:
    kept = seen(np.array([1.0, 1.0, 2.0, np.nan]))
    assert kept.edges == pytest.approx((0.999999, 1.000001, 1.999998, 2.000002), abs=1e-9)
    assert kept.shares == pytest.approx((0, 2 / 3, 0, 1 / 3, 0))
    assert kept.nulls == 0.25
    assert seen(np.empty(0)) == Seen((), (0.0,), 0.0)
    assert seen(np.full(3, np.nan)) == Seen((), (0.0,), 1.0)
    assert len(stability.around(np.array([1.0, 2.0]))) == 4
