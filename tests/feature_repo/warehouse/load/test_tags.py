"""Labels that a company gives its customers: loaded as every table is, withdrawn by a later file, checked."""

from datetime import UTC, datetime
from typing import Any

import polars as pl

from motherlode import names

TAGS = """
sources:
  sales: { files: "sales*.csv" }
  labels: { files: "labels*.csv" }
tables:
  transactions:
    from: sales
    columns:
      customer_id: customer
      basket_id: receipt
      item_id: item
      amount: money
      event_timestamp: sold
  tags:
    from: labels
    columns:
      customer_id: customer
      tag: label
      origin: { from: by, values: { boss: person, machine: model, it: rule, aunt: aunt } }
      confidence: sure
      event_timestamp: since
      ended_at: until
"""
HEAD = "customer,label,by,sure,since,until\n"


def labelled(company: Any) -> Any:
    company.mapping = TAGS
    company.sales("sales_1.csv", ("anna", "r1", 1, "tea", 1, 7.0, 0, "2024-01-05T10:00:00Z"))
    company.write(
        "labels_1.csv",
        f"{HEAD}anna,vip,boss,1,2024-01-06T00:00:00Z,\nben,vip,machine,0.5,2024-01-07T00:00:00Z,\n",
    )
    return company


def test_labels_are_loaded_and_a_customer_with_a_label_alone_is_a_customer(company: Any) -> None:
    labelled(company).load()
    tags = company.table(names.TAGS).sort(names.CUSTOMER_ID)
    assert tags.drop(names.LABEL_VERSION).rows() == [
        ("anna", "vip", "person", 1.0, datetime(2024, 1, 6, tzinfo=UTC), None),
        ("ben", "vip", "model", 0.5, datetime(2024, 1, 7, tzinfo=UTC), None),
    ]
    assert company.table(names.CUSTOMERS)[names.CUSTOMER_ID].to_list() == ["anna", "ben"]


def test_a_label_is_withdrawn_by_the_same_row_with_its_end_in_a_later_file(company: Any) -> None:
    labelled(company).load()
    company.write("labels_2.csv", f"{HEAD}anna,vip,boss,1,2024-01-06T00:00:00Z,2024-02-01T00:00:00Z\n")
    company.load()
    [anna] = company.table(names.TAGS).filter(pl.col(names.CUSTOMER_ID) == "anna")[names.ENDED_AT].to_list()
    assert anna == datetime(2024, 2, 1, tzinfo=UTC)
    assert company.count(names.TAGS)["merged"] == 1


def test_a_label_of_nobody_of_no_share_or_that_ends_before_it_starts_is_rejected(company: Any) -> None:
    labelled(company)
    company.mapping = "quality: { tags: { fail: 1 } }" + TAGS
    company.write(
        "labels_2.csv",
        f"{HEAD}ben,late,aunt,1,2024-01-07T00:00:00Z,\nben,sure,it,1.5,2024-01-07T00:00:00Z,\n"
        "ben,short,it,1,2024-01-07T00:00:00Z,2024-01-06T00:00:00Z\nben,,it,1,2024-01-07T00:00:00Z,\n",
    )
    company.load()
    assert company.table(names.TAGS).height == 2
    assert company.quarantine(names.TAGS)["rule"].to_list() == [
        "no origin",
        "no share",
        "ends before it starts",
        "missing",
    ]


def test_two_ids_of_one_person_have_one_label(company: Any) -> None:
    labelled(company)
    born = "Anna Ash,anna@example.org,1980-01-02"
    company.write("people.csv", f"id,name,email,born\nanna,{born}\nann,{born}\n")
    company.write("labels_2.csv", f"{HEAD}ann,vip,boss,1,2024-01-06T00:00:00Z,\n")
    company.mapping = TAGS.replace("sources:", 'sources:\n  people: { files: "people.csv" }')
    company.mapping += "  customers: { from: people, columns: { customer_id: id } }\n"
    company.mapping += "matching: { columns: { name: name, email: email, birth_date: born } }\n"
    company.load()
    assert company.table(names.TAGS)[names.CUSTOMER_ID].sort().to_list() == ["anna", "ben"]
