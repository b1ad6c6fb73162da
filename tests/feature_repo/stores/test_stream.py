"""Which rows a run takes, found in shares and lots of any size, in row groups of any size."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
import pytest
from feast import FileSource
from feast.types import Int64, String
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_repo.mart.manifest import Manifest
from feature_repo.stores import sources, stream
from feature_repo.stores.rows import Packer
from feature_repo.stores.stream import Wanted
from motherlode.errors import DataError

TIMES = st.integers(0, 20)
ROWS = st.lists(st.tuples(st.sampled_from(["a", "b", "c", "d", None]), TIMES, st.one_of(st.none(), TIMES)), max_size=30)
BOUNDS = st.tuples(TIMES, TIMES, st.one_of(st.none(), TIMES), st.one_of(st.none(), TIMES))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, size in (("BATCH", 20), ("LOT", 3), ("KEYS", 4), ("ALONE", 6), ("SHARE", 5)):
        monkeypatch.setattr(stream, name, size)
    yield


def opened(repo: Any, rows: list[Any], group: int) -> sources.Source:
    time = pl.Datetime("us", "UTC")
    frame = pl.DataFrame(rows, schema={"k": pl.String, "t": pl.Int64, "created": pl.Int64}, orient="row")
    frame = frame.with_columns(pl.col("t").cast(time), pl.col("created").cast(time), x=pl.int_range(pl.len()))
    frame.write_parquet(repo.mart / "v.parquet", row_group_size=group)
    source = FileSource(path=str(repo.mart / "v.parquet"), timestamp_field="t", created_timestamp_column="created")
    return sources.open_source(repo.config, source, mart=Manifest())


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(ROWS, BOUNDS, st.integers(1, 9))
def test_the_newest_of_each_key_is_what_a_sort_says(
    repo: Any, small: None, rows: list[Any], bounds: Any, group: int
) -> None:
    first, last, late, horizon = bounds
    expected: dict[str, tuple[Any, int]] = {}
    for number, (key, event, created) in enumerate(rows):
        came = late is not None and created is not None and created > late
        meant = (event >= first or came) and event <= last and (horizon is None or event > horizon)
        age = (event, -1 if created is None else created, number)
        if key is not None and meant and (key not in expected or age > expected[key][0]):
            expected[key] = (age, number)
    marks = stream.newest(opened(repo, rows, group), ["k"], Wanted(first, last, late, horizon))
    assert np.flatnonzero(marks).tolist() == sorted(number for _, number in expected.values())


def test_integer_keys_and_several_keys_and_none_are_told_apart(repo: Any) -> None:
    rows = [("a", 1, 1), ("a", 2, 1), ("b", 1, 1), ("b", 1, 1)]
    source = opened(repo, rows, 2)
    wanted = Wanted(0, 9)
    assert np.flatnonzero(stream.newest(source, ["x"], wanted)).tolist() == [0, 1, 2, 3]
    assert np.flatnonzero(stream.newest(source, ["k", "x"], wanted)).tolist() == [0, 1, 2, 3]
    assert np.flatnonzero(stream.newest(source, ["k"], wanted)).tolist() == [1, 3]
    assert np.flatnonzero(stream.newest(source, [], wanted)).tolist() == [1]


def test_row_groups_without_a_row_wanted_are_not_read(repo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source = opened(repo, [(f"{i}", i, i) for i in range(20)], 5)
    read: list[int] = []
    streamed = type(source.files.groups[0].file).stream  # type: ignore[union-attr]

    def counted(file: Any, group: int, *rest: Any) -> Any:
        read.append(group)
        return streamed(file, group, *rest)

    monkeypatch.setattr(type(source.files.groups[0].file), "stream", counted)  # type: ignore[union-attr]
    assert np.flatnonzero(stream.newest(source, ["k"], Wanted(11, 13))).tolist() == [11, 12, 13]
    assert read == [2]


@pytest.mark.parametrize("after", [0, 1, 7, 20])
def test_batches_hold_the_marked_rows_in_order_and_say_how_far_they_go(repo: Any, small: None, after: int) -> None:
    rows = [(f"{i}", i, i) for i in range(20)]
    source = opened(repo, rows, 6)
    view = repo.view("v", None, dtypes={"k": String, "x": Int64})
    marks = np.arange(20) % 3 != 1
    batches = list(stream.batches(source, marks, Packer(view), after))
    assert [x for _, frame in batches for x in frame["x"]] == [i for i in range(after, 20) if marks[i]]
    for up_to, frame in batches:
        assert frame["x"][-1] == up_to - 1


@pytest.mark.parametrize(("values", "refused"), [([1.0, None, 3.0], False), ([1.0, 1.5, 3.0], True)])
def test_no_number_loses_its_fraction_without_a_word(repo: Any, values: list[float | None], refused: bool) -> None:
    path = repo.mart / "v.parquet"
    time = pl.Series([1, 2, 3]).cast(pl.Datetime("us", "UTC"))
    pl.DataFrame({"k": ["a", "b", "c"], "t": time, "x": values}).write_parquet(path)
    source = sources.open_source(repo.config, FileSource(path=str(path), timestamp_field="t"), mart=Manifest())
    packer = Packer(repo.view("v", None, dtypes={"k": String, "x": Int64}))
    marks = np.ones(3, dtype=np.bool_)
    if refused:
        with pytest.raises(DataError, match=r"Column 'x' of view 'v' holds 1.5, and is declared int64"):
            list(stream.batches(source, marks, packer))
    else:
        ((_, frame),) = stream.batches(source, marks, packer)
        assert frame["x"].to_list() == [1, None, 3]
