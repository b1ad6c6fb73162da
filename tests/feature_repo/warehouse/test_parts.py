"""Parts of a layer: whole or not there, named by their content."""

from pathlib import Path

import polars as pl
import pytest

from feature_repo.warehouse import parts
from feature_repo.warehouse.state import Part
from motherlode.bundle import sha256
from motherlode.errors import DataError
from motherlode.settings import Settings

ROWS = pl.DataFrame({"a": [1, 2], "b": ["x", None]})


def test_chunks_become_one_file_that_its_content_names(tmp_path: Path) -> None:
    place = Settings(home=tmp_path)
    part = parts.write(place, "clean/items", "all", [ROWS, ROWS.clear(), ROWS])
    assert part is not None
    path = tmp_path / part.path
    assert part == Part(path=f"clean/items/all.{part.sha256[:8]}.parquet", rows=4, sha256=sha256(path))
    assert pl.read_parquet(path).equals(pl.concat([ROWS, ROWS]))
    assert parts.write(place, "clean/items", "all", [ROWS, ROWS]) == part
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_no_rows_no_file_unless_the_file_itself_says_something(tmp_path: Path) -> None:
    place = Settings(home=tmp_path)
    assert parts.write(place, "clean/items", "all", [ROWS.clear()]) is None
    assert not list(tmp_path.rglob("*.parquet"))
    assert parts.write_empty(place, "clean/items", "all", ROWS.clear()).rows == 0


def test_a_block_that_fails_leaves_nothing(tmp_path: Path) -> None:
    place = Settings(home=tmp_path)
    with pytest.raises(ZeroDivisionError), parts.writing(place, "clean", "all") as draft:
        draft.append(ROWS)
        raise ZeroDivisionError
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_folder_that_cannot_be_written_is_told_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "clean").write_text("a file where the folder should be")
    with pytest.raises(DataError, match=r"clean.all\.parquet cannot be written"):
        parts.write(Settings(home=tmp_path), "clean", "all", [ROWS])


def test_a_part_holds_while_it_is_whole(tmp_path: Path) -> None:
    place = Settings(home=tmp_path)
    part = parts.write(place, "clean", "all", [ROWS])
    assert part is not None
    assert parts.holds(place, part)
    assert parts.holds(place, None)
    path = tmp_path / part.path
    path.write_bytes(path.read_bytes()[:-1])
    assert not parts.holds(place, part)
    path.unlink()
    assert not parts.holds(place, part)


def test_a_part_of_raw_is_encrypted_where_raw_is(tmp_path: Path) -> None:
    place = Settings(home=tmp_path, raw_key="a raw key of enough bytes")
    part = parts.write(place, "raw/identities", "ids", [pl.DataFrame({"id": ["anna"] * 9})], secret=True)
    assert part is not None
    content = (tmp_path / part.path).read_bytes()
    assert content.startswith(b"PARE")
    assert b"anna" not in content


def test_parts_together_are_one_frame_of_the_columns_asked_for_in_order(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    schema = pl.Schema({"a": pl.Int64()})
    one = parts.write(settings, "layer", "one", [pl.DataFrame({"a": [2, 1]})])
    two = parts.write(settings, "layer", "two", [pl.DataFrame({"a": [0], "more": ["x"]})])
    assert parts.together(settings, [one, None, two], schema).collect().equals(pl.DataFrame({"a": [2, 1, 0]}))
    assert parts.together(settings, [None], schema).collect().equals(pl.DataFrame(schema=schema))
