"""Parquet: landed byte by byte, read as plain columns, and refused where it is no whole file."""

import io
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_repo.warehouse import raw
from motherlode.errors import DataError


def _bytes(table: pa.Table, **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


_TYPES = pa.table(
    {
        "i": pa.array([1, None], pa.int32()),
        "d": pa.array([Decimal("1.10"), None], pa.decimal128(9, 2)),
        "at": pa.array([datetime(2024, 3, 1, tzinfo=UTC), None], pa.timestamp("ms", "UTC")),
        "day": pa.array([date(2024, 3, 1), None]),
        "clock": pa.array([time(13, 30), None], pa.time64("us")),
        "kind": pa.array(["a", None]).dictionary_encode(),
        "nothing": pa.nulls(2),
        "old text": pa.array([b"caf\xc3\xa9", None], pa.binary()),
        "bytes": pa.array([b"\xff", b"ok"], pa.binary()),
        "who": pa.array([{"name": "Ann", "home": {"city": "Rome"}}, None]),
        "tags": pa.array([["a", "ü"], None]),
        "lines": pa.array([[{"sku": "x", "n": 1}], []]),
        "map": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
        "_line": pa.array([7, 8]),
    }
)


def test_columns_are_plain_and_keep_their_types(company: Any) -> None:
    content = _bytes(_TYPES)
    landed = company.land("sales.parquet", content)
    rows = company.rows(landed)
    assert rows.row(0, named=True) == {
        "_row": 1,
        "_line": 1,
        "i": 1,
        "d": Decimal("1.10"),
        "at": datetime(2024, 3, 1, tzinfo=UTC),
        "day": date(2024, 3, 1),
        "clock": time(13, 30),
        "kind": "a",
        "nothing": None,
        "old text": "café",
        "bytes": "\\xff",
        "who.name": "Ann",
        "who.home.city": "Rome",
        "tags": '["a","ü"]',
        "lines": '[{"n":1,"sku":"x"}]',
        "map": '[["k",1]]',
        "_line_2": 7,
    }
    assert rows.schema["nothing"] == pl.String
    assert rows.schema["d"] == pl.Decimal(9, 2)
    assert landed.columns == {name: str(dtype) for name, dtype in list(rows.schema.items())[2:]}


def test_the_file_is_landed_byte_by_byte(company: Any) -> None:
    content = _bytes(_TYPES)
    landed = company.land("sales.parquet", content)
    assert (company.settings.home / landed.path).read_bytes() == content
    assert landed.sha256 == landed.sha256_raw
    assert (landed.rows, landed.size) == (2, len(content))


_SMALL = _bytes(pa.table({"a": [1, 2, 3]}))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (_SMALL[:-20], "without its end"),
        (_SMALL[: len(_SMALL) // 2], "without its end"),
        (_SMALL[:4] + b"\0" * 30 + _SMALL[-8:], "cannot be read as Parquet"),
        (b"a,b\n1,2\n", "is no Parquet file"),
        (b"PARE" + _SMALL[4:-4] + b"PARE", "is an encrypted Parquet file"),
        (_bytes(pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])), "two columns named 'a'"),
    ],
)
def test_what_is_no_whole_parquet_file_is_refused_with_the_remedy(company: Any, content: bytes, problem: str) -> None:
    landed = company.land("sales.parquet", content)
    assert landed.status == "refused"
    assert problem in landed.problem
    assert "sales.parquet" in landed.problem
    assert landed.remedy


def test_a_file_without_rows_has_its_columns(company: Any) -> None:
    landed = company.land("sales.parquet", _bytes(_TYPES.slice(0, 0)))
    assert company.rows(landed).is_empty()
    assert landed.columns["who.home.city"] == "String"


def _flipped(content: bytes, at: int, count: int = 1) -> bytes:
    return content[:at] + bytes(each ^ 0xFF for each in content[at : at + count]) + content[at + count :]


_TEXTS = pa.table({"a": [f"text {number}" for number in range(5_000)], "b": list(range(5_000))})


@pytest.mark.parametrize(
    ("compression", "checksum", "at"),
    [("snappy", False, 8), ("snappy", True, 2_000), ("zstd", True, 2_000), ("none", False, 2_000)],
)
def test_a_damaged_page_behind_a_good_footer_is_refused(
    company: Any, compression: str, checksum: bool, at: int
) -> None:
    content = _bytes(_TEXTS, compression=compression, use_dictionary=False, write_page_checksum=checksum)
    assert company.land("good.parquet", content).status == "active"
    landed = company.land("sales.parquet", _flipped(content, at))
    assert (landed.status, landed.path) == ("refused", "")
    assert landed.problem.startswith("sales.parquet is damaged: ")
    assert landed.remedy == "Copy or export it again."
    assert [path.suffix for path in company.settings.raw.rglob("*.*")] == [".parquet"], "the good one alone"


@pytest.mark.parametrize("at", [8, 2_000])
def test_a_raw_file_that_is_damaged_later_is_named(company: Any, at: int) -> None:
    content = _bytes(_TEXTS, compression="none", use_dictionary=False)
    landed = company.land("sales.parquet", content)
    path = company.settings.home / landed.path
    path.write_bytes(_flipped(content, at))
    with pytest.raises(DataError, match="cut short or changed") as raised:
        list(raw.batches(company.settings, landed))
    assert str(path) in raised.value.problem
