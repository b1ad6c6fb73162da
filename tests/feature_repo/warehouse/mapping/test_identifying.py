"""Which columns a source has that identify a customer, whichever table reads it."""

from pathlib import Path

from feature_repo.warehouse.mapping.identifying import identifiers, quantities
from feature_repo.warehouse.mapping.read import parse

MAPPING = b"""
company: A shop
sources:
  sales: {files: s.csv}
  heads: {files: h.csv}
  rates: {files: r.csv}
  crm: {files: c.csv}
tables:
  transactions:
    from: sales
    join: [{source: heads, on: receipt}, {source: rates, on: day}]
    columns: {customer_id: heads.who, item_id: item, quantity: n, amount: {sql: "m * rates.rate"}, event_timestamp: day}
  items: {from: rates, columns: {item_id: item, item_name: title}}
  customers:
    from: crm
    columns: {customer_id: id, cookie: {from: c, type: string, class: identifier}}
matching: {columns: {email: mail}}
"""


def test_a_source_has_the_identifiers_of_every_table_and_of_matching() -> None:
    mapping = parse(MAPPING, Path("motherlode.yaml")).mapping
    assert identifiers(mapping, "sales") == ("customer_id",), "a table that looks its customers up may hold them too"
    assert identifiers(mapping, "heads") == ("customer_id",)
    assert identifiers(mapping, "rates") == ()
    assert identifiers(mapping, "crm") == ("cookie", "customer_id", "email")


def test_a_look_up_that_is_found_by_a_customers_id_holds_it() -> None:
    text = MAPPING.replace(b"customer_id: heads.who", b"customer_id: receipt")
    assert identifiers(parse(text, Path("motherlode.yaml")).mapping, "heads") == ("customer_id",)


def test_times_and_money_are_no_ids_but_for_what_is_looked_up_by() -> None:
    mapping = parse(MAPPING, Path("motherlode.yaml")).mapping
    assert quantities(mapping, "sales") == {"m"}, "the day is a key, too"
    assert quantities(mapping, "rates") == {"rate"}
    assert quantities(mapping, "crm") == set()
