"""A raw file being written: whole or not there, whatever columns come in and whenever it ends."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_repo.warehouse import raw_file, vault
from feature_repo.warehouse.sources.reading import Batch, Malformed
from motherlode.settings import Settings

_KEY = "a raw key that is long enough to be one: 0123456789"


def _batch(first: int, malformed: list[int] = [], **columns: list[str]) -> Batch:  # noqa: B006 - never changed
    rows = pa.table(columns)
    lines = pa.array(range(first, first + rows.num_rows), pa.uint32())
    return Batch(rows, lines, [Malformed(line, "?", "fields", "correct it") for line in malformed])


@pytest.mark.parametrize("raw_key", [None, _KEY])
def test_columns_that_come_later_are_null_before(tmp_path: Path, raw_key: str | None) -> None:
    settings = Settings(home=tmp_path / "home", raw_key=raw_key)
    path = tmp_path / "file.parquet"
    with raw_file.Writer(settings, path, pa.schema([("a", pa.string())])) as writer:
        writer.write(_batch(1, a=["1", "2"]))
        writer.write(_batch(3, [4], b=["x"]))
        writer.write(_batch(5, c=["y"], a=["3"]))
    with vault.reader(path, settings) as file:
        table = file.read()
    assert table.column("_line").to_pylist() == [1, 2, 3, 4, 5]
    assert table.column("a").to_pylist() == ["1", "2", None, None, "3"]
    assert table.column("b").to_pylist() == [None, None, "x", None, None]
    assert table.column("c").to_pylist() == [None, None, None, None, "y"]
    assert table.column(raw_file.RULE).to_pylist() == [None, None, None, "fields", None]
    assert (writer.rows, writer.malformed) == (5, 1)
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == ["file.parquet"]


def test_many_row_groups_are_written_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_file, "_GROUP_BYTES", 1)
    with raw_file.Writer(Settings(home=tmp_path), tmp_path / "f.parquet", pa.schema([("a", pa.string())])) as writer:
        for number in range(1, 20):
            writer.write(_batch(number, a=[str(number)]))
    file = pq.ParquetFile(tmp_path / "f.parquet")
    assert file.num_row_groups == 19
    assert file.read().column("_line").to_pylist() == list(range(1, 20))


def test_a_temporary_name_is_free_again_after_the_block(tmp_path: Path) -> None:
    with raw_file.temporary(tmp_path, ".parquet") as path:
        path.write_bytes(b"half")
        raw_file.clear(tmp_path)
        assert path.exists(), "what this process writes is not cleared"
    assert not path.exists()


def test_what_a_killed_process_left_is_cleared(tmp_path: Path) -> None:
    (tmp_path / ".landing-0123abcd-99.parquet").write_bytes(b"half")
    (tmp_path / "kept.parquet").write_bytes(b"whole")
    raw_file.clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.parquet"]
