"""Keys that another table lacks, times out of order, and tables gone stale."""

from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from feature_repo.warehouse.quality import relations
from feature_repo.warehouse.quality.finding import Finding
from feature_repo.warehouse.state import State

from .conftest import NOW, Shop, rows_of, sale, sound


def of(shop: Shop, tables: dict[str, pl.DataFrame]) -> list[Finding]:
    return list(relations.find(shop.settings, shop.mapping, shop.candidate(tables), shop.before))


def touch(table: str, customer: str = "1", campaign: str = "k", days: float = 1.0) -> pl.DataFrame:
    at = NOW - timedelta(days=days)
    return rows_of(table, [{"customer_id": customer, "campaign_id": campaign, "event_timestamp": at}])


def campaign(name: str = "k") -> pl.DataFrame:
    return rows_of("campaigns", [{"campaign_id": name, "started_at": NOW}])


def test_sound_tables_have_no_finding(shop: Shop) -> None:
    more = {"campaigns": campaign(), "contacts": touch("contacts", days=3), "responses": touch("responses")}
    assert of(shop, {**sound(), **more}) == []


def test_items_that_the_catalogue_lacks_are_counted_and_named(shop: Shop) -> None:
    rows = rows_of("transactions", [sale(item=it) for it in ("a", "x", "y", "x", "z", "w")])
    (finding,) = of(shop, {**sound(), "transactions": rows})
    assert finding.what == "items sold that the catalogue lacks"
    assert finding.value == "5 of 6 (83 %) rows, 4 different: x, w, y, ..."


def test_items_that_were_derived_from_the_sales_themselves_are_no_catalogue(shop: Shop) -> None:
    """The warehouse adds what was sold to the integrated items: that does not make it listed."""
    state = shop.candidate({**sound(), "transactions": rows_of("transactions", [sale(item="x")])})
    derived = shop.candidate({"items": rows_of("items", [{"item_id": it} for it in "abx"])}).integrated["items"]
    state = State(raw=state.raw, clean=state.clean, integrated={**state.integrated, "items": derived})
    found = relations.find(shop.settings, shop.mapping, state, State())
    assert [it.what for it in found] == ["items sold that the catalogue lacks"]


def test_customers_without_a_profile_are_counted_and_never_named(shop: Shop) -> None:
    rows = rows_of("transactions", [sale(customer=it) for it in ("1", "canary", "canary")])
    (finding,) = of(shop, {**sound(), "transactions": rows})
    assert (finding.what, finding.value) == ("customers without a profile", "2 of 3 (67 %) rows, 1 different")


@pytest.mark.parametrize(
    ("tables", "what"),
    [
        ({"contacts": touch("contacts", "9"), "campaigns": campaign()}, "customers without a profile"),
        ({"contacts": touch("contacts"), "campaigns": campaign("other")}, "campaigns that nobody knows"),
        ({"responses": touch("responses"), "campaigns": campaign("other")}, "campaigns that nobody knows"),
        (
            {"feedback": rows_of("feedback", [{"customer_id": "1", "item_id": "x", "event_timestamp": NOW}])},
            "items written about that the catalogue lacks",
        ),
        (
            {"interactions": rows_of("interactions", [{"visitor_id": "v", "item_id": "x", "event_timestamp": NOW}])},
            "items looked at that the catalogue lacks",
        ),
    ],
)
def test_every_reference_between_tables_is_followed(shop: Shop, tables: dict[str, pl.DataFrame], what: str) -> None:
    found = of(shop, {**sound(), **tables})
    assert [it.what for it in found] == [what]


def test_a_table_that_is_not_mapped_is_not_missed(shop: Shop) -> None:
    shop.mapping.tables.pop("items")
    assert of(shop, {name: frame for name, frame in sound().items() if name != "items"}) == []


def test_purchases_before_registration_are_counted_to_the_microsecond(shop: Shop) -> None:
    known = NOW - timedelta(days=10)
    customers = rows_of(
        "customers", [{"customer_id": it, "registered_at": known if it == "1" else None} for it in "12"]
    )
    times: list[dict[str, Any]] = [
        {"event_timestamp": known - timedelta(microseconds=1)},
        {"event_timestamp": known},
        {"event_timestamp": known - timedelta(days=9)},
    ]
    rows = rows_of("transactions", [*(sale("1", **it) for it in times), sale("2", days=300)])
    (finding,) = of(shop, {**sound(), "customers": customers, "transactions": rows})
    assert finding.what == "purchases before the customer was registered"
    assert finding.value == "2 of 4 (50 %) rows, of 1 customer"


def test_a_response_before_its_first_contact_is_counted(shop: Shop) -> None:
    contacts = pl.concat([touch("contacts", days=5), touch("contacts", days=2), touch("contacts", "2", days=1)])
    responses = pl.concat([touch("responses", days=5.5), touch("responses", days=4), touch("responses", "3", days=9)])
    found = of(shop, {**sound(), "campaigns": campaign(), "contacts": contacts, "responses": responses})
    assert [(it.what, it.value) for it in found] == [("responses before their contact", "1 of 3 (33 %) rows")]


@pytest.mark.parametrize(("days", "told"), [(28.0, False), (28.1, True), (3000.0, True)])
def test_a_table_whose_newest_event_is_old_when_it_lands_is_told(shop: Shop, days: float, told: bool) -> None:
    customers = rows_of("customers", [{"customer_id": "1"}])
    rows = rows_of("transactions", [sale("1", days=days), sale("1", days=days + 400)])
    found = of(shop, {**sound(), "customers": customers, "transactions": rows})
    assert [it.what for it in found] == (["the newest event is old"] if told else [])


def test_only_what_is_new_is_looked_at(shop: Shop) -> None:
    shop.keep({**sound(), "transactions": rows_of("transactions", [sale(item="x")])})
    items = rows_of("items", [{"item_id": "c"}])
    assert of(shop, {"items": items}) == []
