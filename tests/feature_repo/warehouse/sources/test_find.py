"""What a source stands for: paths, globs, packages, variables, each by a name without this machine in it."""

from pathlib import Path
from typing import Any

import pytest

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
