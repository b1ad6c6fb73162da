"""Arrow tables between Polars and Feast's users keep their values."""

from datetime import UTC, datetime

import polars as pl
import pyarrow as pa
import pytest

from feature_repo.stores.arrow import from_polars, has_offsets, in_utc

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
