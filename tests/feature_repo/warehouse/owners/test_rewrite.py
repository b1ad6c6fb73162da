"""A raw file written anew has every other row as it was, and a word less where it named somebody."""

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_repo.warehouse import vault
from feature_repo.warehouse.owners.rewrite import rewrite
from motherlode.settings import Settings

SCHEMA = pa.schema(
    [
        pa.field("n", pa.int64(), nullable=False),
        pa.field("note", pa.string(), nullable=False),
        pa.field("tags", pa.list_(pa.string())),
        pa.field("kind", pa.dictionary(pa.int32(), pa.string())),
        pa.field("who", pa.struct([("first", pa.string())])),
    ]
)
ROWS = [{"n": n, "note": f"row {n}", "tags": [f"t{n}"], "kind": "a", "who": {"first": f"f{n}"}} for n in range(1, 9)]


@pytest.mark.parametrize("raw_key", [None, "the key of all of raw"], ids=["plain", "encrypted"])
def test_other_rows_are_as_they_were(tmp_path: Path, raw_key: str | None) -> None:
    settings = Settings(home=tmp_path, raw_key=raw_key)
    rows = [dict(row) for row in ROWS]
    rows[3] |= {"note": "asked K77001.", "tags": ["K77001"], "kind": "K77001", "who": {"first": "K77001"}}
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), tmp_path / "a.parquet", row_group_size=3)
    cells = {name: {4} for name in ("note", "tags", "kind", "who")}
    kept = rewrite(settings, tmp_path / "a.parquet", tmp_path / "b.parquet", {1, 8}, cells, re.compile("K77001"))
    with vault.reader(tmp_path / "b.parquet", settings) as file:
        table = file.read()
    assert vault.encrypted(tmp_path / "b.parquet") == (raw_key is not None)
    named = {"n": 4, "note": "asked (erased).", "tags": None, "kind": None, "who": None}
    assert kept == 6
    assert table.to_pylist() == [*rows[1:3], named, *rows[4:7]]
    assert table.schema.types == SCHEMA.types


def test_a_file_of_nobody_else_has_its_columns_still(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    pq.write_table(pa.Table.from_pylist(ROWS, schema=SCHEMA), tmp_path / "a.parquet")
    every = set(range(1, 9))
    assert rewrite(settings, tmp_path / "a.parquet", tmp_path / "b.parquet", every, {}, None) == 0
    assert pq.read_schema(tmp_path / "b.parquet").names == SCHEMA.names
