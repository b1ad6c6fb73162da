"""Every feature view and the point-in-time join give the same on both devices: integers bit by bit, floats to 1e-6."""

from collections.abc import Callable, Mapping

import numpy as np
import polars as pl
import pytest

from feature_repo.features.catalogue import VIEWS, View
from feature_repo.stores import join
from motherlode import names
from motherlode.compute import Room

pytestmark = pytest.mark.gpu

SEEDS = range(12)
TOLERANCE = 1e-6

Histories = Callable[[int], Mapping[str, pl.LazyFrame]]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_a_view_is_the_same_on_both_devices(
    cpu: Room, gpu: Room, history: Histories, snapshots: pl.LazyFrame, view: View, seed: int
) -> None:
    wanted = snapshots.tail(1) if view.latest_only else snapshots
    ours, theirs = (
        backend.collect(view.build(history(seed), wanted)).sort(names.CUSTOMER_ID, names.EVENT_TIMESTAMP)
        for backend in (cpu, gpu)
    )
    assert theirs.schema == ours.schema
    assert ours.columns == [names.CUSTOMER_ID, names.EVENT_TIMESTAMP, *view.features]
    assert ours.height > 0
    for name in ours.columns:
        _assert_same(ours[name], theirs[name])


def _assert_same(ours: pl.Series, theirs: pl.Series) -> None:
    if isinstance(ours.dtype, pl.List):
        assert theirs.list.len().equals(ours.list.len(), null_equal=True), ours.name
        ours, theirs = ours.explode(), theirs.explode()
    assert theirs.is_null().equals(ours.is_null()), f"{ours.name}: other nulls"
    if ours.dtype.is_float():
        a, b = ours.drop_nulls().to_numpy(), theirs.drop_nulls().to_numpy()
        assert np.isfinite(a).all(), f"{ours.name}: NaN or infinity"
        assert np.allclose(b, a, rtol=TOLERANCE, atol=TOLERANCE), ours.name
    else:
        assert theirs.equals(ours, null_equal=True), ours.name


@pytest.mark.parametrize("by_created", [False, True])
@pytest.mark.parametrize("ttl_us", [None, 3, 0])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_point_in_time_join_is_the_same_on_both_devices(
    cpu: Room, gpu: Room, seed: int, ttl_us: int | None, by_created: bool
) -> None:
    random = np.random.default_rng(seed)
    rows, asked = 200, 300
    features = pl.LazyFrame(
        {
            "key": [("1", "11", "é", "x")[i] for i in random.integers(4, size=rows)],
            join.EVENT: random.integers(0, 12, size=rows),
            join.CREATED: [None if each > 13 else int(each) for each in random.integers(0, 15, size=rows)],
            join.ROW: np.arange(rows),
            "value": [None if i % 5 == 0 else i for i in range(rows)],
        }
    )
    labels = pl.LazyFrame(
        {
            "key": [("1", "11", "é", "nobody", None)[i] for i in random.integers(5, size=asked)],
            join.TIME: [None if each > 14 else int(each) for each in random.integers(-2, 16, size=asked)],
            join.LABEL: np.arange(asked),
        }
    )
    answers = []
    for backend, kind in ((cpu, "cpu"), (gpu, "gpu")):
        picked = join.pick(labels, features, ["key"], ttl_us=ttl_us, plan=join.PLANS[kind], by_created=by_created)
        answers.append(backend.collect(join.take(picked, features, ["value"])))
    assert answers[0].height == asked
    assert answers[1].equals(answers[0])
