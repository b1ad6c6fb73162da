"""What only several tables, or several files, can tell."""

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from feature_repo.warehouse import tables
from motherlode import names
from motherlode.errors import DataError

CAMPAIGNS = """
quality: { responses: { fail: 1 } }
sources:
  sales: { files: sales.csv }
  campaigns: { files: campaigns.csv }
  contacts: { files: contacts.csv }
  answers: { files: answers.csv }
tables:
  transactions:
    from: sales
    columns:
      customer_id: customer
      basket_id: receipt
      item_id: item
      quantity: pieces
      amount: money
      coupon_discount: coupon
      event_timestamp: sold
  campaigns:
    from: campaigns
    columns: { campaign_id: id, started_at: { from: begins }, ended_at: { from: ends, day: end } }
  contacts:
    from: contacts
    columns: { customer_id: customer, campaign_id: campaign }
  responses:
    from: answers
    columns: { customer_id: customer, campaign_id: campaign, event_timestamp: answered }
"""


def shop(company: Any) -> Any:
    company.mapping = CAMPAIGNS
    company.sales("sales.csv", ("anna", "r1", 1, "tea", 2, 7.0, 0, "2024-01-05T10:00:00Z"))
    company.write("campaigns.csv", "id,begins,ends\nspring,2024-03-01,2024-03-31\nopen,2024-04-01,\n")
    company.write("contacts.csv", "customer,campaign\nanna,spring\nben,open\nben,nowhere\n")
    company.write(
        "answers.csv",
        "customer,campaign,answered\nanna,spring,2024-03-31T22:00:00Z\nanna,spring,2024-04-01T00:00:00Z\n"
        "cleo,spring,2024-03-02T00:00:00Z\nben,open,2025-01-01T00:00:00Z\nben,nowhere,2024-03-02T00:00:00Z\n",
    )
    return company


def test_contacts_are_made_at_their_campaigns_start_and_responses_must_follow_one(company: Any) -> None:
    shop(company).load()
    contacts = company.table(names.CONTACTS)
    assert contacts.select(names.CUSTOMER_ID, names.CAMPAIGN_ID, names.EVENT_TIMESTAMP).rows() == [
        ("anna", "spring", datetime(2024, 3, 1, tzinfo=UTC)),
        ("ben", "open", datetime(2024, 4, 1, tzinfo=UTC)),
    ]
    assert company.table(names.RESPONSES).select(names.CUSTOMER_ID, names.CAMPAIGN_ID).rows() == [
        ("anna", "spring"), ("ben", "open")
    ]  # fmt: skip
    rejected = company.quarantine(names.RESPONSES).sort("line")
    assert rejected.select("line", "column", "rule").rows() == [
        (3, names.EVENT_TIMESTAMP, "outside its campaign"),
        (4, names.CAMPAIGN_ID, "not contacted"),
        (6, names.CAMPAIGN_ID, "unknown campaign"),
    ]
    assert company.quarantine(names.CONTACTS).select("line", "value", "rule").rows() == [
        (4, "nowhere", "unknown campaign")
    ]
    assert company.table(names.CUSTOMERS)[names.CUSTOMER_ID].to_list() == ["anna", "ben"]
    assert company.count(names.CUSTOMERS)["derived"] == 2


def test_without_campaigns_contacts_tell_of_them(company: Any) -> None:
    shop(company)
    head, _, rest = company.mapping.partition("  campaigns:\n    from: campaigns")
    contacts = rest[rest.index("  contacts:") :].replace(
        "campaign_id: campaign }", "campaign_id: campaign, event_timestamp: at }", 1
    )
    company.mapping = head.replace("  campaigns: { files: campaigns.csv }\n", "") + contacts
    company.write(
        "contacts.csv", "customer,campaign,at\nben,spring,2024-03-05T00:00:00Z\nanna,spring,2024-03-02T00:00:00Z\n"
    )
    company.load()
    assert company.table(names.CAMPAIGNS).select(names.CAMPAIGN_ID, names.STARTED_AT, names.ENDED_AT).rows() == [
        ("spring", datetime(2024, 3, 2, tzinfo=UTC), None)
    ]
    assert company.table(names.RESPONSES).height == 2
    assert set(company.quarantine(names.RESPONSES)["rule"]) == {"not contacted", "unknown campaign"}


