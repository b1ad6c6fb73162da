"""Parquet files as one numbered table: what is read of them, and that a replaced file is never mixed in."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.stores.parquet import Pieces, Replaced, look

DAY_US = 86_400_000_000
START = datetime(2024, 1, 1, tzinfo=UTC)


def row(i: int) -> dict[str, Any]:
    return {
        "t": START + timedelta(days=i),
        "x": None if i % 7 == 0 else i,
        "s": f"é{i}",
        "l": [i] * (i % 3),
        "a.b": i * 2,
    }


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Pieces:
    """100 rows in three files, ten a row group."""
    folder = tmp_path_factory.mktemp("three")
    schema = pa.schema(
        [
            ("t", pa.timestamp("us", "UTC")),
            ("x", pa.int32()),
            ("s", pa.dictionary(pa.int32(), pa.string())),
            ("l", pa.list_(pa.int64())),
            ("a.b", pa.int64()),
        ]
    )
    paths = []
    for start, stop in ((0, 35), (35, 35), (35, 100)):
        paths.append(folder / f"{start} {stop}.parquet")
        table = pa.Table.from_pylist([row(i) for i in range(start, stop)], schema=schema)
        pq.write_table(table, paths[-1], row_group_size=10)
    return look(paths)


@settings(deadline=None)
@given(st.sets(st.integers(0, 99)))
def test_only_the_rows_that_are_marked_are_taken_in_their_order(three: Pieces, rows: set[int]) -> None:
    used = np.zeros(three.rows, dtype=np.bool_)
    used[list(rows)] = True
    table = three.take(used, ["l", "a.b", "x", "s"])
    assert table.column_names == ["l", "a.b", "x", "s"]
    assert table.schema.types == [pa.large_list(pa.int64()), pa.int64(), pa.int32(), pa.large_string()]
    assert table.to_pylist() == [{name: row(i)[name] for name in table.column_names} for i in sorted(rows)]


@pytest.mark.parametrize(("first", "last"), [(0, 99), (12, 12), (40, 60), (200, 300), (-9, -1)])
def test_row_groups_of_other_times_are_not_read(three: Pieces, first: int, last: int) -> None:
    epoch = int(START.timestamp()) * 1_000_000
    groups = three.within("t", epoch + first * DAY_US, epoch + last * DAY_US)
    numbers = [i for group in groups for i in range(group.start, group.start + group.rows)]
    assert set(numbers) >= {i for i in range(100) if first <= i <= last}
    assert len(numbers) <= max(0, min(last, 99) - max(first, 0)) + 20
    assert three.read(groups, ["a.b"])["a.b"].to_pylist() == [2 * i for i in numbers]


def test_a_file_that_is_replaced_between_two_reads_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"x": [1, 2]}), path)
    opened = look([path])
    pq.write_table(pa.table({"x": [3, 4]}), tmp_path / "y.parquet")
    (tmp_path / "y.parquet").replace(path)
    with pytest.raises(Replaced, match=r"x\.parquet was replaced"):
        opened.take(np.array([True, True]), ["x"])


def test_files_of_other_columns_are_refused_by_name(tmp_path: Path) -> None:
    for name, table in (("a", pa.table({"x": [1]})), ("b", pa.table({"y": [1]}))):
        pq.write_table(table, tmp_path / f"{name}.parquet")
    with pytest.raises(pa.ArrowInvalid, match=r"b\.parquet has other columns than .*a\.parquet"):
        look([tmp_path / "a.parquet", tmp_path / "b.parquet"])
