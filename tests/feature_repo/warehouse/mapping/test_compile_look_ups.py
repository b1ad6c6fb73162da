"""What is looked up in another source is read as that source is: its signs, its texts for nothing, its zone."""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pytest

from feature_repo.warehouse.mapping import model
from feature_repo.warehouse.mapping.compile import compile_matching, compile_table
from feature_repo.warehouse.mapping.made import Compiled
from feature_repo.warehouse.mapping.read import parse
from motherlode import names

MAPPING = """
company: C
sources:
  lines: {files: l.csv}
  rates: {files: r.csv}
  orders: {files: o.csv, time_zone: Europe/Berlin, null_values: [n/a]}
tables:
  transactions:
    from: lines
    join: [{source: rates, on: no}, {source: orders, on: no}]
    where: %(where)s
    columns:
      customer_id: orders.customer
      item_id: no
      amount: %(amount)s
      event_timestamp: %(time)s
"""
OWN = pl.DataFrame({"no": ["1", "2"], "money": ["1.010,50", None], "at": ["2025-09-01 00:30", None]})
BESIDE = pl.DataFrame(
    {
        "rates.rate": ["1.125", "2.500"],
        "orders.customer": ["K", "n/a"],
        "orders.at": ["2025-09-01 00:30", "2025-09-01 12:00"],
        "orders.sent": [dt.datetime(2025, 9, 1, 1, 30), None],
    }
)
LOOK_UPS = {
    source: {name.split(".")[1]: dtype for name, dtype in BESIDE.schema.items() if name.startswith(source)}
    for source in ("rates", "orders")
}
FOUND = {"lines": {"decimal": ",", "thousands": "."}}


def made(
    amount: str = "money",
    time: str = "orders.at",
    where: str = "true",
    found: Mapping[str, Mapping[str, str]] = FOUND,
    **sources: str,
) -> Compiled:
    """German lines beside English rates and Berlin's orders, compiled."""
    text = MAPPING % {"amount": amount, "time": time, "where": where}
    for name, more in sources.items():
        text = text.replace(f"  {name}: {{", f"  {name}: {{{more}, ")
    project = parse(text.encode(), Path("m.yaml"))
    entry = project.mapping.tables[names.TRANSACTIONS]
    assert isinstance(entry, model.TableMap)
    return compile_table(project, names.TRANSACTIONS, entry, OWN.schema, LOOK_UPS, found)


def rows(compiled: Compiled) -> pl.DataFrame:
    """The two lines' columns; nothing failed."""
    columns = [it for it in compiled.columns if it.name != names.OUTSIDE_ID]
    frame = pl.concat([OWN, BESIDE], how="horizontal").lazy()
    failed = pl.any_horizontal(it.failed for it in columns if it.failed is not None)
    done = frame.select(failed.any().alias("failed"), *(it.value.alias(it.name) for it in columns)).collect()
    assert not done["failed"].any()
    return done


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        ("money", [1010.5, None]),
        ("rates.rate", [1.125, 2.5]),
        ("{from: rates.rate, values: {'2.500': 4}, otherwise: keep}", [1.125, 4]),
        ("{sql: rates.rate}", [1.125, 2.5]),
        ("{sql: 'ROUND(money * rates.rate, 4)'}", [1136.8125, None]),
        ("{sql: TRIM(rates.rate) + 1}", [2.125, 3.5]),
        ("{sql: TRY_CAST(rates.rate AS DOUBLE)}", [1.125, 2.5]),
        ("{sql: 'COALESCE(money, rates.rate)'}", [1010.5, 2.5]),
        ("{sql: 'TRIM(COALESCE(NULLIF(money, rates.rate), rates.rate)) * 2'}", [2021, 5]),
        ("{sql: CASE WHEN rates.rate > 2 THEN rates.rate ELSE money END}", [1010.5, 2.5]),
        ("{sql: 'CASE WHEN no = ''1'' THEN COALESCE(money, rates.rate) ELSE rates.rate END'}", [1010.5, 2.5]),
        ("{sql: CASE WHEN no = '1' THEN rates.rate ELSE '7' END}", [1.125, 7]),
        ("{from: rates.rate, decimal: ',', thousands: '.'}", [1125, 2500]),
    ],
)
def test_numbers_have_the_signs_of_the_source_that_they_come_from(amount: str, expected: list[float | None]) -> None:
    assert rows(made(amount))["amount"].to_list() == expected


