"""Arrow tables between Polars and Feast's users keep their values."""

from datetime import UTC, datetime

import polars as pl
import pyarrow as pa
import pytest

from feature_repo.stores.arrow import from_polars, has_offsets, in_utc, join_chunks, plain, small

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def test_polars_types_come_out_as_feasts_users_expect_them() -> None:
    frame = pl.DataFrame({"s": ["é", None], "l": [["a"], None], "b": [b"\x00", b""], "n": [[[1]], [[]]]})
    table = from_polars(frame)
    nested = pa.list_(pa.list_(pa.int64()))
    assert table.schema.types == [pa.string(), pa.list_(pa.string()), pa.binary(), nested]
    assert table.to_pylist() == frame.to_dicts()


@pytest.mark.parametrize("zone", ["+05:30", "-0800", "Asia/Kolkata"])
def test_zoned_times_become_utc_and_stay_the_same_instants(zone: str) -> None:
    table = pa.table({"t": pa.array([NOON, None], pa.timestamp("us", zone)), "x": [1, 2]})
    assert has_offsets(table.schema) == (zone[0] in "+-")
    moved = in_utc(table)
    assert moved.schema.field("t").type == pa.timestamp("us", "UTC")
    assert moved["t"].to_pylist() == [NOON, None]


def test_naive_times_stay_naive() -> None:
    table = pa.table({"t": pa.array([NOON.replace(tzinfo=None)])})
    assert in_utc(table).schema == table.schema
    assert not has_offsets(table.schema)


@pytest.mark.parametrize(
    ("dtype", "gathered"),
    [
        (pa.dictionary(pa.int8(), pa.string()), pa.large_string()),
        (pa.string_view(), pa.large_string()),
        (pa.binary(), pa.large_binary()),
        (pa.list_(pa.list_(pa.string())), pa.large_list(pa.large_list(pa.large_string()))),
        (pa.int32(), pa.int32()),
    ],
)
def test_columns_are_gathered_in_plain_large_types_and_come_out_small(
    dtype: pa.DataType, gathered: pa.DataType
) -> None:
    assert plain(dtype) == gathered
    value: object = {pa.int32(): 7, pa.binary(): b"x"}.get(dtype, [["a"]] if pa.types.is_list(dtype) else "a")
    column = pa.chunked_array([pa.array([value, None], plain(dtype)), pa.array([value], plain(dtype))])
    if pa.types.is_dictionary(dtype):
        column = pa.chunked_array([pa.array(["a", None]).dictionary_encode(), pa.array(["a"]).dictionary_encode()])
    whole = join_chunks([column, column], gathered)
    assert whole.type == gathered
    assert whole.to_pylist() == [value, None, value] * 2
    assert not any("large" in str(each) for each in (small(whole).type,))
    assert small(whole).to_pylist() == whole.to_pylist()


def test_no_chunk_is_an_empty_column() -> None:
    assert join_chunks([], pa.int64()).type == pa.int64()
