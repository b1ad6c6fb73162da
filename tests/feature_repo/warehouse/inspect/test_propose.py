"""Files of companies that are in no example: which tables they become, and what is asked of a person."""

from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl
import pytest

from feature_repo.warehouse.inspect import profile, propose, write
from feature_repo.warehouse.inspect.block import Block, Proposal
from feature_repo.warehouse.mapping.read import parse

Propose = Callable[..., Proposal]


@pytest.fixture
def of() -> Propose:
    """Frames by their sources' names → a proposal whose text is a valid mapping."""

    def make(**frames: Mapping[str, list[object]]) -> Proposal:
        profiles = [
            profile.of_frame(name, [f"{name}.csv"], pl.DataFrame(columns), {}) for name, columns in frames.items()
        ]
        found = propose.propose(profiles)
        if found.blocks:
            parse(write.mapping(found, "Company").encode(), Path("motherlode.yaml"))
        return found

    return make


def block(found: Proposal, table: str) -> Block:
    (only,) = (it for it in found.blocks if it.table == table)
    return only


def made(found: Proposal, table: str) -> dict[str, object]:
    return {it.name: it.spec for it in block(found, table).columns}


def test_a_price_without_an_amount_is_multiplied_and_asked_about(of: Propose) -> None:
    found = of(
        retail={
            "InvoiceNo": ["1", "1", "2", "3"],
            "StockCode": ["A", "B", "A", "C"],
            "Quantity": ["6", "6", "-1", "24"],
            "InvoiceDate": ["12/1/2010 8:26", "12/1/2010 8:26", "12/13/2010 9:41", "12/1/2010 8:45"],
            "UnitPrice": ["2.55", "3.39", "27.50", "3.75"],
            "CustomerID": ["17850", "17850", "14527", "12583"],
        }
    )
    (amount,) = (it for it in block(found, "transactions").columns if it.name == "amount")
    assert amount.spec == {"sql": "UnitPrice * Quantity"}
    assert amount.ask
    assert made(found, "transactions")["event_timestamp"] == {"from": "InvoiceDate", "format": "%m/%d/%Y %H:%M"}


def test_lines_find_their_header_and_payments_are_not_counted_twice(of: Propose) -> None:
    orders = [f"O{number}" for number in range(20)]
    found = of(
        orders={
            "id": orders,
            "user_id": [f"U{number % 7}" for number in range(20)],
            "order_date": [f"2024-01-{number + 1:02}" for number in range(20)],
            "status": ["paid", "cancelled"] * 10,
        },
        order_items={
            "order_id": orders * 2,
            "sku": [f"S{number % 5}" for number in range(40)],
            "qty": ["1", "2"] * 20,
            "line_total": ["9.50", "12.00"] * 20,
        },
        payments={"order_id": orders, "amount": ["21.50"] * 20, "payment_type": ["card"] * 20},
    )
    lines = block(found, "transactions")
    assert lines.source == "order_items"
    assert [(link.other, link.column, link.key) for link in lines.joins] == [("orders", "order_id", "id")]
    assert made(found, "transactions")["customer_id"] == "orders.user_id"
    assert lines.where == "coalesce(orders.status, '-') not in ('cancelled')"
    assert "payments" in found.left


def test_items_and_customers_beside_every_line_become_tables(of: Propose) -> None:
    found = of(
        sales={
            "Order ID": [f"O{number // 2}" for number in range(60)],
            "Order Date": [f"{number % 28 + 1}.01.2024" for number in range(60)],
            "Customer ID": [f"C{number % 9}" for number in range(60)],
            "City": [f"City {number % 9 % 4}" for number in range(60)],
            "Product ID": [f"P{number % 7}" for number in range(60)],
            "Product Name": [f"Thing {number % 7}" for number in range(60)],
            "Sales": [f"{number}.25" for number in range(60)],
        }
    )
    assert made(found, "items") == {"item_id": "Product ID", "item_name": "Product Name"}
    assert made(found, "customers")["city"] == {"from": "City", "type": "string", "class": "quasi"}


def test_names_and_addresses_are_for_matching_alone(of: Propose) -> None:
    found = of(
        clientes={
            "id_cliente": ["1", "2", "3"],
            "nombre": ["Ana", "Luis", "Eva"],
            "apellidos": ["Gómez", "Pérez", "Ruiz"],
            "correo": ["ana@x.es", "luis@x.es", "eva@x.es"],
            "teléfono": ["+34 600 111 222", "+34 600 111 223", "+34 600 111 224"],
            "acepta_marketing": ["si", "no", "si"],
        }
    )
    assert found.matching == {
        "first_name": "nombre", "last_name": "apellidos", "email": "correo", "phone": "teléfono"
    }  # fmt: skip
    assert set(made(found, "customers")) == {"customer_id", "consent_marketing"}
    text = write.mapping(found, "Company")
    assert "ana@x.es" not in text
    assert "600" not in text


