"""What the bundle says of each item besides its name: its price, whether there are any, and how popular it is."""

from typing import Final

import msgspec
import numpy as np
import polars as pl

from motherlode import names
from motherlode.manifest import ItemTable
from training.popular import popularity

_SALES: Final = 20
"""The latest sales of an item, whose median is what it was paid with, where the company states no price."""


def stock_up(table: ItemTable, transactions: pl.DataFrame, items: pl.DataFrame) -> ItemTable:
    """Complete the bundle's item table.

    Args:
        table: ids, keys, names and categories.
        transactions: item_id, quantity, amount, event_timestamp, customer_id and basket_id are read.
        items: item_id, and the company's own columns `price`, a number, and `stock`, a number or a boolean, where it
            has them.

    Returns:
        The same rows with `prices`: as the company states them, else the median unit price of the latest 20 sales;
        with `stock`, empty where the company has no such column; and with `popularity`.
    """
    keys = pl.DataFrame({names.ITEM_ID: list(table.keys)}, schema={names.ITEM_ID: pl.String})
    known = keys.join(items, on=names.ITEM_ID, how="left", maintain_order="left")
    known = known.join(_paid(transactions), on=names.ITEM_ID, how="left", maintain_order="left")
    stated = _numbers(known, names.PRICE)
    prices = known["paid"] if stated is None else stated.fill_null(known["paid"])
    stock = _numbers(known, names.STOCK)
    return msgspec.structs.replace(
        table,
        prices=_listed(prices),
        stock=() if stock is None else _listed(stock),
        popularity=popularity(transactions, table.keys),
    )


def _paid(transactions: pl.DataFrame) -> pl.DataFrame:
    """item_id and `paid`, the median unit price of each item's latest sales."""
    sold = (pl.col(names.QUANTITY) > 0) & (pl.col(names.AMOUNT) > 0)
    unit = pl.col(names.AMOUNT) / pl.col(names.QUANTITY)
    return (
        transactions.filter(sold)
        .select(names.ITEM_ID, names.EVENT_TIMESTAMP, unit.alias("paid"))
        .sort(names.EVENT_TIMESTAMP, "paid")
        .group_by(names.ITEM_ID)
        .agg(pl.col("paid").tail(_SALES).median())
    )


def _numbers(frame: pl.DataFrame, column: str) -> pl.Series | None:
    """A column as finite numbers; None where there is none, or it holds none."""
    if column not in frame.columns:
        return None
    kind = frame.schema[column]
    if not kind.is_numeric() and kind != pl.Boolean:
        return None
    found = frame[column].cast(pl.Float64)
    found = found.set(~found.is_finite().fill_null(False), None)
    return None if found.null_count() == len(found) else found


def _listed(column: pl.Series) -> tuple[float | None, ...]:
    # A price as it is written on the shelf, and not with the sixteen digits of a division.
    return tuple(None if each is None or not np.isfinite(each) else round(each, 4) for each in column.to_list())
