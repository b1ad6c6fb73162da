"""What a name gives: sheets, tables of a database, lists in JSON lines; and what is no table at all."""

import json
import sqlite3
import zipfile
from pathlib import Path

import pytest

from feature_repo.warehouse.inspect import propose, read, write
from feature_repo.warehouse.mapping.read import parse
from motherlode.settings import Settings

_OASIS = "urn:oasis:names:tc:opendocument:xmlns"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def database(path: Path) -> Path:
    """A shop's customers, and a table whose name needs quotes."""
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("CREATE TABLE customers (customer_id TEXT, since TEXT)")
        connection.execute("INSERT INTO customers VALUES ('K1', '2024-01-31'), ('K2', '2024-02-01')")
        connection.execute('CREATE TABLE "order lines" (order_id TEXT, customer_id TEXT)')
    connection.close()
    return path


def workbook(path: Path, **sheets: list[list[str]]) -> Path:
    """An OpenDocument workbook: its sheets' texts, row by row."""
    spaces = " ".join(f'xmlns:{name}="{_OASIS}:{name}:1.0"' for name in ("office", "table", "text"))
    tables = ""
    for name, rows in sheets.items():
        tables += f'<table:table table:name="{name}">'
        for row in rows:
            cells = (
                f'<table:table-cell office:value-type="string"><text:p>{it}</text:p></table:table-cell>' for it in row
            )
            tables += f"<table:table-row>{''.join(cells)}</table:table-row>"
        tables += "</table:table>"
    body = f"<office:body><office:spreadsheet>{tables}</office:spreadsheet></office:body>"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", f'<manifest xmlns="{_OASIS}:manifest:1.0"/>')
        archive.writestr("content.xml", f"<office:document-content {spaces}>{body}</office:document-content>")
    return path


@pytest.mark.parametrize("name", ["{path}", "sqlite:///{path}", "sqlite:///shop.db"])
def test_a_database_gives_its_tables_as_queries(
    name: str, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = database(tmp_path / "shop.db")
    monkeypatch.chdir(tmp_path)
    found, refused = read.profiles(settings, [name.format(path=path)], tmp_path)
    assert not refused
    assert {it.source: it.options for it in found} == {
        "customers": {"database": "sqlite:///shop.db", "query": "SELECT * FROM customers"},
        "order_lines": {"database": "sqlite:///shop.db", "query": 'SELECT * FROM "order lines"'},
    }
    mapping = parse(write.mapping(propose.propose(found), "Shop").encode(), tmp_path / "motherlode.yaml").mapping
    assert mapping.sources["customers"].query == "SELECT * FROM customers"
    assert "customers" in mapping.tables


def test_the_password_of_a_database_is_written_nowhere(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "good.csv").write_text("customer_id,since\n1,2024-01-31\n")
    url = "clickhouse://someone:geheim@127.0.0.1:1/x"
    found, refused = read.profiles(settings, [str(tmp_path / "good.csv"), url], tmp_path)
    assert [it.source for it in found] == ["good"]
    assert "127.0.0.1" in refused[0].file
    assert "geheim" not in str(refused)


@pytest.mark.parametrize(
    ("name", "remedy"), [("readme.pdf", ".csv"), ("all.zip", "Unpack"), ("notes", ".csv"), ("broken.xlsx", "Save")]
)
def test_what_is_no_table_is_named_and_the_rest_goes_on(
    name: str, remedy: str, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "good.csv").write_text("a,b\n1,2\n")
    (tmp_path / name).write_bytes(b"%PDF-1.7 or whatever")
    found, refused = read.profiles(settings, [str(tmp_path / name), str(tmp_path / "good.csv")], tmp_path)
    assert [it.source for it in found] == ["good"]
    assert [Path(it.file).name for it in refused] == [name]
    assert remedy in refused[0].remedy
    assert "`format`" not in refused[0].remedy


def test_the_sheet_with_the_table_is_found_and_the_others_are_named(settings: Settings, tmp_path: Path) -> None:
    path = workbook(
        tmp_path / "crm.ods",
        Hinweise=[["Export of May"], ["for the team"]],
        Kunden=[["Kundennr", "PLZ"], ["K1", "53111"], ["K2", "50667"]],
    )
    (found,), _ = read.profiles(settings, [str(path)], tmp_path)
    assert (found.source, found.options, list(found.columns)) == ("crm", {"sheet": "Kunden"}, ["Kundennr", "PLZ"])
    assert "Hinweise" in found.notes[0]


def test_every_sheet_with_a_table_is_a_source(settings: Settings, tmp_path: Path) -> None:
    path = workbook(
        tmp_path / "all.ods",
        Kunden=[["Kundennr", "PLZ"], ["K1", "53111"]],
        Artikel=[["Artikelnr", "Name"], ["A1", "Tee"]],
    )
    found, _ = read.profiles(settings, [str(path)], tmp_path)
    assert {it.source: it.options["sheet"] for it in found} == {"kunden": "Kunden", "artikel": "Artikel"}


def test_a_list_of_lines_is_read_as_rows_beside_its_orders(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "orders.json"
    order = {"order_id": 1, "tags": ["a", "b"], "lines": [{"sku": "A", "qty": 2}, {"sku": "B", "qty": 1}]}
    path.write_text("\n".join(json.dumps({**order, "order_id": number}) for number in range(5)))
    plain, lines = read.profiles(settings, [str(path)], tmp_path)[0]
    assert (plain.source, plain.rows, plain.columns["lines"].kind) == ("orders", 5, "list")
    assert (lines.source, lines.rows, lines.options, lines.of) == ("orders_lines", 10, {"explode": "lines"}, "orders")
