"""Every feature view and the point-in-time join give the same on both devices: integers bit by bit, floats to 1e-6.

Where there is no GPU the same comparisons run between Polars' two engines on the CPU: the suite's own check.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest

from feature_repo.features import frames
from feature_repo.features.catalogue import MODULES
from feature_repo.stores import join, picks
from motherlode import names
from motherlode.compute import Room

SEEDS = range(12)
FEWER = range(2)
TOLERANCE = 1e-6
KEYED = [name for name, module in MODULES.items() if not getattr(module, "WHOLE", False)]
APART = [name for name, module in MODULES.items() if getattr(module, "APART", None)]
COMPARED = [name for name, module in MODULES.items() if hasattr(module, "across")]
DEVICES = [
    *(pytest.param("gpu", seed, marks=pytest.mark.gpu, id=f"gpu-{seed}") for seed in SEEDS),
    *(pytest.param("in-memory", seed, id=f"in-memory-{seed}") for seed in FEWER),
]

Tables = Mapping[str, pl.LazyFrame]


@pytest.mark.parametrize(("other", "seed"), DEVICES, indirect=["other"])
@pytest.mark.parametrize("name", MODULES)
def test_a_view_is_the_same_on_both_devices(cpu: Room, other: Room, world: Any, name: str, seed: int) -> None:
    view = world.views[name]
    ours, theirs = (room.collect(view.plan(world.tables(seed), world.snapshots)) for room in (cpu, other))
    assert ours.columns == [view.key, names.EVENT_TIMESTAMP, *view.features]
    assert ours.height > 0
    assert_same(ours, theirs, view.key)


@pytest.mark.parametrize(("other", "seed"), DEVICES, indirect=["other"])
@pytest.mark.parametrize("name", KEYED)
def test_a_partition_of_a_view_is_the_same_on_both_devices(
    cpu: Room, other: Room, world: Any, as_partition: Callable[[Tables], Tables], name: str, seed: int
) -> None:
    """As the engine runs it: customers by number, each device from the baskets that it computed itself."""
    view, answers = world.views[name], list[pl.DataFrame]()
    tables = as_partition(world.tables(seed))
    for room in (cpu, other):
        baskets = room.collect(frames.baskets(tables)).lazy()
        answers.append(room.collect(view.build({**tables, frames.BASKETS: baskets}, world.snapshots)))
    assert_same(answers[0], answers[1], view.key)


@pytest.mark.parametrize(("other", "seed"), DEVICES, indirect=["other"])
@pytest.mark.parametrize("name", APART)
def test_some_keys_rows_of_a_view_are_the_same_on_both_devices(
    cpu: Room, other: Room, world: Any, name: str, seed: int
) -> None:
    """As the engine runs it: half of the keys at a time, of the columns that the view takes; then all compared."""
    view, tables = world.views[name], world.tables(seed)
    parts: list[list[pl.DataFrame]] = [[], []]
    for half in (0, 1):
        mine = {
            table: tables[table].select(columns).filter(pl.col(view.key).rank("dense") % 2 == half).collect().lazy()
            for table, columns in view.apart.items()
        }
        for found, room in zip(parts, (cpu, other), strict=True):
            found.append(room.collect(view.build({**tables, **mine}, world.snapshots)))
    ours, theirs = (pl.concat(found) for found in parts)
    assert all(part.height for part in parts[0])
    assert set(view.beside) < set(ours.columns)
    assert_same(ours, theirs, view.key)
    if view.across is not None:
        compared, whole = cpu.collect(view.across(ours.lazy())), view.plan(tables, world.snapshots)
        assert_same(compared, other.collect(view.across(theirs.lazy())), view.key)
        assert_same(compared.select(view.key, names.EVENT_TIMESTAMP, *view.features), cpu.collect(whole), view.key)


@pytest.mark.parametrize(("other", "seed"), DEVICES, indirect=["other"])
@pytest.mark.parametrize("name", COMPARED)
def test_a_comparison_is_the_same_on_both_devices(cpu: Room, other: Room, world: Any, name: str, seed: int) -> None:
    """Of rows that lie in memory, as the engine has them after all partitions."""
    view = world.views[name]
    rows = cpu.collect(view.build(world.tables(seed), world.snapshots)).lazy()
    ours, theirs = (room.collect(view.across(rows)) for room in (cpu, other))
    assert ours.height > 0
    assert_same(ours, theirs, view.key)


def assert_same(ours: pl.DataFrame, theirs: pl.DataFrame, key: str) -> None:
    """The same rows, in any order."""
    assert theirs.schema == ours.schema, "another schema"
    by = [key, names.EVENT_TIMESTAMP]
    ours, theirs = ours.sort(by), theirs.sort(by)
    assert theirs.select(by).equals(ours.select(by)), "other rows"
    for name in ours.columns:
        _assert_same(ours[name], theirs[name])


def _assert_same(ours: pl.Series, theirs: pl.Series) -> None:
    assert theirs.is_null().equals(ours.is_null()), f"{ours.name}: other nulls"
    if isinstance(ours.dtype, pl.List):
        assert theirs.list.len().equals(ours.list.len(), null_equal=True), f"{ours.name}: other lengths"
        _assert_same(ours.explode(), theirs.explode())
    elif ours.dtype.is_float():
        a, b = ours.drop_nulls().to_numpy(), theirs.drop_nulls().to_numpy()
        assert np.isfinite(a).all(), f"{ours.name}: NaN or infinity"
        assert np.allclose(b, a, rtol=TOLERANCE, atol=TOLERANCE), f"{ours.name}: other numbers"
    else:
        assert theirs.equals(ours, null_equal=True), f"{ours.name}: other values"


@pytest.mark.parametrize(
    ("spoilt", "found"),
    [
        (pl.col("count") + 1, "count: other values"),
        (pl.col("share") * (1 + 1e-5), "share: other numbers"),
        (pl.col("share") / 0.0, "share: other numbers"),
        (pl.lit(None, dtype=pl.Float32).alias("share"), "share: other nulls"),
        (pl.col("latest").list.reverse(), "latest: other values"),
        (pl.col("latest").list.head(1), "latest: other lengths"),
        (pl.col("count").cast(pl.Int64), "another schema"),
        (pl.col(names.CUSTOMER_ID) + "x", "other rows"),
    ],
)
def test_the_suite_sees_a_difference(spoilt: pl.Expr, found: str) -> None:
    rows = pl.DataFrame(
        {names.CUSTOMER_ID: ["a", "b"], names.EVENT_TIMESTAMP: [1, 1], "count": [1, 2], "share": [0.5, 0.25]},
        schema_overrides={"count": pl.Int32, "share": pl.Float32},
    ).with_columns(pl.Series("latest", [["x", "y"], ["z", "w"]]))
    assert_same(rows, rows.reverse(), names.CUSTOMER_ID)
    with pytest.raises(AssertionError, match=found):
        assert_same(rows, rows.with_columns(spoilt), names.CUSTOMER_ID)


@pytest.mark.parametrize("by_created", [False, True])
@pytest.mark.parametrize("ttl_us", [None, 3, 0])
@pytest.mark.parametrize(("other", "seed"), DEVICES, indirect=["other"])
def test_the_point_in_time_join_is_the_same_on_both_devices(
    other: Room, seed: int, ttl_us: int | None, by_created: bool
) -> None:
    """The CPU's index and the GPU's union, sort and fill, on keys and times that often meet."""
    random = np.random.default_rng(seed)
    rows, asked = 200, 300
    features = pl.DataFrame(
        {
            "key": [("1", "11", "é", "x")[i] for i in random.integers(4, size=rows)],
            join.EVENT: random.integers(0, 12, size=rows),
            join.CREATED: [None if each > 13 else int(each) for each in random.integers(0, 15, size=rows)],
            join.ROW: np.arange(rows),
            "value": [None if i % 5 == 0 else i for i in range(rows)],
        }
    )
    labels = pl.DataFrame(
        {
            "key": [("1", "11", "é", "nobody", None)[i] for i in random.integers(5, size=asked)],
            join.TIME: [None if each > 14 else int(each) for each in random.integers(-2, 16, size=asked)],
            join.LABEL: np.arange(asked),
        }
    )
    picked = join.pick(labels.lazy(), features.lazy(), ["key"], ttl_us=ttl_us, by_created=by_created)
    theirs = other.collect(join.take(picked, features.lazy(), ["value"]))
    searched = _searched(labels, features, ttl_us=ttl_us, by_created=by_created)
    assert theirs["value"].to_list() == [None if row is None else features["value"][row] for row in searched]


def _searched(
    labels: pl.DataFrame, features: pl.DataFrame, *, ttl_us: int | None, by_created: bool
) -> Sequence[int | None]:
    """The row that the CPU's plan picks for each label."""
    keys = features["key"].unique().sort().to_list()
    codes = np.array([keys.index(key) for key in features["key"]])
    events = features[join.EVENT].to_numpy()
    created = features[join.CREATED].fill_null(picks.NEVER).to_numpy()
    numbers, times = np.arange(features.height), events
    if by_created:
        dated = np.flatnonzero(features[join.CREATED].is_not_null().to_numpy())
        numbers = dated[picks.known(codes[dated], events[dated], created[dated])]
        times = np.maximum(events, created)
    ages = (events[numbers], created[numbers])
    index = picks.build(numbers, codes[numbers], times[numbers], ages, keys=len(keys), labels=labels.height)
    wanted = np.array([keys.index(key) if key in keys else len(keys) for key in labels["key"]])
    asked = labels[join.TIME].fill_null(picks.NEVER).to_numpy()
    found = index.search(wanted, asked)
    return [
        None if row == picks.NONE or (ttl_us is not None and time - events[row] > ttl_us) else int(row)
        for row, time in zip(found, asked, strict=True)
    ]
