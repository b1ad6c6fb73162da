"""History: the latest items, and those bought most often.

Grain: customer × snapshot, from `transactions`. An item counts once a basket, at its first line there; returns and
lines without an item are left out. `latest_items` are the `windows.HISTORY` latest distinct items, newest first.
`top_items` are the `windows.HISTORY` with the highest count, a basket's weight halving every `windows.ITEM_HALF_LIFE`,
highest first; `top_weights` are those counts. Ties go by `item_id`. Null for a customer who bought no item. Snapshots
but the latest stand `windows.MONTH` apart.
"""

from typing import Final

import polars as pl

from feature_repo.features import standing
from feature_repo.features.frames import (
    AT,
    LAST,
    MICROSECONDS_PER_DAY,
    SNAPSHOT,
    Tables,
    codes,
    finish,
    known,
    micros,
    population,
    purchases,
)
from feature_repo.features.standing import CODE, CUSTOMER, EARLIER, ENTRY, NUMBER, STANDING, THING, UNTIL
from feature_repo.features.view import Feature
from feature_repo.features.windows import HISTORY, ITEM_HALF_LIFE, MONTH
from motherlode import names

READS: Final = (names.TRANSACTIONS,)

SPACING: Final = MONTH
"""Its lists are longer than all other features together; a lookup finds one that is a month old at the most."""

FEATURES: Final = {
    "latest_items": Feature(pl.List(pl.String()), "item_id", f"the {HISTORY} latest distinct items, newest first"),
    "top_items": Feature(
        pl.List(pl.String()), "item_id", f"the {HISTORY} items in the most baskets, which fade, highest first"
    ),
    "top_weights": Feature(
        pl.List(pl.Float32()),
        "baskets",
        f"baskets with each of `top_items`, halved every {ITEM_HALF_LIFE.days} days",
    ),
}

_SHOWN: Final = "shown"
"""ENTRY of every row that is wanted, where ENTRY is that of the row which first has its lists."""
_WIDTH: Final = 2**25
"""An eighth of a halving."""


def build(tables: Tables, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """The view `history`; see the module for units and sources."""
    bought = purchases(tables).filter(pl.col(names.ITEM_ID).is_not_null())
    items = codes(bought, names.ITEM_ID, CODE).cache()
    customers = codes(bought, names.CUSTOMER_ID, CUSTOMER).cache()
    lives = _lives(bought, snapshots, items, customers).cache()
    asked = _rows(tables, bought, snapshots, customers).cache()
    rows = (
        asked.filter(pl.col(EARLIER).is_null() | (pl.col(LAST) >= pl.col(EARLIER)))
        .select(ENTRY, CUSTOMER, NUMBER, LAST)
        .cache()
    )
    latest = _named(standing.best(lives, rows, AT, MICROSECONDS_PER_DAY, HISTORY), items)
    top = _named(standing.best(lives, rows, STANDING, _WIDTH, HISTORY), items).cache()
    # Between two purchases the lists stay, and only the weights fade.
    shown = asked.select(pl.col(ENTRY).alias(_SHOWN), CUSTOMER, LAST, AT).join(rows, on=[CUSTOMER, LAST], how="inner")
    weight = standing.weight(pl.col(STANDING), pl.col(AT), ITEM_HALF_LIFE).cast(pl.Float32)
    weights = (
        shown.select(_SHOWN, ENTRY, AT)
        .join(top.select(ENTRY, STANDING), on=ENTRY, how="inner", maintain_order="left_right")
        .select(_SHOWN, weight.alias("top_weights"))
        .group_by(_SHOWN)
        .agg("top_weights")
    )
    lists = (
        shown.join(latest.group_by(ENTRY).agg(pl.col(names.ITEM_ID).alias("latest_items")), on=ENTRY, how="inner")
        .join(top.group_by(ENTRY).agg(pl.col(names.ITEM_ID).alias("top_items")), on=ENTRY, how="inner")
        .join(weights, on=_SHOWN, how="inner")
        .join(customers, on=CUSTOMER, how="inner")
        .select(names.CUSTOMER_ID, AT, *FEATURES)
    )
    dated = population(tables, snapshots).with_columns(micros(pl.col(SNAPSHOT)).alias(AT))
    return finish(dated.join(lists, on=[names.CUSTOMER_ID, AT], how="left"), FEATURES)


def _lives(bought: pl.LazyFrame, snapshots: pl.LazyFrame, items: pl.LazyFrame, customers: pl.LazyFrame) -> pl.LazyFrame:
    """When each customer bought each item, once a basket, until it was bought again: as `standing.best` takes it."""
    times = (
        bought.join(items, on=names.ITEM_ID, how="inner")
        .join(customers, on=names.CUSTOMER_ID, how="inner")
        .group_by(standing.thing(), names.BASKET_ID)
        .agg(micros(pl.col(names.EVENT_TIMESTAMP)).min().alias(AT))
        .select(THING, AT, standing.grown(pl.col(AT), ITEM_HALF_LIFE).alias("weight"))
    )
    lives = standing.states(times, snapshots, ["weight"])
    # Bought twice between two snapshots: the first of them no snapshot sees as the latest.
    return lives.filter(pl.col(UNTIL).is_null() | (pl.col(UNTIL) > pl.col(NUMBER))).select(
        *standing.whose(), AT, NUMBER, UNTIL, standing.standing(pl.col("weight_sum")).alias(STANDING)
    )


def _rows(tables: Tables, bought: pl.LazyFrame, snapshots: pl.LazyFrame, customers: pl.LazyFrame) -> pl.LazyFrame:
    """Each customer who bought an item before the snapshot.

    Returns:
        ENTRY, by customer and time; CUSTOMER; AT of the snapshot, NUMBER, EARLIER; LAST: when an item was last bought.
    """
    at = micros(pl.col(names.EVENT_TIMESTAMP))
    times = bought.select(names.CUSTOMER_ID, at.alias(AT)).unique().with_columns(pl.col(AT).alias(LAST))
    asks = population(tables, snapshots).select(names.CUSTOMER_ID, micros(pl.col(SNAPSHOT)).alias(AT))
    return (
        known(times, asks, [names.CUSTOMER_ID], [LAST])
        .filter(pl.col(LAST).is_not_null())
        .join(customers, on=names.CUSTOMER_ID, how="inner")
        .join(standing.numbered(snapshots), on=AT, how="inner")
        .sort(CUSTOMER, AT)
        .with_row_index(ENTRY)
        .select(pl.col(ENTRY).cast(pl.Int64), CUSTOMER, AT, NUMBER, EARLIER, LAST)
    )


def _named(best: pl.LazyFrame, items: pl.LazyFrame) -> pl.LazyFrame:
    """The items' ids beside their codes, the order kept."""
    return best.join(items, on=CODE, how="left", maintain_order="left")
