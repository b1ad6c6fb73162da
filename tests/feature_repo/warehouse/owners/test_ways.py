"""The mapping tells whose a raw row is: by its own columns, by a look-up's, by the look-up's key."""

from pathlib import Path

import polars as pl
import pytest

from feature_repo.warehouse import erasure, lineage, pipeline, state, tables, vault
from feature_repo.warehouse.mapping.read import read
from motherlode import names
from motherlode.settings import Settings

HEAD = "company: A shop\nprivacy: {pseudonym: none}\nquality: {transactions: {fail: 1}}\n"
TIMES = "event_timestamp: sold"
SALES = "who,item,money,sold\n K7001 ,TEA,3.90,2025-01-01\nK7002,TEA,3.90,2025-01-02\n"


def erased(folder: Path, mapping: str, files: dict[str, str], who: str) -> dict[str, list[dict[str, object]]]:
    """Load, erase somebody, and answer what is left in raw: source → rows."""
    project = folder / "project"
    project.mkdir()
    (project / "motherlode.yaml").write_text(HEAD + mapping)
    for name, text in files.items():
        (project / name).write_text(text)
    settings = Settings(home=folder / "home")
    pipeline.load(settings, read(project))
    erasure.erase(settings, [who])
    assert lineage.current(settings).balanced
    assert who not in tables.scan(settings, names.CUSTOMERS).collect()[names.CUSTOMER_ID]
    found: dict[str, list[dict[str, object]]] = {}
    for each in state.read(settings).raw:
        with vault.reader(settings.home / each.path, settings) as file:
            frame = pl.DataFrame(pl.from_arrow(file.read()))
        found[each.source] = frame.select(pl.exclude("^_.*$")).to_dicts()
    return found


def test_an_expression_over_own_columns(tmp_path: Path) -> None:
    mapping = """
sources: {sales: {files: sales.csv}}
tables:
  transactions: {from: sales, columns: {customer_id: {sql: "shop || '-' || who"}, item_id: item, amount: money,
    event_timestamp: sold}}
"""
    sales = "shop,who,item,money,sold\nA,7,TEA,3.90,2025-01-01\nB,7,TEA,3.90,2025-01-02\n"
    left = erased(tmp_path, mapping, {"sales.csv": sales}, "A-7")
    assert [row["shop"] for row in left["sales"]] == ["B"]


def test_a_look_up_by_the_customers_own_number(tmp_path: Path) -> None:
    mapping = """
sources: {sales: {files: sales.csv}, places: {files: places.csv}}
tables:
  transactions: {from: sales, join: [{source: places, on: {who: number}}], columns: {customer_id: who,
    item_id: item, amount: money, event_timestamp: sold, store_id: places.town}}
"""
    places = "number,town\nK7001,Ulm\nK7002,Bonn\n"
    left = erased(tmp_path, mapping, {"sales.csv": SALES, "places.csv": places}, "K7001")
    assert left["places"] == [{"number": "K7002", "town": "Bonn"}]
    assert [row["who"] for row in left["sales"]] == ["K7002"]


def test_an_id_of_a_look_ups_and_an_own_part(tmp_path: Path) -> None:
    """Neither source alone tells: clean does, and the key leads back."""
    mapping = """
sources: {lines: {files: lines.csv}, orders: {files: orders.csv}}
tables:
  transactions: {from: lines, join: [{source: orders, on: order}], columns: {customer_id:
    {sql: 'shop || "orders.who"'}, item_id: item, amount: money, event_timestamp: orders.sold}}
"""
    files = {
        "lines.csv": "shop,order,item,money\nA,1,TEA,3.90\nA,2,TEA,3.90\n",
        "orders.csv": "order,who,sold\n1,7001,2025-01-01\n2,7002,2025-01-02\n",
    }
    left = erased(tmp_path, mapping, files, "A7001")
    assert [row["order"] for row in left["lines"]] == ["2"]
    assert [row["order"] for row in left["orders"]] == ["2"]


def test_an_own_id_before_the_look_ups(tmp_path: Path) -> None:
    """An order that somebody else took over belongs to who took it over."""
    mapping = """
sources: {lines: {files: lines.csv}, orders: {files: orders.csv}}
tables:
  transactions: {from: lines, join: [{source: orders, on: order}], columns: {customer_id:
    {sql: 'coalesce(buyer, "orders.who")'}, item_id: item, amount: money, event_timestamp: sold}}
"""
    files = {
        "lines.csv": "buyer,order,item,money,sold\n,1,TEA,3.90,2025-01-01\nK7002,1,CUP,9.00,2025-01-01\n"
        ",2,TEA,3.90,2025-01-02\n",
        "orders.csv": "order,who\n1,K7001\n2,K7003\n",
    }
    left = erased(tmp_path, mapping, files, "K7001")
    assert [(row["buyer"], row["order"]) for row in left["lines"]] == [("K7002", "1"), (None, "2")]
    assert left["orders"] == [{"order": "2", "who": "K7003"}]


@pytest.mark.parametrize("status", ["superseded", "dropped"])
def test_files_that_count_no_more_lose_their_rows_too(tmp_path: Path, status: str) -> None:
    project, settings = tmp_path / "project", Settings(home=tmp_path / "home")
    project.mkdir()
    sales = "tables: {transactions: {from: sales, columns: {customer_id: who, item_id: item, amount: money, " + TIMES
    (project / "motherlode.yaml").write_text(HEAD + "sources: {sales: {files: sales.csv}}\n" + sales + "}}}\n")
    (project / "sales.csv").write_text(SALES)
    pipeline.load(settings, read(project))
    (project / "sales.csv").write_text(SALES.replace(" K7001 ", "K7002").replace("TEA", "CUP"))
    if status == "dropped":
        (project / "motherlode.yaml").write_text(
            HEAD
            + "sources: {till: {files: sales.csv}}\n"
            + sales.replace("sales", "till").replace("who", "'who'")
            + "}}}\n"
        )
    pipeline.load(settings, read(project))
    erasure.erase(settings, ["K7001"])
    for each in state.read(settings).raw:
        with vault.reader(settings.home / each.path, settings) as file:
            assert "K7001" not in str(file.read().to_pylist())