def test_an_outcome_is_marked_as_known_afterwards(of: Propose) -> None:
    found = of(telco={"customerID": ["a", "b", "c"], "gender": ["f", "m", "f"], "Churn": ["Yes", "No", "No"]})
    assert made(found, "customers")["churn"] == {"from": "Churn", "type": "boolean", "after_outcome": True}


def test_a_number_that_stands_for_nothing_is_asked_about(of: Propose) -> None:
    found = of(people={"client": list("abcdefgh"), "age": ["30"] * 8, "pdays": ["999"] * 5 + ["3", "6", "12"]})
    (pdays,) = (it for it in block(found, "customers").columns if it.name == "pdays")
    assert pdays.spec == {"from": "pdays", "type": "integer", "values": {"999": None}, "otherwise": "keep"}
    assert pdays.ask


def test_cents_that_leave_an_account_become_amounts(of: Propose) -> None:
    found = of(
        bookings={
            "customer": ["a", "b", "c", "a"],
            "article": ["w", "x", "y", "z"],
            "booked": ["20240131", "20240201", "20240229", "20240301"],
            "amount_cents": ["-1250", "-900", "-10", "5000"],
        }
    )
    assert made(found, "transactions")["amount"] == {"from": "amount_cents", "unit": -0.01}


def test_chinese_headers_and_dates_are_read(of: Propose) -> None:
    found = of(
        订单={
            "订单编号": ["D1", "D2", "D3"],
            "客户编号": ["K1", "K2", "K1"],
            "商品编号": ["S1", "S2", "S3"],
            "金额": ["35.00", "12.50", "99.90"],
            "下单时间": ["2024年3月5日 10:22", "2024年3月6日 18:05", "2024年3月7日 09:10"],
        }
    )
    assert made(found, "transactions") == {
        "customer_id": "客户编号",
        "basket_id": "订单编号",
        "item_id": "商品编号",
        "amount": "金额",
        "event_timestamp": {"from": "下单时间", "format": "%Y年%m月%d日 %H:%M"},
    }


def test_a_file_that_is_no_table_is_left_and_told_why(of: Propose) -> None:
    found = of(regions={"regionID": ["1", "2"], "regionDescription": ["East", "West"]})
    assert found.blocks == ()
    assert "lacks" in found.left["regions"]


def test_signs_in_names_and_texts_do_not_break_the_yaml(of: Propose) -> None:
    found = of(
        crm={
            "customer id: # 'x'": ["a", "b", "c"],
            'birth "day"': ["1.5.1980", "2.6.1981", "30.7.1982"],
            "{status}\n": ["yes: # no", "- x", "y"],
        }
    )
    assert made(found, "customers")["customer_id"] == "customer id: # 'x'"


def test_a_clock_that_is_missing_in_some_rows_is_asked_about(of: Propose) -> None:
    found = of(
        till={
            "Kunde": [f"K{number % 5}" for number in range(40)],
            "Bon-Nr.": [f"{number}" for number in range(40)],
            "Artikel": [f"A{number % 3}" for number in range(40)],
            "Datum": [f"{number % 28 + 1}.5.2024" for number in range(40)],
            "Zeit": ["", *["18:05"] * 39],
            "Betrag": [f"{number},50" for number in range(40)],
        }
    )
    (when,) = (it for it in block(found, "transactions").columns if it.name == "event_timestamp")
    assert when.spec == {"sql": "Datum || ' ' || coalesce(Zeit, '00:00')", "format": "%d.%m.%Y %H:%M"}
    assert when.ask
    assert made(found, "transactions")["basket_id"] == "Bon-Nr."


def test_accounts_without_attributes_yield_to_the_file_that_tells_of_customers(of: Propose) -> None:
    clients = [f"C{number}" for number in range(20)]
    found = of(
        accounts={"account": [f"PT{number}" for number in range(20)], "client_id": clients},
        people={"client_id": clients, "age": [str(20 + number) for number in range(20)]},
    )
    assert block(found, "customers").source == "people"


def test_a_list_that_cannot_be_exploded_is_told(of: Propose) -> None:
    found = of(crm={"customer_id": ["a", "b", "c"], "plz": ["1", "2", "3"], "orders": ['[{"a": 1}]'] * 3})
    assert "orders is a list" in write.mapping(found, "Company")


def test_returns_that_name_receipt_and_line_are_told_of_the_look_up(of: Propose) -> None:
    found = of(
        kasse={
            "Bonnr": [f"{number // 2}" for number in range(40)],
            "Pos": ["1", "2"] * 20,
            "Kunde": [f"K{number % 7}" for number in range(40)],
            "Artikel": [f"A{number % 5}" for number in range(40)],
            "Datum": [f"{number % 28 + 1}.05.2024" for number in range(40)],
            "Betrag": ["2,50", "3,75"] * 20,
        },
        retouren={"Retourennr": ["R1", "R2", "R3"], "Bonnr": ["1", "5", "9"], "Pos": ["1", "2", "1"]},
    )
    assert "join: [{source: kasse, on: [Bonnr, Pos]}]" in found.left["retouren"]
