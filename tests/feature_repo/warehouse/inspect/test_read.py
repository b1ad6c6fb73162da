"""Files as they lie there: large ones by their head, exports in parts as one source, titles above the header."""

from pathlib import Path

import polars as pl
import pytest

from feature_repo.warehouse.inspect import read
from motherlode.errors import DataError
from motherlode.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def test_exports_in_parts_are_one_source_by_a_glob_that_means_no_other_file(settings: Settings, tmp_path: Path) -> None:
    files = [f"orders_{month}.csv" for month in ("2024-01", "2024-02")]
    for name in files:
        (tmp_path / name).write_text("order;customer\n1;a\n2;b\n")
    (found,), _ = read.profiles(settings, [str(tmp_path / name) for name in files], tmp_path)
    assert (found.source, found.files, found.rows) == ("orders", ("orders_*.csv",), 4)
    (tmp_path / "orders_notes.csv").write_text("not meant\n")
    (found,), _ = read.profiles(settings, [str(tmp_path / name) for name in files], tmp_path)
    assert found.files == tuple(files)


def test_parts_with_other_columns_are_sources_of_their_own(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "list1.csv").write_text("a,b\n1,2\n")
    (tmp_path / "list2.csv").write_text("c,d\n1,2\n")
    found, _ = read.profiles(settings, [str(tmp_path / "list1.csv"), str(tmp_path / "list2.csv")], tmp_path)
    assert [it.source for it in found] == ["list", "list_2"]


def test_a_large_file_is_read_by_its_head(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "HEAD", 10_000)
    file = tmp_path / "big.csv"
    file.write_text("id,text\n" + "".join(f"{number},row {number}\n" for number in range(10_000)))
    (found,), _ = read.profiles(settings, [str(file)], tmp_path)
    assert not found.complete
    assert 500 < found.rows < 2000
    assert found.frame["text"][-1] == f"row {found.rows - 1}", "the last line is whole"


def test_a_file_that_cannot_be_read_does_not_stop_the_others(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "good.csv").write_text("a,b\n1,2\n")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 and no end")
    found, refused = read.profiles(settings, [str(tmp_path / "good.csv"), str(tmp_path / "cut.parquet")], tmp_path)
    assert [it.source for it in found] == ["good"]
    assert [Path(it.file).name for it in refused] == ["cut.parquet"]
    assert refused[0].remedy


def test_a_file_that_is_not_there_is_named(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing is there"):
        read.profiles(settings, [str(tmp_path / "none.csv")], tmp_path)


def test_nothing_is_left_of_the_files(settings: Settings, tmp_path: Path) -> None:
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "a.parquet")
    read.profiles(settings, [str(tmp_path / "a.parquet")], tmp_path)
    assert not settings.home.exists()


@pytest.mark.parametrize("titles", ["Export of 1 February\n\n", "Export,of,1 February,,\n", "a title\nand another\n"])
def test_titles_above_the_header_are_skipped(titles: str, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "crm.csv").write_text(
        f"{titles}id,city,since\n1,Bonn,2020-01-31\n2,Köln,2021-02-01\n3,Ulm,2022-03-02\n"
    )
    (found,), _ = read.profiles(settings, [str(tmp_path / "crm.csv")], tmp_path)
    assert list(found.columns) == ["id", "city", "since"]
    assert found.options["skip"] in (1, 2)
