"""Lines beside foreign rates and their own headers: each file is read by its own signs and on its own clock."""

from datetime import UTC, datetime
from typing import Any

from motherlode import names

GERMAN = """
sources:
  rates: { files: "rates*.csv" }
  sales: { files: sales.csv }
tables:
  transactions:
    from: sales
    join: [{ source: rates, on: currency }]
    columns:
      customer_id: customer
      basket_id: receipt
      item_id: item
      amount: { sql: "ROUND(money * rates.rate, 4)" }
      retail_discount: rates.fee
      event_timestamp: sold
"""
HEADERS = """
sources:
  orders: { files: orders.csv, time_zone: Europe/Berlin, null_values: ["n/a"] }
  lines: { files: lines.csv }
tables:
  transactions:
    from: lines
    join: [{ source: orders, on: no }]
    columns:
      customer_id: orders.customer
      basket_id: no
      item_id: item
      amount: money
      store_id: orders.shop
      event_timestamp: orders.ordered_at
"""


def german(company: Any) -> None:
    """A German till's sums, and two currencies' English rates."""
    company.mapping = GERMAN
    rows = ["customer;receipt;item;money;currency;sold", "K1;A1;TEA;1.010,50;USD;2024-01-05T10:00:00Z"]
    rows += [f"K2;B{n};TEA;{n}.234,56;CHF;2024-01-05T10:00:00Z" for n in range(1, 4)]
    company.write("sales.csv", "\n".join(rows) + "\n")


def test_rates_written_in_english_beside_sums_written_in_german(company: Any) -> None:
    german(company)
    company.write("rates.csv", "currency,rate,fee\nUSD,1.125,0.25\nCHF,2.0,1.5\n")
    company.load()
    lines = company.table(names.TRANSACTIONS).sort(names.BASKET_ID)
    assert company.quarantine().is_empty()
    assert lines[names.AMOUNT].to_list() == [1136.8125, 2469.12, 4469.12, 6469.12]
    assert lines[names.RETAIL_DISCOUNT].to_list() == [0.25, 1.5, 1.5, 1.5]


def test_of_a_look_ups_files_the_newest_that_shows_its_signs_tells_them(company: Any) -> None:
    german(company)
    company.write("rates_1.csv", "currency;rate;fee\nUSD;1,125;0,25\n")
    company.write("rates_2.csv", "currency;rate;fee\nCHF;2;1\n")
    company.load()
    lines = company.table(names.TRANSACTIONS).sort(names.BASKET_ID)
    assert lines[names.AMOUNT].to_list() == [1136.8125, 2469.12, 4469.12, 6469.12]


def test_lines_are_sold_on_the_clock_of_their_headers_and_again_where_it_is_corrected(company: Any) -> None:
    company.mapping = HEADERS
    company.write("orders.csv", "no,customer,ordered_at,shop\nA1,K1,2025-09-01 00:30:00,n/a\n")
    company.write("lines.csv", "no,item,money\nA1,TEA,1\n")
    company.load()
    [line] = company.table(names.TRANSACTIONS).rows(named=True)
    assert line[names.EVENT_TIMESTAMP] == datetime(2025, 8, 31, 22, 30, tzinfo=UTC)
    assert line[names.LOCAL_TIMESTAMP] == datetime(2025, 9, 1, 0, 30)
    assert line[names.STORE_ID] is None
    company.mapping = HEADERS.replace("Europe/Berlin", "Asia/Tokyo").replace('["n/a"]', "[]")
    company.load()
    [line] = company.table(names.TRANSACTIONS).rows(named=True)
    assert line[names.EVENT_TIMESTAMP] == datetime(2025, 8, 31, 15, 30, tzinfo=UTC)
    assert line[names.STORE_ID] == "n/a"