def test_a_look_ups_signs_are_the_stated_ones_and_else_those_that_its_file_showed() -> None:
    stated = made("rates.rate", rates='decimal: ",", thousands: "."')
    assert rows(stated)["amount"].to_list() == [1125, 2500]
    shown = made("rates.rate", found={"rates": {"decimal": ",", "thousands": "."}})
    assert rows(shown)["amount"].to_list() == [1125, 2500]


def test_a_condition_reads_each_column_as_its_source_is_read() -> None:
    compiled = made(where="money > 1000 OR rates.rate > 2")
    assert compiled.where is not None
    frame = pl.concat([OWN, BESIDE], how="horizontal")
    assert frame.select(meant=compiled.where)["meant"].to_list() == [True, True]
    compiled = made(where="rates.rate > 1000")
    assert compiled.where is not None
    assert frame.filter(compiled.where).is_empty()


def test_what_means_nothing_in_a_look_up_is_nothing() -> None:
    assert rows(made())["customer_id"].to_list() == ["K", None]
    assert rows(made(time="{sql: orders.at}"))["customer_id"].to_list() == ["K", None]


@pytest.mark.parametrize(
    ("time", "utc", "local"),
    [
        ("orders.at", (8, 31, 22), (9, 1, 0)),
        ("at", (9, 1, 0), (9, 1, 0)),
        ("{sql: CAST(orders.at AS TIMESTAMP)}", (8, 31, 22), (9, 1, 0)),
        ("{sql: 'STRPTIME(orders.at, ''%Y-%m-%d %H:%M'')'}", (8, 31, 22), (9, 1, 0)),
        ("orders.sent", (8, 31, 23), (9, 1, 1)),
        ("{sql: orders.sent - INTERVAL '1 hour'}", (8, 31, 22), (9, 1, 0)),
        ("{sql: 'COALESCE(at, orders.at)'}", (9, 1, 0), (9, 1, 0)),
        ("{sql: 'COALESCE(orders.at, at)'}", (8, 31, 22), (8, 31, 22)),
        ("{sql: 'LEAST(CAST(at AS TIMESTAMP), orders.sent)'}", (8, 31, 23), (8, 31, 23)),
        ("{from: orders.at, time_zone: Asia/Tokyo}", (8, 31, 15), (9, 1, 0)),
    ],
)
def test_times_are_on_the_clock_of_the_source_that_they_come_from(
    time: str, utc: tuple[int, int, int], local: tuple[int, int, int]
) -> None:
    first = rows(made(time=time)).row(0, named=True)
    found = first["event_timestamp"], first["local_timestamp"]
    assert [(it.month, it.day, it.hour) for it in found] == [utc, local]


def test_hours_between_two_zones_are_hours() -> None:
    between = "{sql: 'DATE_DIFF(''minute'', CAST(orders.at AS TIMESTAMP), CAST(at AS TIMESTAMP))'}"
    assert rows(made(between))["amount"].to_list() == [120, None]


def test_people_are_compared_by_what_is_looked_up_as_it_is_read_there() -> None:
    text = """
company: C
sources: {crm: {files: c.csv}, more: {files: m.csv, null_values: ["-"]}}
tables:
  customers:
    from: crm
    join: [{source: more, on: id}]
    columns: {customer_id: id}
matching: {columns: {name: more.name, email: mail}}
"""
    project = parse(text.encode(), Path("m.yaml"))
    entry = project.mapping.tables[names.CUSTOMERS]
    assert isinstance(entry, model.TableMap)
    own = pl.DataFrame({"id": ["1"], "mail": ["-"], "more.name": ["-"]})
    schema = {"id": pl.String(), "mail": pl.String()}
    compared = compile_matching(project, entry, schema, {"more": {"name": pl.String()}})
    assert own.select(it.value.alias(it.name) for it in compared.columns).rows() == [(None, "-")]
