"""Excel: cells as text, dates by ISO 8601, rows by their number in the sheet."""

import io
import zipfile
from datetime import date, datetime
from typing import Any
from xml.sax.saxutils import escape

import pytest

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_SHEET_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_EPOCH = datetime(1899, 12, 30)


def _cell(row: int, column: int, value: object) -> str:
    at = f'r="{chr(65 + column)}{row}"'
    if isinstance(value, bool):
        return f'<c {at} t="b"><v>{int(value)}</v></c>'
    if isinstance(value, datetime):
        days = (value - _EPOCH).total_seconds() / 86_400
        return f'<c {at} s="2"><v>{days}</v></c>'
    if isinstance(value, date):
        return f'<c {at} s="1"><v>{(value - _EPOCH.date()).days}</v></c>'
    if isinstance(value, int | float):
        return f"<c {at}><v>{value!r}</v></c>"
    if str(value).startswith("#"):
        return f'<c {at} t="e"><v>{value}</v></c>'
    return f'<c {at} t="inlineStr"><is><t xml:space="preserve">{escape(str(value))}</t></is></c>'


def _sheet(rows: list[list[object]]) -> str:
    filled = [(number, row) for number, row in enumerate(rows, 1) if any(value is not None for value in row)]
    data = "".join(f'<row r="{number}">{_cells(number, row)}</row>' for number, row in filled)
    return f'<worksheet xmlns="{_MAIN}"><sheetData>{data}</sheetData></worksheet>'


def _cells(number: int, row: list[object]) -> str:
    return "".join(_cell(number, at, value) for at, value in enumerate(row) if value is not None)


def workbook(**sheets: list[list[object]]) -> bytes:
    """A small .xlsx: its sheets' cells, row by row."""
    kinds = {"workbook": "sheet.main", "styles": "styles"}
    parts = "".join(
        f'<Override PartName="/xl/{name}.xml" ContentType="{_SHEET_TYPE}.{kind}+xml"/>' for name, kind in kinds.items()
    )
    named, related = "", f'<Relationship Id="s" Type="{_OFFICE}/styles" Target="styles.xml"/>'
    for number, name in enumerate(sheets, 1):
        parts += f'<Override PartName="/xl/{number}.xml" ContentType="{_SHEET_TYPE}.worksheet+xml"/>'
        named += f'<sheet name="{name}" sheetId="{number}" r:id="r{number}"/>'
        related += f'<Relationship Id="r{number}" Type="{_OFFICE}/worksheet" Target="{number}.xml"/>'
    relations = f'xmlns="{_PACKAGE}/relationships"'
    rels = '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    styles = '<cellXfs count="3"><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="22"/></cellXfs>'
    book = f'<Relationship Id="b" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/>'
    files = {
        "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">{rels}{parts}</Types>',
        "_rels/.rels": f"<Relationships {relations}>{book}</Relationships>",
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>{named}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f"<Relationships {relations}>{related}</Relationships>",
        "xl/styles.xml": f'<styleSheet xmlns="{_MAIN}">{styles}</styleSheet>',
        **{f"xl/{number}.xml": _sheet(rows) for number, rows in enumerate(sheets.values(), 1)},
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()


_SALES: list[list[object]] = [
    ["Sales of March"],
    [None],
    ["id", "day", "at", "price", "paid", "note", None],
    [1.0, date(2024, 3, 1), datetime(2024, 3, 1, 13, 30), 12.5, True, " x "],
    [None],
    [123456789012345, date(2024, 3, 2), datetime(2024, 3, 2), 0.1, False, 7],
    [3, None, None, "#N/A", None, "n/a"],
]


def test_a_sheet_below_its_title(company: Any) -> None:
    landed = company.land("sales.xlsx", workbook(March=_SALES), skip=2, null_values=["n/a"])
    rows = company.rows(landed).drop("_row")
    assert rows.columns == ["_line", "id", "day", "at", "price", "paid", "note"]
    assert rows.rows() == [
        (4, "1", "2024-03-01", "2024-03-01 13:30:00", "12.5", "true", " x "),
        (6, "123456789012345", "2024-03-02", "2024-03-02 00:00:00", "0.1", "false", "7"),
        (7, "3", None, None, None, None, None),
    ]
    assert landed.how["sheet"] == "March"


@pytest.mark.parametrize(("sheet", "found"), [(None, "a"), (1, "a"), (2, "b"), ("Second", "b")])
def test_a_sheet_by_name_or_number(company: Any, sheet: str | int | None, found: str) -> None:
    content = workbook(First=[[None], [None, "x"], [None, "a"]], Second=[["x"], ["b"]])
    rows = company.rows(company.land("sales.xlsx", content, sheet=sheet))
    assert rows[rows.columns[-1]].to_list() == [found]


def test_rows_above_an_indented_table_keep_their_numbers(company: Any) -> None:
    landed = company.land("sales.xlsx", workbook(A=[[None], [None], [None, "x"], [None, 1]]))
    assert company.rows(landed)["_line"].to_list() == [4]


@pytest.mark.parametrize(
    ("content", "source", "problem"),
    [
        (b"", {}, "is empty"),
        (b"id,price\n1,2\n", {}, "cannot be read as Excel"),
        (workbook(A=[["x"], [1]])[:200], {}, "cannot be read as Excel"),
        (workbook(A=[]), {}, "The sheet 'A' of sales.xlsx is empty"),
        (workbook(A=[["x"], [1]]), {"sheet": "B"}, "has no sheet 'B'"),
        (workbook(A=[["x"], [1]]), {"sheet": 2}, "has no sheet 2"),
        (workbook(A=[["x", "y"], [1, 2]]), {"header": False, "columns": ["x"]}, "has 2 columns"),
    ],
)
def test_what_cannot_be_used_is_refused(company: Any, content: bytes, source: dict[str, Any], problem: str) -> None:
    landed = company.land("sales.xlsx", content, **source)
    assert landed.status == "refused"
    assert problem in landed.problem
    assert landed.remedy


def test_a_sheet_without_a_header(company: Any) -> None:
    landed = company.land("sales.xlsx", workbook(A=[["x", 1], ["y", 2]]), header=False, columns=["name", "number"])
    assert company.rows(landed).drop("_row").rows() == [(1, "x", "1"), (2, "y", "2")]
