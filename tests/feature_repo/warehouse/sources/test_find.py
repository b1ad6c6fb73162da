"""What a source stands for: paths, globs, packages, variables, each by a name without this machine in it."""

import os
import socket
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import write_deltalake

from feature_repo.warehouse.sources.content import MissingError
from feature_repo.warehouse.sources.find import find
from motherlode.errors import DataError


def _put(company: Any, *names: str) -> None:
    for name in names:
        path = company.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"a\n1\n")


def _names(company: Any, **source: Any) -> list[str]:
    return [found.name for found in company.find(**source)]


def test_files_come_in_the_mappings_order_then_by_name_and_number_each_once(company: Any) -> None:
    _put(company, "s 10.csv", "s 9.csv", "corrections/s 9.csv", "s 1.csv.gz")
    assert _names(company, files=["s *.csv*", "s 9.csv", "corrections/*"]) == [
        "s 1.csv.gz",
        "s 9.csv",
        "s 10.csv",
        "corrections/s 9.csv",
    ]


def test_what_programs_leave_open_is_no_file(company: Any) -> None:
    _put(company, "a.csv", ".a.csv.swp", "~$a.csv", "a.csv.tmp", "b.csv.part", ".home/raw/till/x.csv", "_SUCCESS")
    assert _names(company, files="**/*", format="csv") == ["a.csv"]


def test_a_file_whose_name_looks_like_a_glob_is_found(company: Any) -> None:
    _put(company, "sales [2024].csv")
    assert _names(company, files="sales [2024].csv") == ["sales [2024].csv"]


def test_found_says_size_time_and_format_and_not_where(company: Any) -> None:
    _put(company, "a.csv")
    (found,) = company.find(files="a.csv")
    assert (found.size, found.format, found.local) == (4, "csv", company.folder / "a.csv")
    assert found.modified is not None
    assert str(company.folder) not in repr(found)


def test_names_are_relative_to_the_mapping_wherever_the_file_lies(
    company: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "exports").mkdir()
    (tmp_path / "exports" / "a.csv").write_bytes(b"a\n1\n")
    assert _names(company, files=str(tmp_path / "exports" / "*.csv")) == ["../exports/a.csv"]
    monkeypatch.setenv("EXPORTS", str(tmp_path / "exports"))
    assert _names(company, files="${EXPORTS}/*.csv") == ["${EXPORTS}/a.csv"]


def test_a_file_of_a_package_is_found_without_running_it(company: Any) -> None:
    (found,) = company.find(files="package:polars/py.typed", format="csv")
    assert found.name == "package:polars/py.typed"
    assert found.local is not None and found.local.is_file()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.csv", "csv"),
        ("A.CSV", "csv"),
        ("a.txt.gz", "csv"),
        ("a.tsv", "tsv"),
        ("a.parquet", "parquet"),
        ("a.ndjson.zst", "jsonl"),
        ("a.json", "jsonl"),
        ("a.xls", "excel"),
        ("a.ods", "excel"),
    ],
)
def test_the_ending_tells_the_format(company: Any, name: str, expected: str) -> None:
    _put(company, name)
    assert company.find(files=name)[0].format == expected


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ({"files": "none/*.csv"}, "till names 'none/*.csv', and nothing is there"),
        ({"files": []}, "names no files and no database"),
        ({"files": "folder"}, "folder folder, which is no Delta or Iceberg table"),
        ({"files": "a.dat"}, "a.dat, whose ending tells no format"),
        ({"files": "${NOT_SET_ANYWHERE}/a.csv"}, "variable NOT_SET_ANYWHERE, which is not set"),
        ({"files": "package:not_there/a.csv"}, "package not_there, which is not installed"),
        ({"files": "package:polars/none.csv"}, "polars has no file 'none.csv'"),
    ],
)
def test_what_is_not_there_is_named_with_the_remedy(company: Any, source: dict[str, Any], problem: str) -> None:
    _put(company, "folder/a.csv", "a.dat")
    with pytest.raises(DataError) as raised:
        company.find(**source)
    assert problem in raised.value.problem
    assert raised.value.remedy


def _problems(company: Any, **source: Any) -> dict[str, str]:
    return {found.name: found.problem for found in company.find(**source)}


def test_a_glob_names_what_it_matches_and_cannot_read_and_opens_none_of_it(company: Any) -> None:
    _put(company, "data/o_1.csv", "data/o_10.dat", "data/o", "data/o.csv.bak", "data/o.docx", "data/o_dir/a.csv")
    data = company.folder / "data"
    (data / "o_away.csv").symlink_to("nowhere.csv")
    (data / "o_loop.csv").symlink_to("o_loop.csv")
    os.mkfifo(data / "o_pipe.csv")
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(data)  # a socket's path is at most 108 characters
        server.bind("o_socket")
        os.chdir(here)
    problems = _problems(company, files="data/o*")
    assert problems == {
        "data/o": "data/o: its ending tells no format.",
        "data/o.csv.bak": "data/o.csv.bak: its ending tells no format.",
        "data/o.docx": "data/o.docx: its ending tells no format.",
        "data/o_1.csv": "",
        "data/o_10.dat": "data/o_10.dat: its ending tells no format.",
        "data/o_away.csv": "data/o_away.csv is a link to what is not there.",
        "data/o_dir": "data/o_dir is a folder, and no file.",
        "data/o_loop.csv": "data/o_loop.csv is a link that leads back to itself.",
        "data/o_pipe.csv": "data/o_pipe.csv is a named pipe, and no file.",
        "data/o_socket": "data/o_socket is a socket, and no file.",
    }
    for found in company.find(files="data/o*"):
        assert bool(found.remedy) == bool(found.problem) == (found.local is None)


