"""The CPU's plan of the point-in-time join gives what an obvious loop gives, on random histories."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as sized
from hypothesis import strategies as st

from feature_repo.stores import picks
from feature_repo.stores.picks import NEVER, NONE, Column, Combined

NEAR = st.integers(-6, 6)
FAR = st.integers(-(10**17), 10**17)
TIMES = st.one_of(NEAR, FAR)
ROWS = st.lists(st.tuples(st.integers(0, 3), TIMES, st.one_of(st.just(NEVER), TIMES)), max_size=30)
ASKED = st.lists(st.tuples(st.integers(0, 4), st.one_of(st.just(NEVER), TIMES)), max_size=20)


def searched(rows: list[Any], asked: list[Any], *, by_created: bool) -> list[int]:
    codes, events, created = (np.array([row[i] for row in rows], dtype=np.int64) for i in range(3))
    numbers, times, ages = np.arange(len(rows)), events, [created]
    if by_created:
        dated = np.flatnonzero(created != NEVER)
        numbers = dated[picks.known(codes[dated], events[dated], created[dated])]
        times, ages = np.maximum(events, created), []
    index = picks.build(numbers, codes[numbers], times[numbers], [a[numbers] for a in ages], keys=4, labels=len(asked))
    keys, at = (np.array([label[i] for label in asked], dtype=np.int64) for i in range(2))
    found: list[int] = index.search(keys, at).tolist()
    return found


def looked_for(rows: list[Any], asked: list[Any], *, by_created: bool) -> list[int]:
    found = []
    for key, at in asked:
        seen = [
            (event, created, number)
            for number, (of, event, created) in enumerate(rows)
            if of == key and event <= at and (not by_created or NEVER < created <= at)
        ]
        found.append(max(seen)[2] if seen else NONE)
    return found


@pytest.mark.parametrize("by_created", [False, True])
@sized(max_examples=100, deadline=None)
@given(rows=ROWS, asked=ASKED)
def test_it_picks_what_a_loop_over_every_row_picks(rows: list[Any], asked: list[Any], by_created: bool) -> None:
    assert searched(rows, asked, by_created=by_created) == looked_for(rows, asked, by_created=by_created)


@pytest.mark.parametrize("by_created", [False, True])
def test_two_thousand_small_histories_agree_with_a_loop_over_every_row(by_created: bool) -> None:
    for seed in range(2000):
        random = np.random.default_rng(seed)
        span = int(random.choice([3, 12, 10**6, 10**15]))
        rows = [
            (int(random.integers(4)), int(random.integers(-span, span)), int(random.integers(-span, 2 * span)))
            for _ in range(random.integers(25))
        ]
        rows = [(key, event, NEVER if random.random() < 0.1 else created) for key, event, created in rows]
        asked = [(int(random.integers(5)), int(random.integers(-span, 3 * span))) for _ in range(8)]
        asked += [(int(random.integers(5)), event + int(random.integers(-1, 2))) for _, event, _ in rows[:4]]
        assert searched(rows, asked, by_created=by_created) == looked_for(rows, asked, by_created=by_created), seed


@pytest.mark.parametrize("spread", ["weekly", "scattered", "one key has nearly all", "all at once"])
@pytest.mark.parametrize("by_created", [False, True])
def test_larger_histories_of_every_shape_agree_with_a_search_key_by_key(spread: str, by_created: bool) -> None:
    random = np.random.default_rng(5)
    n, keys, labels = 20_000, 300, 5_000
    codes = random.integers(keys, size=n)
    events = random.integers(10**15, size=n)
    if spread == "weekly":
        events = events // 10**13 * 10**13
    if spread == "one key has nearly all":
        codes = np.where(random.random(n) < 0.95, 7, codes)
    if spread == "all at once":
        events = np.full(n, 10**14)
    created = events + random.integers(10**13, size=n)
    wanted, at = random.integers(keys + 1, size=labels), random.integers(10**15, size=labels)
    at[::7] = events[random.integers(n, size=len(at[::7]))]
    numbers: picks.Integers = picks.known(codes, events, created) if by_created else np.arange(n)
    times = np.maximum(events, created) if by_created else events
    index = picks.build(numbers, codes[numbers], times[numbers], [created[numbers]], keys=keys, labels=labels)
    found = index.search(wanted, at)
    rank = np.lexsort((np.arange(n), created, events)).argsort()
    for key in range(0, keys, 17):
        mine = np.flatnonzero(codes == key)
        for label in np.flatnonzero(wanted == key):
            there = mine[(created if by_created else events)[mine] <= at[label]]
            assert found[label] == (there[rank[there].argmax()] if len(there) else NONE)
    assert (found[wanted == keys] == NONE).all()


@sized(deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(0, 3)] * 3), max_size=12),
    st.lists(st.tuples(*[st.integers(-1, 3)] * 3), max_size=12),
)
def test_several_keys_become_one_code_which_tells_them_apart(rows: list[Any], asked: list[Any]) -> None:
    codes = [np.array([row[i] for row in rows], dtype=np.int64) for i in range(3)]
    combined, known = picks.combine(codes, [4, 4, 4], len(rows))
    columns = [
        Column(np.array([label[i] for label in asked], dtype=np.int64), np.array([0, 1, 2, 3, NONE]), 4)
        for i in range(3)
    ]
    found = known.of(columns, slice(0, len(asked)))
    for label, code in zip(asked, found, strict=True):
        same = {int(combined[i]) for i, row in enumerate(rows) if row == label}
        assert {int(code)} == (same or {known.count})


def test_without_keys_all_labels_ask_about_one() -> None:
    codes, known = picks.combine([], [], 3)
    assert codes.tolist() == [0, 0, 0]
    assert known.of([], slice(0, 2)).tolist() == [0, 0]
    assert known == Combined((), 1)


def test_every_label_is_worked_on_once() -> None:
    times = np.zeros(600_000, dtype=np.int64)

    def count(part: slice) -> None:
        times[part] += 1

    picks.in_parts(len(times), count)
    assert (times == 1).all()


def test_what_a_part_fails_with_is_told() -> None:
    def fail(part: slice) -> None:
        raise ValueError(part.start)

    with pytest.raises(ValueError, match="0"):
        picks.in_parts(1, fail)
