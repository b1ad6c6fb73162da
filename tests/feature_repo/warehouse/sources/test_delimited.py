"""CSV and TSV: every line is a row, a named malformed line, or blank; whatever is wrong with the file."""

import csv
import io
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_repo.warehouse.sources import delimited


def _cells(frame: Any) -> list[tuple[Any, ...]]:
    return [row[1:] for row in frame.rows()]  # line, then the columns


@pytest.mark.parametrize(
    ("content", "rows", "malformed"),
    [
        pytest.param(b"a,b\n1,2\n3,4\n", [(2, "1", "2"), (3, "3", "4")], [], id="plain"),
        pytest.param(b"a,b\n1,2\n3,4", [(2, "1", "2"), (3, "3", "4")], [], id="no newline at the end"),
        pytest.param(b"a,b\r\n1,2\r\n\r\n3,4\r\n", [(2, "1", "2"), (4, "3", "4")], [], id="CR LF"),
        pytest.param(b"a,b\r1,2\r\r3,4\r", [(2, "1", "2"), (4, "3", "4")], [], id="CR"),
        pytest.param(b"a,b\n1,2\r\n3,4\r5,6\n", [(2, "1", "2"), (3, "3", "4"), (4, "5", "6")], [], id="all three"),
        pytest.param(b"\n\na,b\n\n1,2\n \n\n", [(5, "1", "2")], [], id="blank lines"),
        pytest.param(b"a,b\n1,2\n\x1a", [(2, "1", "2")], [], id="DOS end of file"),
        pytest.param(b"a,b\n", [], [], id="a header alone"),
        pytest.param(b"a,b\n,\n1,\n", [(2, None, None), (3, "1", None)], [], id="empty fields are null"),
        pytest.param(b'a,b\n1,""\n', [(2, "1", None)], [], id="so are quoted ones"),
        pytest.param(b"a,b\n 1 ,NA\n", [(2, " 1 ", "NA")], [], id="text stays as it is"),
        pytest.param(
            b"a,b\n1\n2,3\n4,5,6\n", [(3, "2", "3")], [(2, "1", "fields"), (4, "4,5,6", "fields")], id="field counts"
        ),
        pytest.param(
            b'a,b\n"x\ny",2\n3,4\n', [(2, "x\ny", "2"), (4, "3", "4")], [], id="a quoted line end keeps the count"
        ),
        pytest.param(b'a,b\n5" pipe,"r ""s"""\n', [(2, '5" pipe', 'r "s"')], [], id="quotes within"),
        pytest.param(b'a,b\n"1" ,2\n', [(2, "1 ", "2")], [], id="a space behind a quote"),
        pytest.param(
            b'a,b\n1,"open\n2,3\n4,5\n', [(3, "2", "3"), (4, "4", "5")], [(2, '1,"open', "quotes")], id="never closed"
        ),
        pytest.param(
            b'a,b\n1,"open\n2,"q"\n4,5\n',
            [(3, "2", "q"), (4, "4", "5")],
            [(2, '1,"open', "quotes")],
            id="closed by another's opening quote",
        ),
        pytest.param(
            b'a,b\n1,"open\n2,3\n4,"x,y"\n5,6\n',
            [(3, "2", "3"), (4, "4", "x,y"), (5, "5", "6")],
            [(2, '1,"open', "quotes")],
            id="closed two lines on",
        ),
        pytest.param(
            b'a,b\n1,"open\n2,3"\n4,5\n', [(2, "1", "open\n2,3"), (4, "4", "5")], [], id="a field over two lines"
        ),
        pytest.param(
            b'a,b,c\n1,"open\n2,3,4\n5",6\n7,8,9\n',
            [(2, "1", "open\n2,3,4\n5", "6"), (5, "7", "8", "9")],
            [],
            id="whose lines look like rows",
        ),
        pytest.param(
            b'a,b,c\n1,"open\n2,3,4\n5"\n7,8,9\n',
            [(3, "2", "3", "4"), (5, "7", "8", "9")],
            [(2, '1,"open', "quotes"), (4, '5"', "fields")],
            id="with too few fields, it swallowed rows",
        ),
        pytest.param(b'a,b\n1,"x"y\n3,4\n', [(3, "3", "4")], [(2, '1,"x"y', "quotes")], id="text behind a quote"),
        pytest.param(
            b'a,b\n1,"say \\"hi\\""\n3,4\n', [(3, "3", "4")], [(2, '1,"say \\"hi\\""', "quotes")], id="a backslash"
        ),
        pytest.param(b"a,b\n1,\x002\n3,4\n", [(3, "3", "4")], [(2, "1,\\x002", "bytes")], id="a zero byte"),
        pytest.param(
            "a,b\nJörg,Zoë\n".encode() + b"x\xff,2\n3,4\n",
            [(2, "Jörg", "Zoë"), (4, "3", "4")],
            [(3, "x\\xff,2", "encoding")],
            id="a bad byte in UTF-8",
        ),
        pytest.param(b"a,b\n1,2\na,b\n3,4\n", [(2, "1", "2"), (4, "3", "4")], [(3, "a,b", "header")], id="two headers"),
        pytest.param(
            b"a,b\n1,2\n\xef\xbb\xbfa,b\n", [(2, "1", "2")], [(3, "\ufeffa,b", "header")], id="and a second mark"
        ),
        pytest.param(b"a,b\n\xef\xbb\xbf1,2\n", [(2, "\ufeff1", "2")], [], id="a mark within a value stays"),
    ],
)
def test_every_line_is_a_row_or_is_named(
    company: Any, content: bytes, rows: list[tuple[Any, ...]], malformed: list[tuple[int, str, str]]
) -> None:
    landed = company.land("till.csv", content)
    assert _cells(company.rows(landed)) == rows
    assert company.malformed(landed) == malformed
    assert landed.rows == len(rows) + len(malformed)
    assert landed.malformed == len(malformed)


