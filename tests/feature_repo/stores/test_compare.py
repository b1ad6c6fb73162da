"""What a comparison of two generations says, on rows whose right answer is known."""

from typing import Any

import numpy as np
import pytest

from feature_repo.stores.compare import Comparison, Thresholds, compare
from motherlode import redis_server
from motherlode.online.keys import row_key
from motherlode.online.writer import OnlineWriter, Target
from motherlode.packed import FORMAT_VERSION, Column, Schema, Values, encode
from motherlode.packed.header import FORM
from motherlode.redis_server import connect

N = 1000
RNG = np.random.default_rng(0)
WORDS = np.array(["a", "b", "c"], dtype=object)


@pytest.fixture
def client(server: Any) -> Any:
    with connect(server) as connection:
        connection.flushdb()
        yield connection


def put(client: Any, generation: int, dtype: str, data: Any, valid: Any = None, *, event: int = 1, n: int = N) -> None:
    """One feature `x` of `n` entities."""
    schema = Schema("v", (Column("x", dtype),))
    writer, target = OnlineWriter(client, "p", lambda _: ""), Target("v", generations=(generation,))
    writer.declare(schema, target)
    values = Values(data[:n], np.ones(n, dtype=np.bool_) if valid is None else valid[:n])
    times = np.full(n, event, dtype=np.int64)
    writer.write(target, [f"{i}" for i in range(n)], encode(schema, {"x": values}, times, times))


def compared(client: Any, sample: int = 10_000) -> Comparison:
    return compare(client, "p", "v", (0, 1), lambda: N, Thresholds(), sample)


def objects(items: list[Any]) -> Any:
    found = np.empty(len(items), dtype=object)
    found[:] = items
    return found


@pytest.mark.parametrize(
    ("dtype", "before", "alike", "shifted"),
    [
        ("float64", RNG.normal(size=N), RNG.normal(size=N), RNG.normal(loc=2, size=N)),
        ("int64", RNG.integers(0, 99, N), RNG.integers(0, 99, N), RNG.integers(0, 30, N)),
        ("int32", RNG.integers(0, 3, N), RNG.integers(0, 3, N), RNG.integers(0, 9, N)),
        ("bool", RNG.random(N) < 0.5, RNG.random(N) < 0.5, RNG.random(N) < 0.9),
        ("string", RNG.choice(WORDS, N), RNG.choice(WORDS, N), np.where(RNG.random(N) < 0.6, "d", "a").astype(object)),
        (
            "list<int64>",
            objects([[1] * int(k) for k in RNG.integers(0, 9, N)]),
            objects([[2] * int(k) for k in RNG.integers(0, 9, N)]),
            objects([[2] * int(k) for k in RNG.integers(7, 20, N)]),
        ),
    ],
)
def test_a_shift_is_told_from_chance(client: Any, dtype: str, before: Any, alike: Any, shifted: Any) -> None:
    put(client, 0, dtype, before)
    put(client, 1, dtype, alike, event=2)
    same = compared(client)
    assert same.features[0].shift == pytest.approx(0, abs=0.05)
    assert (same.refusals, same.unchanged, same.features[0].unequal) == ((), 0, None)
    put(client, 1, dtype, shifted, event=3)
    (refusal,) = compared(client).refusals
    assert "'x' has shifted" in refusal


def test_values_that_changed_without_their_times_are_told(client: Any) -> None:
    data = RNG.normal(size=N)
    data[0] = np.nan
    put(client, 0, "float64", data)
    put(client, 1, "float64", data)
    same = compared(client)
    assert (same.sampled, same.unchanged, same.features[0].unequal, same.refusals) == (N, N, 0.0, ())
    put(client, 1, "float64", np.where(np.arange(N) < 20, 9.0, data), np.arange(N) >= 5)
    assert compared(client).features[0].unequal == 0.02


def test_more_nulls_and_fewer_rows_are_told(client: Any) -> None:
    data = RNG.normal(size=N)
    put(client, 0, "float64", data)
    put(client, 1, "float64", data, np.arange(N) % 10 > 0, event=2, n=900)
    told = compared(client)
    assert (told.live_rows, told.shadow_rows) == (N, 900)
    assert told.features[0].nulls_shadow == pytest.approx(0.1)
    assert [refusal.split(":")[0] for refusal in told.refusals] == [
        "1,000 rows were sent and Redis holds 900 of them",
        "it has 900 rows, what is read 1,000",
        "feature 'x' is null in 10.0%, not 0.0%",
    ]


def test_a_key_that_a_scan_meets_twice_is_one_row(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put(client, 0, "float64", np.zeros(N))
    put(client, 1, "float64", np.zeros(N), n=N - 1)
    scan = redis_server.scan
    monkeypatch.setattr(redis_server, "scan", lambda *given: (keys + keys[:9] for keys in scan(*given)))
    told = compared(client)
    assert (told.live_rows, told.shadow_rows) == (N, N - 1)
    assert told.refusals == ("1,000 rows were sent and Redis holds 999 of them",)


def test_a_sample_is_of_the_same_entities_on_both_sides(client: Any) -> None:
    data = np.arange(float(N))
    put(client, 0, "float64", data)
    put(client, 1, "float64", data)
    told = compared(client, sample=50)
    assert (told.live_rows, told.sampled, told.unchanged) == (N, 50, 50)


def test_few_values_and_times_are_not_judged_by_their_distribution(client: Any) -> None:
    put(client, 0, "int64", np.zeros(N, dtype=np.int64), n=50)
    put(client, 1, "int64", np.ones(N, dtype=np.int64), event=2)
    assert compared(client).features[0].shift is None
    put(client, 0, "timestamp", np.arange(N), event=5)
    put(client, 1, "timestamp", np.arange(N) + 10**9, event=6)
    assert compared(client).features[0].shift is None


def test_a_feature_of_another_type_is_refused(client: Any) -> None:
    put(client, 0, "int64", np.arange(N))
    put(client, 1, "float64", np.arange(float(N)), event=2)
    assert "'x' is retyped" in compared(client).refusals[0]


@pytest.mark.parametrize(
    ("unreadable", "said"), [(0, "no row of what is read can be read"), (1, "no row of it can be read")]
)
def test_a_side_of_which_no_row_can_be_read_is_refused_and_not_taken_for_alike(
    client: Any, unreadable: int, said: str
) -> None:
    for generation in (0, 1):
        put(client, generation, "float64", np.ones(N))
    assert compared(client).refusals == ()
    for i in range(N):
        client.setrange(row_key("p", "v", f"{i}", unreadable), FORM, bytes([FORMAT_VERSION - 1]))
    told = compared(client)
    assert told.sampled == 0
    assert said in " ".join(told.refusals)


def test_sides_that_share_no_entity_are_refused(client: Any) -> None:
    put(client, 0, "float64", np.ones(N))
    put(client, 1, "float64", np.ones(N))
    for i in range(N):
        client.rename(row_key("p", "v", f"{i}", 1), row_key("p", "v", f"other {i}", 1))
    assert compared(client).refusals == ("none of the entities looked at has a row that can be read on both sides",)
