"""Delta and Iceberg tables: all rows of the newest version, found by folder."""

import shutil
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import deltalake
import polars as pl
import pyarrow as pa
import pytest
from pyiceberg.catalog.memory import InMemoryCatalog

_ROWS = pa.table(
    {
        "id": pa.array([1, 2], pa.int64()),
        "price": pa.array([Decimal("1.10"), None], pa.decimal128(8, 2)),
        "at": pa.array([datetime(2024, 3, 1, tzinfo=UTC)] * 2, pa.timestamp("us", "UTC")),
        "who": pa.array([{"name": "Ann"}, {"name": "Bo"}], pa.struct([("name", pa.string())])),
        "tags": pa.array([["a", "b"], None], pa.list_(pa.string())),
    }
)
_PLAIN = {
    "id": pl.Int64,
    "price": pl.Decimal(8, 2),
    "at": pl.Datetime("us", "UTC"),
    "who.name": pl.String,
    "tags": pl.String,
}


def _iceberg(folder: Path) -> Path:
    catalog = InMemoryCatalog("made", warehouse=str(folder))
    catalog.create_namespace("shop")
    table = catalog.create_table("shop.sales", _ROWS.schema)
    table.append(_ROWS)
    table.append(_ROWS)
    return folder / "shop" / "sales"


def _sorted(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    return sorted(frame.select("id", "price", "who.name", "tags").rows())


def test_a_delta_table(company: Any) -> None:
    folder = company.folder / "sales"
    deltalake.write_deltalake(folder, _ROWS)
    first = company.land("sales")
    deltalake.write_deltalake(folder, _ROWS.slice(0, 1), mode="append")
    second = company.land("sales")
    rows = company.rows(second)
    assert dict(rows.schema.items()) == {"_row": pl.UInt32, "_line": pl.UInt32, **_PLAIN}
    assert _sorted(rows) == sorted([(1, Decimal("1.10"), "Ann", '["a","b"]')] * 2 + [(2, None, "Bo", None)])
    assert rows["_line"].to_list() == [1, 2, 3]
    assert (first.how["version"], second.how["version"]) == ("0", "1")
    assert first.sha256 != second.sha256
    assert company.find(files="sales")[0].format == "delta"


def test_a_delta_table_written_anew_with_the_same_rows_has_the_same_digest(company: Any) -> None:
    deltalake.write_deltalake(company.folder / "sales", pa.concat_tables([_ROWS, _ROWS.slice(0, 1)]))
    first = company.land("sales")
    deltalake.DeltaTable(company.folder / "sales").optimize.compact()
    deltalake.write_deltalake(company.folder / "sales", pa.concat_tables([_ROWS.slice(0, 1), _ROWS]), mode="overwrite")
    second = company.land("sales")
    assert first.how["version"] != second.how["version"]
    assert first.sha256 == second.sha256


@pytest.mark.parametrize("by", ["folder", "metadata"])
def test_an_iceberg_table(company: Any, by: str) -> None:
    table = _iceberg(company.folder)
    newest = max((table / "metadata").glob("*.metadata.json"))
    path = table if by == "folder" else newest
    landed = company.land(path.relative_to(company.folder).as_posix())
    rows = company.rows(landed)
    assert dict(rows.schema.items()) == {"_row": pl.UInt32, "_line": pl.UInt32, **_PLAIN}
    assert _sorted(rows) == sorted([(1, Decimal("1.10"), "Ann", '["a","b"]'), (2, None, "Bo", None)] * 2)
    assert int(landed.how["version"]) > 0


def test_a_table_without_its_files_is_refused_with_the_remedy(company: Any) -> None:
    table = _iceberg(company.folder)
    shutil.rmtree(table / "data")
    landed = company.land("shop/sales")
    assert landed.status == "refused"
    assert "cannot be read as Iceberg" in landed.problem
    deltalake.write_deltalake(company.folder / "sales", _ROWS)
    for file in (company.folder / "sales").glob("*.parquet"):
        file.unlink()
    assert "cannot be read as Delta" in company.land("sales").problem