@pytest.mark.parametrize(
    ("content", "source", "problem"),
    [
        pytest.param(b"", {}, "till.csv is empty", id="no bytes"),
        pytest.param(b"\n \r\n", {}, "till.csv is empty", id="blank lines alone"),
        pytest.param(b"\xef\xbb\xbf", {}, "till.csv is empty", id="a byte order mark alone"),
        pytest.param(
            b"a;b\n1;2\n", {"delimiter": ","}, "one column when divided by ',', and semicolons", id="wrong delimiter"
        ),
        pytest.param(b"a\tb\n1\t2\n", {"delimiter": "||"}, "'||' of till.csv is not one", id="two characters"),
        pytest.param("名称,价格\n牛奶,3\n".encode("gbk"), {"encoding": "utf-8"}, "is not utf-8", id="wrong encoding"),
        pytest.param(b"a,b\n1,2\n", {"encoding": "utf-9"}, "'utf-9' is unknown", id="no such encoding"),
        pytest.param(b"\xef\xbb\xbfa,b\n", {"encoding": "gbk"}, "byte order mark of utf-8", id="a mark says otherwise"),
        pytest.param(b"1,2\n", {"header": False, "columns": ["a"]}, "2 fields in its first row", id="columns too few"),
        pytest.param(b"a,b\0\n1,2\n", {}, "The header of till.csv, line 1, cannot be read", id="a broken header"),
    ],
)
def test_what_cannot_be_used_is_refused_as_a_whole_with_the_remedy(
    company: Any, content: bytes, source: dict[str, Any], problem: str
) -> None:
    landed = company.land("till.csv", content, **source)
    assert landed.status == "refused"
    assert problem in landed.problem
    assert landed.remedy
    assert landed.path == ""
    assert not list(company.settings.raw.rglob("*.*"))


@pytest.mark.parametrize(
    ("delimiter", "name"),
    [(",", "till.csv"), (";", "till.csv"), ("\t", "till.csv"), ("|", "till.txt"), ("\t", "t.tsv")],
)
def test_the_delimiter_is_found(company: Any, delimiter: str, name: str) -> None:
    lines = ["id{}price{}note", "1{}2,50{}a, b; c", "2{}3,75{}d"]
    quoted = [line.replace("a, b; c", '"a, b; c"').format(delimiter, delimiter) for line in lines]
    quoted = [line.replace("2,50", '"2,50"').replace("3,75", '"3,75"') for line in quoted]
    landed = company.land(name, "\n".join(quoted).encode())
    assert _cells(company.rows(landed)) == [(2, "1", "2,50", "a, b; c"), (3, "2", "3,75", "d")]
    assert landed.how["delimiter"] == delimiter


def test_a_file_of_one_column_is_not_divided_by_the_commas_of_its_text(company: Any) -> None:
    landed = company.land("till.csv", b"note\nhello, world\nbye\n")
    assert _cells(company.rows(landed)) == [(2, "hello, world"), (3, "bye")]


def test_names_are_made_unique_and_the_landing_says_so(company: Any) -> None:
    landed = company.land("till.csv", b"a,a, b ,,_line,a_2\n1,2,3,4,5,6\n")
    assert list(landed.columns) == ["a", "a_3", "b", "column_4", "_line_2", "a_2"]
    assert "column 2 'a' is 'a_3'" in landed.how["renamed"]