def test_a_coupon_on_the_whole_basket_goes_to_its_dearest_line_and_money_is_kept(company: Any) -> None:
    company.sales(
        "sales_1.csv",
        ("anna", "r1", 1, "tea", 2, 7.0, 0.5, "2024-01-05T10:00:00Z"),
        ("anna", "r1", 2, "milk", 1, 1.5, 0, "2024-01-05T10:00:00Z"),
        ("anna", "r1", 3, "coupon", 0, 0, 2.25, "2024-01-05T10:00:00Z"),
        ("ben", "r2", 1, "coupon", 0, 0, 1.0, "2024-01-05T10:00:00Z"),
        ("ben", "r3", 1, "tea", 0, 0, 0, "2024-01-05T10:00:00Z"),
    )
    company.load()
    assert company.table(names.TRANSACTIONS)[names.COUPON_DISCOUNT].to_list() == [2.75, 0.0]
    assert company.merged().select("line", "into_line", "rule").rows() == [(4, 2, "coupon on the whole basket")]
    assert company.quarantine().sort("line").select("line", "rule").rows() == [
        (5, "coupon without a purchase"), (6, "no pieces")
    ]  # fmt: skip
    # A month that stays as it is keeps what was told of its coupons.
    company.sales("sales_2.csv", ("anna", "r9", 1, "tea", 1, 3.5, 0, "2024-02-05T10:00:00Z"))
    company.load()
    assert company.merged().height == 1
    assert set(company.quarantine()["line"]) == {5, 6}


def test_the_companys_integers_come_back_as_integers_unless_one_is_none(company: Any) -> None:
    company.sales("sales_1.csv", (1, "r1", 1, 10, 2, 7.0, 0, "2024-01-05T10:00:00Z"))
    company.load()
    assert tables.outside_ids(company.settings).rows() == [(1, "1")]
    assert company.table(names.ITEMS)[names.OUTSIDE_ID].to_list() == [10]
    company.sales("sales_2.csv", ("007", "r2", 1, "a10", 2, 7.0, 0, "2024-01-05T10:00:00Z"))
    company.load()
    assert tables.outside_ids(company.settings).rows() == [("007", "007"), ("1", "1")]
    assert company.table(names.ITEMS)[names.OUTSIDE_ID].to_list() == ["10", "a10"]


LOOKED_UP = """
sources:
  sales: { files: "sales*.csv" }
  goods: { files: "goods*.csv" }
tables:
  transactions:
    from: sales
    join:
      - { source: goods, on: { item: number } }
    columns:
      customer_id: customer
      basket_id: receipt
      item_id: item
      quantity: pieces
      amount: { sql: "pieces * goods.price" }
      event_timestamp: sold
"""


def test_a_look_up_stands_beside_each_row_and_every_row_of_it_is_found_again(company: Any) -> None:
    company.mapping = LOOKED_UP
    company.sales(
        "sales_1.csv",
        ("anna", "r1", 1, 10, 2, None, 0, "2024-01-05T10:00:00Z"),
        ("ben", "r2", 1, 20, 1, None, 0, "2024-01-05T10:00:00Z"),
    )
    company.write("goods.csv", "number,price\n10,3.5\n20,1\n20,1\n10,9\n30,7\n")
    company.load()
    assert company.table(names.TRANSACTIONS)[names.AMOUNT].to_list() == [7.0, 1.0]
    assert company.count("goods") == {
        "landed": 5, "excluded": 0, "quarantined": 2, "merged": 1, "derived": 0, "integrated": 2
    }  # fmt: skip
    rules = company.quarantine("goods").sort("line").select("file", "line", "rule").rows()
    assert rules == [("goods.csv", 5, "two rows of one key"), ("goods.csv", 6, "no row refers to it")]
    # A corrected price makes the rows anew that were looked up by it.
    company.write("goods.csv", "number,price\n10,4\n20,1\n")
    company.load()
    assert company.table(names.TRANSACTIONS)[names.AMOUNT].to_list() == [8.0, 1.0]


def test_a_look_up_without_its_key_is_told_by_name(company: Any) -> None:
    company.mapping = LOOKED_UP.replace("item: number", "item: nr")
    company.sales("sales_1.csv", ("anna", "r1", 1, 10, 2, None, 0, "2024-01-05T10:00:00Z"))
    company.write("goods.csv", "number,price\n10,3.5\n")
    with pytest.raises(DataError, match="'nr'"):
        company.load()


