"""What is proposed for a company's files is loaded as it stands, and its rows are the right ones."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from feature_repo.warehouse import pipeline, tables
from feature_repo.warehouse.inspect import propose, read, write
from feature_repo.warehouse.mapping.model import TableMap
from feature_repo.warehouse.mapping.read import Project, parse
from motherlode.settings import Settings

Load = Callable[..., tuple[Project, Settings]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Files in `tmp_path`, inspected and loaded."""

    def make(*names: str) -> tuple[Project, Settings]:
        settings = Settings(home=tmp_path / "home", pseudonym_key="a key of sixteen bytes or more")
        profiles, refused = read.profiles(settings, [str(tmp_path / name) for name in names], tmp_path)
        assert not refused
        text = write.mapping(propose.propose(profiles), "Company", refused)
        project = parse(text.encode(), tmp_path / "motherlode.yaml")
        lineage = pipeline.load(settings, project)
        assert all(row.balanced for row in lineage.tables)
        return project, settings

    return make


def block(project: Project, table: str) -> TableMap:
    (only,) = (it for it in [project.mapping.tables[table]] if isinstance(it, TableMap))
    return only


def test_a_tills_date_and_clock_become_one_time(load: Load, tmp_path: Path) -> None:
    rows = [
        f"{bon};{pos};{bon % 28 + 1:02}.05.2024;{8 + bon % 12:02}:30;K{bon % 7};A{(bon + pos) % 5};1;2,50"
        for bon in range(30)
        for pos in (1, 2)
    ]
    head = "Bonnr;Pos;Datum;Uhrzeit;Kundennr;Artikelnr;Menge;Betrag"
    (tmp_path / "kasse.csv").write_text("\n".join([head, *rows]))
    project, settings = load("kasse.csv")
    made = block(project, "transactions").columns
    assert made["basket_id"] == "Bonnr"
    first = tables.scan(settings, "transactions").filter(pl.col("basket_id") == "0").collect()
    assert first["event_timestamp"].to_list() == [datetime(2024, 5, 1, 8, 30, tzinfo=UTC)] * 2


def test_lists_of_lines_become_transactions(load: Load, tmp_path: Path) -> None:
    orders = [
        {
            "order_id": f"O{number}",
            "member": {"id": f"M{number % 9}"},
            "total": 500,
            "paid_at": f"2024-06-{number % 28 + 1:02} 10:00:00",
            "lines": [{"sku": "A", "qty": 2, "price_cents": 150}, {"sku": "B", "qty": 1, "price_cents": 200}],
        }
        for number in range(30)
    ]
    (tmp_path / "orders.jsonl").write_text("\n".join(map(json.dumps, orders)))
    project, settings = load("orders.jsonl")
    assert {name: it.explode for name, it in project.mapping.sources.items()} == {"orders_lines": "lines"}
    lines = tables.scan(settings, "transactions").filter(pl.col("basket_id") == "O3").collect().sort("amount")
    assert lines["amount"].to_list() == [2.0, 3.0], "a line's own price times its pieces, not the order's total"


def test_a_file_of_calls_becomes_contacts_responses_and_profiles(load: Load, tmp_path: Path) -> None:
    head = "client;age;job;marital;contact;call date;duration;campaign;previous;y"
    calls = [
        f"{number % 20};{30 + number // 20};{'clerk' if number < 20 else 'boss'};single;phone;"
        f"{number % 28 + 1:02}/09/2024;{number * 7};{number % 3 + 1};0;{'yes' if number % 4 == 0 else 'no'}"
        for number in range(40)
    ]
    (tmp_path / "calls.csv").write_text("\n".join([head, *calls]))
    project, settings = load("calls.csv")
    assert block(project, "customers").conflicts == "last"
    customers = tables.scan(settings, "customers").collect()
    assert (customers.height, customers["job"].unique().to_list()) == (20, ["boss"])
    assert tables.scan(settings, "contacts").collect().height == 40
    assert tables.scan(settings, "responses").collect().height == 10
    assert "boolean" not in str(block(project, "customers").columns["previous"])


def test_a_nested_account_links_events_to_customers(load: Load, tmp_path: Path) -> None:
    keys = [f"K10{number:03}" for number in range(40)]
    (tmp_path / "kunden.csv").write_text("Kundennr;PLZ\n" + "\n".join(f"{key};53{key[-3:]}" for key in keys))
    events = [
        {
            "ts": 1717000000 + number,
            "type": "view",
            "visitor": {"cookie": f"ck-{number % 30}", "account": keys[number % 40] if number % 2 else None},
            "page": f"/p/{number}",
        }
        for number in range(100)
    ]
    (tmp_path / "events.json").write_text(json.dumps(events))
    project, settings = load("kunden.csv", "events.json")
    made = block(project, "interactions").columns
    assert (made["customer_id"], made["visitor_id"]) == ("visitor.account", "visitor.cookie")
    told = tables.scan(settings, "interactions").filter(pl.col("customer_id").is_not_null()).collect()
    assert told.height == 50


def test_sales_to_nobody_are_set_aside_not_rejected(load: Load, tmp_path: Path) -> None:
    rows = [f"B{n};{n % 28 + 1:02}.05.2024;{'' if n % 4 == 0 else f'K{n % 9}'};A{n % 5};2,50" for n in range(60)]
    (tmp_path / "kasse.csv").write_text("\n".join(["Beleg;Datum;Kunde;Artikel;Betrag", *rows]))
    project, settings = load("kasse.csv")
    assert block(project, "transactions").where == "Kunde is not null"
    assert tables.scan(settings, "transactions").collect().height == 45
    assert set(tables.quarantine(settings, "transactions").collect()["rule"]) == {"excluded"}