def test_a_stated_format_reads_files_of_any_ending(company: Any) -> None:
    _put(company, "o_1.csv", "o_10.dat", "o")
    assert _problems(company, files="o*", format="csv") == {"o": "", "o_1.csv": "", "o_10.dat": ""}


def test_a_pipe_that_is_named_is_never_opened(company: Any) -> None:
    os.mkfifo(company.folder / "pipe.csv")
    assert _problems(company, files="pipe.csv") == {"pipe.csv": "pipe.csv is a named pipe, and no file."}
    landed = company.land("pipe.csv")
    assert (landed.status, landed.problem) == ("refused", "pipe.csv is a named pipe, and no file.")


def test_folders_that_a_glob_goes_through_are_not_refused(company: Any) -> None:
    _put(company, "data/a.csv", "data/2024/b.csv", "data/2024/deep/c.csv", "data/d.csv/part-0.csv")
    every = ["data/2024/b.csv", "data/2024/deep/c.csv", "data/a.csv", "data/d.csv/part-0.csv"]
    for pattern in ("data/**/*", "data/**", "data/**/*.csv"):
        assert _problems(company, files=pattern) == dict.fromkeys(every, "")
    assert _problems(company, files="data/*.csv") == {
        "data/a.csv": "",
        "data/d.csv": "data/d.csv is a folder, and no file.",
    }
    assert _names(company, files="data/*/*.csv") == ["data/2024/b.csv", "data/d.csv/part-0.csv"]


def test_links_that_lead_up_are_not_followed_and_links_to_nothing_on_the_way_are_named(company: Any) -> None:
    _put(company, "data/a.csv", "data/x/b.csv")
    for number in range(4):
        (company.folder / "data" / f"up{number}").symlink_to(".")
        (company.folder / "data" / "x" / f"up{number}").symlink_to("..")
    (company.folder / "data" / "2023").symlink_to("/not mounted")
    assert _problems(company, files="data/**/*.csv") == {
        "data/2023": "data/2023 is a link to what is not there.",
        "data/a.csv": "",
        "data/x/b.csv": "",
    }
    assert _problems(company, files="data/2*/*.csv") == {"data/2023": "data/2023 is a link to what is not there."}


def test_a_table_that_a_glob_matches_is_one_and_its_files_are_its_own(company: Any) -> None:
    (company.folder / "data").mkdir()
    write_deltalake(company.folder / "data" / "sales", pl.DataFrame({"a": [1]}).to_arrow())
    for pattern in ("data/*", "data/**/*"):
        assert [(found.name, found.format, found.problem) for found in company.find(files=pattern)] == [
            ("data/sales", "delta", "")
        ]


def test_editors_copies_are_left_out(company: Any) -> None:
    _put(company, "a.csv", "a.csv~", "a.csv.swp", ".a.csv.swp", "._a.csv")
    assert _names(company, files="*") == ["a.csv"]
    (company.folder / "a.csv").unlink()
    with pytest.raises(DataError, match="nothing is there"):
        company.find(files="*")


def test_brackets_in_a_folders_name_are_no_glob_where_it_is_there(
    company: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _put(company, "shop [old]/a.csv", "glob[1]/a.csv", "glob1/b.csv")
    assert _names(company, files="shop [old]/*.csv") == ["shop [old]/a.csv"]
    assert _names(company, files=str(company.folder / "shop [old]" / "**" / "*")) == ["shop [old]/a.csv"]
    monkeypatch.setenv("EXPORTS", str(company.folder / "glob[1]"))
    assert _names(company, files="${EXPORTS}/*.csv") == ["${EXPORTS}/a.csv"]
    assert _names(company, files="glob[1-9]/*.csv") == ["glob1/b.csv"]


def test_files_that_were_moved_away_after_landing_do_not_hide_the_others(company: Any) -> None:
    _put(company, "mar.csv")
    project = company.project(files=["jan.csv", "feb*.csv", "mar.csv"])
    with pytest.raises(MissingError, match=r"'jan\.csv', and nothing is there"):
        find(project, "till")
    assert [found.name for found in find(project, "till", lambda *_: None)] == ["mar.csv"]
    with pytest.raises(DataError, match="NOT_SET_ANYWHERE"):
        find(company.project(files=["mar.csv", "${NOT_SET_ANYWHERE}/a.csv"]), "till", lambda *_: None)