def test_skip_columns_null_values_and_quote_are_obeyed(company: Any) -> None:
    landed = company.land(
        "till.csv",
        b"Report of \"May\nprinted today\n1,'x,y',NA\n2,z,-\n",
        skip=2,
        header=False,
        columns=["id", "text", "more"],
        null_values=["NA", "-"],
        quote="'",
    )
    assert _cells(company.rows(landed)) == [(3, "1", "x,y", None), (4, "2", "z", None)]


def test_no_quote_leaves_quotes_as_they_are(company: Any) -> None:
    landed = company.land("till.csv", b'a,b\n"1,2\n3,"4"\n', quote="")
    assert _cells(company.rows(landed)) == [(2, '"1', "2"), (3, "3", '"4"')]


@pytest.mark.parametrize(
    ("values", "how"),
    [
        (["1,5", "2,25"], {"decimal": ","}),
        (["1.234,50", "12,00"], {"decimal": ",", "thousands": "."}),
        (["1,234.50", "12.00"], {"decimal": ".", "thousands": ","}),
        (["1 234,5", "7,25"], {"decimal": ",", "thousands": " "}),
        (["1,234", "5,678"], {}),
        (["1", "2"], {}),
        (["12.03.2024", "1.2.3"], {}),
    ],
)
def test_the_decimal_sign_is_found_where_a_value_tells(company: Any, values: list[str], how: dict[str, str]) -> None:
    landed = company.land("till.csv", ("n;price\n" + "".join(f"x;{value}\n" for value in values)).encode())
    assert {key: landed.how[key] for key in ("decimal", "thousands") if key in landed.how} == how


def test_a_given_decimal_sign_is_not_looked_for(company: Any) -> None:
    assert "decimal" not in company.land("till.csv", b"a;b\n1,5;x\n", decimal=".").how


def test_a_line_is_cut_where_it_is_very_long(company: Any) -> None:
    landed = company.land("till.csv", b"a,b\n" + b"x" * 5_000 + b"\n1,2\n")
    ((line, value, rule),) = company.malformed(landed)
    assert (line, rule) == (2, "fields")
    assert value.endswith("… (5000 characters)")


_FIELD = st.text(st.sampled_from("ab ,;\"'\n\r\t\\é中\ufeff"), max_size=6)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.lists(_FIELD, min_size=3, max_size=3), max_size=12),
    ending=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    chunk=st.integers(8, 60),
)
def test_what_python_writes_is_read_back_whatever_the_blocks(
    make_company: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
    rows: list[list[str]],
    ending: str,
    quoting: Any,
    chunk: int,
) -> None:
    monkeypatch.setattr(delimited, "CHUNK", chunk)
    file = io.StringIO()
    if any("\r" in field for row in rows for field in row):
        quoting = csv.QUOTE_ALL  # where lines end by LF, Python leaves a CR without quotes
    writer = csv.writer(file, lineterminator=ending, quoting=quoting)
    writer.writerow(["one", "two", "three"])
    writer.writerows(rows)
    company = make_company()
    landed = company.land("till.csv", file.getvalue().encode(), delimiter=",", encoding="utf-8")
    found = company.rows(landed)
    assert [list(row[2:]) for row in found.rows()] == [[field or None for field in row] for row in rows]
    assert landed.malformed == 0
    text = file.getvalue().replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for line, first in zip(found["_line"], found["one"], strict=True):
        begins = (first or "").replace("\r\n", "\n").replace("\r", "\n").split("\n")[0].replace('"', '""')
        assert text[line - 1].startswith((begins, f'"{begins}'))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.text(st.sampled_from('ab,"\n\r\0é'), max_size=40).map(str.encode),
    cut=st.integers(0, 40),
    chunk=st.integers(3, 50),
)
def test_whatever_the_bytes_are_rows_and_malformed_lines_do_not_depend_on_the_blocks(
    make_company: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, body: bytes, cut: int, chunk: int
) -> None:
    content = b"one,two\n" + body[:cut] + b"\n" + body[cut:]
    seen: list[object] = []
    for size in (1 << 20, chunk):
        monkeypatch.setattr(delimited, "CHUNK", size)
        company = make_company()
        landed = company.land("till.csv", content, delimiter=",", encoding="utf-8")
        whole = landed.status == "active"
        seen.append((company.rows(landed).rows(), company.malformed(landed)) if whole else landed.problem)
    assert seen[0] == seen[1]
