"""What only several tables together can tell."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from feature_repo.warehouse.contract import SCHEMAS
from feature_repo.warehouse.integrate import Integrated, integrate
from feature_repo.warehouse.mapping import LINE
from motherlode import names

START = datetime(2024, 3, 1, tzinfo=UTC)
END = START + timedelta(days=30)


def line(basket: str, item: str, quantity: int, amount: float, coupon: float = 0.0) -> dict[str, Any]:
    return {
        names.CUSTOMER_ID: "1",
        names.BASKET_ID: basket,
        names.ITEM_ID: item,
        names.QUANTITY: quantity,
        names.AMOUNT: amount,
        names.RETAIL_DISCOUNT: 0.0,
        names.COUPON_DISCOUNT: coupon,
        names.EVENT_TIMESTAMP: START,
        names.LOCAL_TIMESTAMP: START.replace(tzinfo=None),
    }


def response(customer: str, campaign: str, time: datetime) -> dict[str, Any]:
    return {
        names.CUSTOMER_ID: customer,
        names.CAMPAIGN_ID: campaign,
        names.COUPON_ID: "c",
        names.EVENT_TIMESTAMP: time,
    }


def integrated(**tables: list[dict[str, Any]]) -> dict[str, Integrated]:
    campaign = {
        names.CAMPAIGN_ID: "k",
        names.CAMPAIGN_TYPE: "Type A",
        names.STARTED_AT: START,
        names.ENDED_AT: END,
    }
    given = {
        names.ITEMS: [{names.ITEM_ID: "10", names.OUTSIDE_ID: 10, names.ITEM_NAME: "Bread"}],
        names.CAMPAIGNS: [campaign],
        **tables,
    }
    clean = {}
    for name, schema in SCHEMAS.items():
        columns = {
            column: dtype for column, dtype in schema.items() if (name, column) != (names.CONTACTS, "event_timestamp")
        }
        clean[name] = pl.DataFrame(given.get(name, []), schema=columns).with_row_index(LINE, offset=1)
    return integrate(clean, {name: f"{name}.parquet" for name in SCHEMAS})


def test_a_coupon_on_the_whole_basket_is_added_to_its_dearest_line() -> None:
    lines = [
        line("b", "10", 1, 2.0),
        line("b", "11", 1, 5.0, coupon=0.5),
        line("b", "12", 1, 5.0),
        line("b", "900", 0, 0.0, coupon=1.0),
        line("b", "901", 0, 0.0, coupon=0.25),
        line("other", "10", 1, 9.0),
    ]
    done = integrated(transactions=lines)[names.TRANSACTIONS]
    coupons = dict(done.rows.filter(pl.col(names.BASKET_ID) == "b").select(names.ITEM_ID, names.COUPON_DISCOUNT).rows())
    assert coupons == {"10": 0.0, "11": 1.75, "12": 0.0}, "of equal lines the first item takes it"
    assert done.merged.select("line", "into_line", "rule").rows() == [
        (4, 2, "coupon on the whole basket"),
        (5, 2, "coupon on the whole basket"),
    ]
    assert sum(row[names.COUPON_DISCOUNT] for row in lines) == done.rows[names.COUPON_DISCOUNT].sum()


def test_a_coupon_without_a_purchase_is_rejected() -> None:
    done = integrated(transactions=[line("b", "900", 0, 0.0, coupon=1.0)])[names.TRANSACTIONS]
    assert done.rows.is_empty()
    assert done.rejected.select("line", "value", "rule").rows() == [(1, "1.0", "coupon without a purchase")]


def test_a_contact_takes_its_time_from_its_campaign_and_an_unknown_campaign_is_rejected() -> None:
    contacts = [
        {names.CUSTOMER_ID: "1", names.CAMPAIGN_ID: "k"},
        {names.CUSTOMER_ID: "1", names.CAMPAIGN_ID: "nowhere"},
    ]
    done = integrated(contacts=contacts)[names.CONTACTS]
    assert done.rows.rows() == [("1", "k", START)]
    assert done.rejected.select("line", "column", "value", "rule").rows() == [
        (2, names.CAMPAIGN_ID, "nowhere", "unknown campaign")
    ]


def test_a_response_must_follow_a_contact_while_the_campaign_runs() -> None:
    responses = [
        response("1", "k", END),
        response("2", "k", START),
        response("1", "k", START - timedelta(microseconds=1)),
        response("1", "k", END + timedelta(microseconds=1)),
        response("1", "nowhere", START),
    ]
    done = integrated(contacts=[{names.CUSTOMER_ID: "1", names.CAMPAIGN_ID: "k"}], responses=responses)[names.RESPONSES]
    assert done.rows[names.EVENT_TIMESTAMP].to_list() == [END]
    assert dict(done.rejected.select("line", "rule").rows()) == {
        2: "not contacted",
        3: "outside its campaign",
        4: "outside its campaign",
        5: "unknown campaign",
    }


def test_customers_and_items_are_completed_from_their_events() -> None:
    done = integrated(
        transactions=[line("b", "10", 1, 1.0), line("b", "77", 1, 1.0)],
        customers=[{names.CUSTOMER_ID: "5", "age": "65+"}],
        contacts=[{names.CUSTOMER_ID: "9", names.CAMPAIGN_ID: "k"}],
    )
    customers = done[names.CUSTOMERS]
    assert customers.rows.select(names.CUSTOMER_ID, "age").rows() == [("5", "65+"), ("1", None), ("9", None)]
    assert customers.derived == 2
    items = done[names.ITEMS]
    assert items.derived == 1
    assert items.rows.select(names.ITEM_ID, names.OUTSIDE_ID, names.ITEM_NAME, names.DEPARTMENT).rows() == [
        ("10", 10, "Bread", None),
        ("77", 77, "Item 77", None),
    ]


def test_every_table_has_the_contracts_columns_even_when_empty() -> None:
    for name, done in integrated(items=[], campaigns=[]).items():
        assert done.rows.schema == SCHEMAS[name]
        assert done.rows.is_empty()
