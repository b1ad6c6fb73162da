import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from training.ranks import Ranks

COLUMNS = arrays.arrays(np.float32, st.tuples(st.integers(1, 60), st.integers(1, 3)), elements=st.integers(-50, 50))
VALUES = st.floats(-1e9, 1e9, width=32)


@given(x=COLUMNS, probes=st.lists(VALUES, min_size=2, max_size=20))
def test_ranks_rise_stay_between_0_and_1_and_are_flat_beyond_what_was_seen(
    x: npt.NDArray[np.float32], probes: list[float]
) -> None:
    ranks = Ranks.fit(x)
    rows = np.repeat(np.sort(np.array(probes, dtype=np.float32))[:, None], x.shape[1], axis=1)
    answer = ranks.transform(rows)
    assert ((answer >= 0) & (answer <= 1)).all()
    assert (np.diff(answer, axis=0) >= 0).all()
    ends = ranks.transform(np.stack([x.min(axis=0), x.max(axis=0)]))
    beyond = ranks.transform(np.stack([x.min(axis=0) - 1e6, x.max(axis=0) + 1e6]))
    assert np.array_equal(ends, beyond)


@given(x=COLUMNS, probes=st.lists(VALUES, min_size=1, max_size=20))
def test_the_ramps_add_up_to_the_ranks(x: npt.NDArray[np.float32], probes: list[float]) -> None:
    ranks = Ranks.fit(x)
    rows = np.repeat(np.array(probes, dtype=np.float32)[:, None], x.shape[1], axis=1).astype(np.float64)
    ramps = ranks.ramps()
    total = np.tile(ramps.base, (len(rows), 1))
    for column, low, high, slope in zip(ramps.columns, ramps.low, ramps.high, ramps.slopes, strict=True):
        total[:, column] += slope * (np.clip(rows[:, column], low, high) - low)
    assert total == pytest.approx(ranks.transform(rows), abs=1e-9)


def test_equal_values_share_their_mean_rank() -> None:
    ranks = Ranks.fit(np.array([[0.0]] * 6 + [[5.0]] * 4))
    assert ranks.transform(np.array([[0.0], [5.0]])).ravel().tolist() == [0.3, 0.8]


def test_a_constant_column_ranks_in_the_middle() -> None:
    ranks = Ranks.fit(np.full((7, 1), 3.0))
    assert ranks.transform(np.array([[-1.0], [3.0], [1e30]])).ravel().tolist() == [0.5, 0.5, 0.5]
    assert len(ranks.ramps().columns) == 0


def test_an_even_column_ranks_evenly() -> None:
    ranks = Ranks.fit(np.arange(1000.0)[:, None])
    probes = np.array([100.0, 500.0, 900.0])
    assert ranks.transform(probes[:, None]).ravel() == pytest.approx(probes / 1000, abs=2e-3)