PEOPLE = """
sources:
  sales: { files: "sales*.csv" }
  crm: { files: crm.csv }
  web: { files: web.csv }
tables:
  transactions:
    from: sales
    columns:
      customer_id: customer
      basket_id: receipt
      item_id: item
      amount: money
      event_timestamp: sold
  customers:
    - from: crm
      columns: { customer_id: id, town: { from: town, type: string }, born: { from: born, type: integer } }
    - from: web
      columns:
        customer_id: id
        town: { from: town, type: string }
        consent_marketing: { from: agrees, type: boolean }
matching:
  columns: { name: name, email: mail, phone: phone, postcode: zip }
"""


def test_customers_who_are_one_person_become_one_everywhere_and_the_ledger_says_so(company: Any) -> None:
    company.mapping = PEOPLE
    shop = company.keyed("a secret of enough bytes")
    shop.write(
        "crm.csv",
        "id,name,mail,phone,zip,town,born\n"
        "1,Anna Maria Huber,anna.huber@example.com,0170 5551234,88131,,1980\n"
        "2,Ben Frei,ben@example.org,0171 1,10115,Berlin,\n"
        "3,Huber Anna-Maria,anna.huber@example.com,+49 170 5551234,88131,Lindau,\n",
    )
    shop.write("web.csv", "id,name,mail,phone,zip,town,agrees\n2,Ben Frei,ben@example.org,0171 1,10115,,true\n")
    shop.sales(
        "sales_1.csv",
        (3, "r1", 1, "tea", 1, 3.5, 0, "2024-01-05T10:00:00Z"),
        (1, "r2", 1, "tea", 1, 3.5, 0, "2024-01-06T10:00:00Z"),
    )
    shop.load()
    one, two, three = (shop.settings.identity.join_key(number) for number in (1, 2, 3))
    assert set(shop.table(names.TRANSACTIONS)[names.CUSTOMER_ID]) == {one}
    people = shop.table(names.CUSTOMERS)
    assert people.select(names.CUSTOMER_ID, "town", "born", "consent_marketing").sort(
        "born", nulls_last=True
    ).rows() == [
        (one, "Lindau", 1980, None),
        (two, "Berlin", None, True),
    ]
    rules = shop.merged().sort("rule").select("file", "into_file", "rule").rows()
    assert rules == [("crm.csv", "web.csv", "replaced by a later file"), ("crm.csv", "crm.csv", "same person")]
    matches = pl.read_parquet(shop.settings.home / shop.state.matches.path)
    assert matches.select(names.CUSTOMER_ID, "into_customer_id").rows() == [(three, one)]
    # Whichever of a person's outside ids is asked for, the one customer is found.
    assert tables.outside_ids(shop.settings).rows() == [(1, one), (2, two), (3, one)]
    known = shop.state.matches
    assert not shop.load().changed
    shop.sales("sales_2.csv", (2, "r3", 1, "tea", 1, 3.5, 0, "2024-02-06T10:00:00Z"))
    shop.load()
    assert shop.state.matches == known


@pytest.mark.parametrize(("first", "second"), [("true", "false"), ("false", "true"), ("", "false"), ("false", "")])
def test_who_refused_a_purpose_under_any_id_has_refused_it(company: Any, first: str, second: str) -> None:
    company.mapping = PEOPLE
    company.write("crm.csv", "id,name,mail,phone,zip,town,born\n")
    people = "Anna Maria Huber,anna.huber@example.com,0170 5551234,88131"
    company.write("web.csv", f"id,name,mail,phone,zip,town,agrees\n1,{people},,{first}\n3,{people},,{second}\n")
    company.sales("sales_1.csv", (3, "r1", 1, "tea", 1, 3.5, 0, "2024-01-05T10:00:00Z"))
    company.load()
    assert company.table(names.CUSTOMERS)["consent_marketing"].to_list() == [False]


BEHAVIOUR = """
sources:
  sales: { files: "sales*.csv" }
  clicks: { files: "clicks*.csv" }
  notes: { files: notes.csv }
tables:
  transactions:
    from: sales
    columns:
      customer_id: customer
      basket_id: receipt
      item_id: item
      amount: { from: money, impute: { by: mean } }
      event_timestamp: sold
  interactions:
    from: clicks
    columns: { customer_id: customer, visitor_id: cookie, page: page, event_timestamp: at }
  feedback:
    from: notes
    columns: { customer_id: customer, text: words, event_timestamp: at }
"""


