"""A shop whose mapping uses every block, to be broken in one place at a time."""

from pathlib import Path

import pytest

from feature_repo.warehouse.mapping.read import Project, parse

SHOP = """\
version: 1
company: Lantern & Sons
currency: EUR
time_zone: Europe/Berlin
sources:
  orders:
    files: exports/orders_*.csv
    decimal: ","
    thousands: "."
    null_values: ["n/a"]
  products: {files: products.parquet}
  crm:
    database: postgresql://reader:${PASSWORD}@db/crm
    query: SELECT * FROM people
  web: {files: web.jsonl, time_zone: UTC}
tables:
  transactions:
    from: orders
    join:
      - {source: products, on: {sku: product_no}}
    columns:
      customer_id: customer_no
      basket_id: order_no
      item_id: sku
      quantity: {sql: "CASE WHEN products.kind = 'bulk' THEN SIGN(pieces) ELSE pieces END"}
      amount: {from: cents, unit: 0.01, min: -5000, max: 5000, severity: warn}
      channel: {from: channel, values: {W: web, "007": store, "?": null}, otherwise: keep}
      event_timestamp: {from: ordered_at, format: ["%d.%m.%Y %H:%M", "%Y-%m-%d %H:%M:%S"]}
    where: state <> 'void'
    key: [basket_id, item_id]
    rules:
      - {name: price per piece, sql: "ABS(amount) <= 1000 * ABS(quantity)", column: amount}
  items:
    from: products
    columns:
      item_id: product_no
      item_name: title
      price_cents: {from: price, type: integer, after_outcome: true}
  customers:
    from: crm
    columns:
      customer_id: id
      registered_at: {from: since, day: end}
      consent_marketing: {from: newsletter, type: boolean}
      born: {from: birth, type: date, class: quasi, max: 2020-01-01}
      income: {from: income, type: number, impute: {by: median, within: [segment]}}
      segment: {from: segment, type: string, allowed: [A, B, C]}
  interactions:
    from: web
    columns:
      visitor_id: cookie
      page: url
      event_timestamp: {from: ts, format: epoch_ms}
matching:
  columns: {name: full_name, email: mail, birth_date: birth}
  threshold: 0.9
quality:
  transactions: {warn: 0.01, fail: 0.2}
checks:
  - name: turnover
    left: {table: transactions, by: customer_id, column: amount, where: "amount > 0"}
    right: {table: customers, by: customer_id, column: income}
    tolerance: 0.05
session_gap_minutes: 20
privacy: {pseudonym: hmac-sha256, encrypt_raw: true}
"""


@pytest.fixture
def shop_text() -> str:
    """The shop's mapping as it is written."""
    return SHOP


@pytest.fixture
def shop(shop_text: str) -> Project:
    """The shop's mapping as it is read."""
    return parse(shop_text.encode(), Path("motherlode.yaml"))
