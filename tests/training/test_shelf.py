"""What the bundle says of an item: a price that was stated or paid, stock where the company has it, and popularity."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from motherlode.manifest import ItemTable
from training.shelf import stock_up

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TABLE = ItemTable(ids=("a", "b", "c"), keys=("a", "b", "c"), names=("A", "B", "C"), categories=("", "", ""))


def sales(*rows: tuple[str, float, float, float]) -> pl.DataFrame:
    """Lines of (item, quantity, amount, days ago), each a basket of its own."""
    return pl.DataFrame(
        {
            "customer_id": ["one"] * len(rows),
            "basket_id": [str(i) for i in range(len(rows))],
            "item_id": [row[0] for row in rows],
            "quantity": [row[1] for row in rows],
            "amount": [row[2] for row in rows],
            "event_timestamp": [NOW - timedelta(days=row[3]) for row in rows],
        },
        schema_overrides={"event_timestamp": pl.Datetime("us", "UTC")},
    )


def items(**columns: list[Any]) -> pl.DataFrame:
    return pl.DataFrame({"item_id": ["c", "a", "b"], **columns})


LINES = sales(("a", 2, 5.0, 1), ("a", 1, 3.0, 2), ("a", 1, 0.0, 0), ("a", -1, -9.0, 0), ("b", 3, 1.0, 4))


def test_without_a_stated_price_it_is_the_median_of_what_was_paid() -> None:
    table = stock_up(TABLE, LINES, items())
    assert table.prices == (2.75, 0.3333, None)
    assert table.stock == ()


def test_only_the_latest_sales_count() -> None:
    old = [("a", 1.0, 100.0, float(day)) for day in range(100, 200)]
    new = [("a", 1.0, 2.0, float(day)) for day in range(20)]
    assert stock_up(TABLE, sales(*old, *new), items()).prices[0] == 2.0


def test_a_stated_price_wins_and_the_rows_stay_beside_their_keys() -> None:
    table = stock_up(TABLE, LINES, items(price=[7, 4, None], stock=[0.0, 12.0, float("nan")]))
    assert table.prices == (4.0, 0.3333, 7.0)
    assert table.stock == (12.0, None, 0.0)
    assert (table.ids, table.keys, table.names) == (TABLE.ids, TABLE.keys, TABLE.names)


@pytest.mark.parametrize(
    ("stock", "right"),
    [([True, False, None], (0.0, None, 1.0)), (["yes", "no", "no"], ()), ([None, None, None], ())],
)
def test_stock_may_be_a_boolean_and_a_text_is_none(stock: list[Any], right: tuple[float | None, ...]) -> None:
    assert stock_up(TABLE, LINES, items(stock=stock)).stock == right


def test_every_item_has_its_share_of_the_baskets() -> None:
    table = stock_up(TABLE, sales(("a", 1, 1, 0), ("a", 1, 1, 0), ("b", 1, 1, 0), ("x", 1, 1, 0)), items())
    assert table.popularity == pytest.approx((0.5, 0.25, 0.0))