def behaving(company: Any) -> Any:
    company.mapping = BEHAVIOUR
    company.sales(
        "sales_1.csv",
        ("anna", "r0", 1, "tea", 1, None, 0, "2024-01-04T10:00:00Z"),
        ("anna", "r1", 1, "tea", 1, 3.0, 0, "2024-01-05T10:00:00Z"),
        ("anna", "r2", 1, "tea", 1, 5.0, 0, "2024-01-06T10:00:00Z"),
        ("anna", "r3", 1, "tea", 1, None, 0, "2024-02-06T10:00:00Z"),
    )
    company.write(
        "clicks_1.csv",
        "customer,cookie,page,at\n"
        ",c1,/,2024-01-31T23:50:00Z\n,c1,/tea,2024-02-01T00:05:00Z\n,c1,/,2024-02-01T09:00:00Z\nanna,,/,2024-02-02T09:00:00Z\n,,/,2024-02-02T09:00:00Z\n",
    )
    company.write("notes.csv", "customer,words,at\nanna,This tea is wonderful,2024-01-07T10:00:00Z\n")
    return company


def test_a_session_may_cross_a_month_and_sessions_are_summed_up(company: Any) -> None:
    behaving(company).load()
    events = company.table(names.INTERACTIONS).sort(names.EVENT_TIMESTAMP)
    assert events[names.SESSION_ID][0] == events[names.SESSION_ID][1] != events[names.SESSION_ID][2]
    assert company.table(names.SESSIONS)[names.EVENTS].to_list() == [2, 1, 1]
    assert company.quarantine(names.INTERACTIONS)["rule"].to_list() == ["nobody's"]
    assert list(company.state.integrated[names.INTERACTIONS].parts) == ["2024-01", "2024-02"]
    assert company.table(names.FEEDBACK)[names.SENTIMENT][0] > 0.3


def test_a_late_event_joins_the_visit_that_it_belongs_to(company: Any) -> None:
    behaving(company).load()
    company.write("clicks_2.csv", "customer,cookie,page,at\n,c1,/milk,2024-02-01T00:20:00Z\n")
    company.load()
    assert company.table(names.SESSIONS)[names.EVENTS].to_list() == [3, 1, 1]


def test_a_missing_value_is_filled_from_earlier_months_alone_and_told(company: Any) -> None:
    behaving(company).load()
    lines = company.table(names.TRANSACTIONS)
    assert lines.select(names.BASKET_ID, names.AMOUNT, "amount_missing").rows() == [
        ("r1", 3.0, False), ("r2", 5.0, False), ("r3", 4.0, True)
    ]  # fmt: skip
    assert company.quarantine(names.TRANSACTIONS).select("line", "column", "rule").rows() == [
        (2, names.AMOUNT, "missing, and nothing in the past to fill it from")
    ]
    assert company.state.integrated[names.TRANSACTIONS].imputed == {names.AMOUNT: 1}
    # A correction of the past makes the months anew that were filled from it.
    company.sales("sales_2.csv", ("ben", "r9", 1, "tea", 1, 10.0, 0, "2024-01-20T10:00:00Z"))
    company.load()
    assert company.table(names.TRANSACTIONS).filter(basket_id="r3")[names.AMOUNT].to_list() == [6.0]


def test_where_the_past_tells_nothing_the_contracts_default_stands_in(company: Any) -> None:
    company.mapping = company.mapping.replace(
        "coupon_discount: coupon", "coupon_discount: { from: coupon, impute: { by: median } }"
    )
    company.sales(
        "sales_1.csv",
        ("anna", "r1", 1, "tea", 1, 3.0, None, "2024-01-05T10:00:00Z"),
        ("anna", "r2", 1, "tea", 1, 3.0, 2.0, "2024-01-06T10:00:00Z"),
        ("anna", "r3", 1, "tea", 1, 3.0, None, "2024-02-06T10:00:00Z"),
    )
    company.load()
    lines = company.table(names.TRANSACTIONS).sort(names.EVENT_TIMESTAMP)
    assert lines.select(names.COUPON_DISCOUNT, f"{names.COUPON_DISCOUNT}_missing").rows() == [
        (0.0, True), (2.0, False), (2.0, True)
    ]  # fmt: skip


def test_a_visitor_without_a_key_stays_and_with_one_is_a_pseudonym(company: Any) -> None:
    behaving(company).load()
    assert "c1" in company.table(names.INTERACTIONS)[names.VISITOR_ID].to_list()
    shop = company.keyed("a secret of enough bytes")
    with pytest.raises(DataError, match="no pseudonym key"):
        shop.load()
