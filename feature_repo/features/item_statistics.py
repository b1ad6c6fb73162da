"""Statistics of an item: popularity by window, price level, repeat rate, trend, returns, and its attributes.

Grain: item × snapshot, for each item bought in the `windows.YEAR` before it. From `transactions`, and the attributes
from `items`. A customer buys an item once a day, UTC, at the day's first such moment, however many lines there are.
Money is in the currency of the table. Snapshots but the latest stand `windows.MONTH` apart.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

import polars as pl

from feature_repo.features import windows
from feature_repo.features.frames import (
    AT,
    MICROSECONDS_PER_DAY,
    SNAPSHOT,
    Tables,
    asked,
    codes,
    kept,
    micros,
    money,
    share,
    units,
)
from feature_repo.features.view import Feature
from motherlode import names

KEY: Final = names.ITEM_ID
READS: Final = (names.TRANSACTIONS, names.ITEMS)
WHOLE: Final = True
APART: Final = {
    names.TRANSACTIONS: (
        names.ITEM_ID,
        names.CUSTOMER_ID,
        names.EVENT_TIMESTAMP,
        names.QUANTITY,
        names.AMOUNT,
        names.RETAIL_DISCOUNT,
    )
}
BESIDE: Final = {"sold": pl.Int64(), "taken": pl.Int64(), "moved": pl.Int64()}
"""Of `windows.QUARTER`: purchases; money and pieces in ten-thousandths, which a category's sums are made of."""
SPACING: Final = windows.MONTH
"""Items change slowly, and there are more of them than customers: a snapshot is as large as a customers' month."""

WINDOWS: Final[Mapping[str, timedelta]] = {
    windows.label(it): it for it in (windows.MONTH, windows.QUARTER, windows.YEAR)
}
_M, _Q, _Y = WINDOWS

_NUMBER: Final = pl.Float32()


def _windowed(name: str, unit: str, doc: str) -> dict[str, Feature]:
    return {
        f"{name}_{label}": Feature(_NUMBER, unit, f"{doc} in the last {window.days} days")
        for label, window in WINDOWS.items()
    }


FEATURES: Final[dict[str, Feature]] = {
    **_windowed("purchases", "customer-days", "days on which a customer bought it, all customers together,"),
    **_windowed("buyers", "customers", "who bought it"),
    **_windowed("amount", "currency", "paid for it, returns not taken off,"),
    f"popularity_{_Q}": Feature(
        _NUMBER, "share 0–1", f"of the snapshot's items that were not bought more often in {_Q}; 1 is the most popular"
    ),
    "trend": Feature(_NUMBER, "ratio", f"purchases of {_M} to a third of those of {_Q}; null where there is none"),
    f"price_{_Q}": Feature(_NUMBER, "currency a piece", f"mean price paid in {_Q}; null where none was bought"),
    f"relative_price_{_Q}": Feature(
        _NUMBER,
        "ratio",
        f"price_{_Q} to the mean of the pieces of its category; of all items without a category, where it has none",
    ),
    f"discount_share_{_Q}": Feature(_NUMBER, "share 0–1", f"of the full price that the shop took off in {_Q}"),
    f"on_discount_{_Q}": Feature(_NUMBER, "share 0–1", f"of the lines of {_Q} that had a price cut"),
    "repeat_rate": Feature(_NUMBER, "share 0–1", "of all its buyers, those who bought it on two days or more"),
    f"return_rate_{_Y}": Feature(_NUMBER, "ratio", f"pieces brought back in {_Y} to pieces bought"),
    "days_since_first": Feature(_NUMBER, "days", "from the day it was first bought to that of the snapshot, UTC"),
    "days_since_last": Feature(_NUMBER, "days", "from the day it was last bought to that of the snapshot, UTC"),
    names.DEPARTMENT: Feature(pl.String(), "text", "the widest group, from items"),
    names.CATEGORY: Feature(pl.String(), "text", "the group within the department, from items"),
    names.BRAND: Feature(pl.String(), "text", "the brand, from items"),
    names.PRIVATE_LABEL: Feature(pl.Boolean(), "yes or no", "whether the shop has it made for itself, from items"),
}

ACROSS: Final = (f"popularity_{_Q}", f"relative_price_{_Q}")

ITEM: Final = "item"
_LONG_AGO: Final = -(2**62)
"""The moment of what lies before all windows."""

_CUSTOMER: Final = "customer"
_PAIR: Final = "pair"
"""ITEM · 2^26 + customer, Int64: for up to 67 million customers."""
_CODES: Final = 2**26
_DAY: Final = "day"
_SINCE: Final = "since"
"""The last edge of a window up to a moment: Int64 microseconds since 1970 UTC."""
_SIDE: Final = "side"
_NEWEST: Final = "newest"
_SUMS: Final = ("amount", "cut", "lines", "cut_lines", "pieces", "back")
_PAIRS: Final = ("purchases", "everyone", "again")
_ARRIVALS: Final = {label: f"arrivals_{label}" for label in WINDOWS}
_IN_WINDOW: Final = {
    _M: ("purchases", "amount"),
    _Q: ("purchases", "amount", "cut", "lines", "cut_lines", "pieces"),
    _Y: ("purchases", "amount", "pieces", "back"),
}
"""Window → the values that are wanted of it."""
_VALUES: Final = (*_SUMS, *_PAIRS, *_ARRIVALS.values())


def build(tables: Tables, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """The view `item_statistics`; see the module for units and sources."""
    times = asked(snapshots).cache()
    lines = _lines(tables, times).cache()
    states = _states(lines, times).cache()
    rows = times.join(states, on=AT, how="inner")
    for label, window in WINDOWS.items():
        values = _IN_WINDOW[label]
        before = states.select(ITEM, pl.col(AT) + _span(window), *(pl.col(it).alias(f"{it}_{label}") for it in values))
        rows = rows.join(before, on=[ITEM, AT], how="left").with_columns(
            *((pl.col(it) - pl.col(f"{it}_{label}").fill_null(0)).alias(f"{it}_{label}") for it in values),
            # Who was there before the window and in it arrives in it a second time, and is not counted again.
            (pl.col(_ARRIVALS[label]) - pl.col(f"purchases_{label}").fill_null(0)).alias(f"buyers_{label}"),
        )
    sold = rows.filter(pl.col(f"purchases_{_Y}") > 0)
    items = tables[names.ITEMS].select(
        names.ITEM_ID, names.DEPARTMENT, names.CATEGORY, names.BRAND, names.PRIVATE_LABEL
    )
    return _features(sold.join(_items(tables), on=ITEM, how="inner").join(items, on=names.ITEM_ID, how="left"))


def _features(rows: pl.LazyFrame) -> pl.LazyFrame:
    """The columns of FEATURES from sums by window, those of BESIDE in place of those of ACROSS."""
    amount, pieces, cut = (pl.col(f"{name}_{_Q}") for name in ("amount", "pieces", "cut"))
    bought = pl.col(f"purchases_{_Q}")
    values = {
        "sold": bought,
        "taken": amount,
        "moved": pieces,
        "trend": share(3 * pl.col(f"purchases_{_M}"), bought),
        f"price_{_Q}": share(amount, pieces),
        f"discount_share_{_Q}": share(cut, amount + cut),
        f"on_discount_{_Q}": share(pl.col(f"cut_lines_{_Q}"), pl.col(f"lines_{_Q}")),
        "repeat_rate": share(pl.col("again"), pl.col("everyone")),
        f"return_rate_{_Y}": share(pl.col(f"back_{_Y}"), pl.col(f"pieces_{_Y}")),
        "days_since_first": pl.col(AT) // MICROSECONDS_PER_DAY - pl.col("oldest"),
        "days_since_last": pl.col(AT) // MICROSECONDS_PER_DAY - pl.col(_NEWEST),
        **{f"amount_{label}": money(pl.col(f"amount_{label}")) for label in WINDOWS},
    }
    types = {name: feature.dtype for name, feature in FEATURES.items() if name not in ACROSS} | BESIDE
    return rows.with_columns(value.alias(name) for name, value in values.items()).select(
        names.ITEM_ID,
        pl.col(SNAPSHOT).alias(names.EVENT_TIMESTAMP),
        *(pl.col(name).cast(dtype) for name, dtype in types.items()),
    )


def across(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Add `ACROSS`: the item's place among all of a snapshot, and its price beside its category's."""
    rows = rows.cache()
    group = [names.EVENT_TIMESTAMP, names.CATEGORY]
    of_category = rows.group_by(group).agg(pl.col("taken").sum().alias("all_taken"), pl.col("moved").sum().alias("all"))
    counted = rows.group_by(names.EVENT_TIMESTAMP).agg(pl.len().alias("items"))
    place = pl.col("sold").rank("max").over(names.EVENT_TIMESTAMP)
    price = share(share(pl.col("taken"), pl.col("moved")), share(pl.col("all_taken"), pl.col("all")))
    return (
        rows.join(of_category, on=group, how="left", nulls_equal=True)
        .join(counted, on=names.EVENT_TIMESTAMP, how="inner")
        .with_columns(
            (place / pl.col("items")).cast(_NUMBER).alias(f"popularity_{_Q}"),
            price.cast(_NUMBER).alias(f"relative_price_{_Q}"),
        )
        .select(names.ITEM_ID, names.EVENT_TIMESTAMP, *FEATURES)
    )


def _span(window: timedelta) -> int:
    """In microseconds."""
    return window // timedelta(microseconds=1)


def _items(tables: Tables) -> pl.LazyFrame:
    """Every item with a line: item_id, ITEM."""
    return codes(tables[names.TRANSACTIONS], names.ITEM_ID, ITEM)


def _edges(times: pl.LazyFrame) -> pl.LazyFrame:
    """Where windows begin and end: AT, each once. Between two of them it does not matter when something happened."""
    starts = [times.select(pl.col(AT) - _span(window)) for window in WINDOWS.values()]
    return pl.concat([times.select(AT), *starts]).unique()


def _lines(tables: Tables, times: pl.LazyFrame) -> pl.LazyFrame:
    """The lines that a snapshot sees: ITEM, customer, day, since, and the values."""
    lines = tables[names.TRANSACTIONS]
    amount, cut, pieces = units(names.AMOUNT), units(names.RETAIL_DISCOUNT), units(names.QUANTITY)
    bought, back = pl.col(names.QUANTITY) > 0, pl.col(names.QUANTITY) < 0
    dated = lines.select(
        names.ITEM_ID,
        names.CUSTOMER_ID,
        micros(pl.col(names.EVENT_TIMESTAMP)).alias(AT),
        (micros(pl.col(names.EVENT_TIMESTAMP)) // MICROSECONDS_PER_DAY).alias(_DAY),
        pl.when(bought).then(amount).otherwise(0).alias("amount"),
        pl.when(bought).then(cut).otherwise(0).alias("cut"),
        bought.cast(pl.Int64).alias("lines"),
        (bought & (cut > 0)).cast(pl.Int64).alias("cut_lines"),
        pl.when(bought).then(pieces).otherwise(0).alias("pieces"),
        pl.when(back).then(-pieces).otherwise(0).alias("back"),
    )
    during = (pl.col(AT) >= pl.col("start")) & (pl.col(AT) < pl.col("end"))
    return (
        kept(dated.join(_parts(dated.select(pl.col(_DAY).unique()), times), on=_DAY, how="inner"), during)
        .join(_items(tables), on=names.ITEM_ID, how="inner")
        .join(codes(lines, names.CUSTOMER_ID, _CUSTOMER), on=names.CUSTOMER_ID, how="inner")
        .select(ITEM, _CUSTOMER, _DAY, _SINCE, *_SUMS)
    )


def _parts(days: pl.LazyFrame, times: pl.LazyFrame) -> pl.LazyFrame:
    """The days before the last snapshot, cut where an edge lies inside them: day, `start`, `end`, since.

    A table of days × edges at its largest: so the lines need no as-of join, but one by their day.
    """
    edges = _edges(times).select(pl.col(AT).alias("edge")).cache()
    beside = days.cache().join(edges, how="cross")
    midnight = pl.col(_DAY) * MICROSECONDS_PER_DAY
    inside = kept(beside, (pl.col("edge") > midnight) & (pl.col("edge") < midnight + MICROSECONDS_PER_DAY))
    starts = pl.concat([days.select(_DAY, midnight.alias("start")), inside.select(_DAY, pl.col("edge").alias("start"))])
    starts = starts.cache()
    later = starts.join(starts.rename({"start": "end"}), on=_DAY, how="inner")
    ends = kept(later, pl.col("end") > pl.col("start")).group_by(_DAY, "start").agg(pl.col("end").min())
    since = (
        kept(starts.join(edges, how="cross"), pl.col("edge") <= pl.col("start"))
        .group_by("start")
        .agg(pl.col("edge").max().alias(_SINCE))
    )
    whole = (
        starts.join(ends, on=[_DAY, "start"], how="left")
        .join(since, on="start", how="left")
        .join(times.select(pl.col(AT).max().alias("last")), how="cross")
        .with_columns(pl.col("end").fill_null(midnight + MICROSECONDS_PER_DAY), pl.col(_SINCE).fill_null(_LONG_AGO))
    )
    return kept(whole, pl.col("start") < pl.col("last")).drop("last")


def _states(lines: pl.LazyFrame, times: pl.LazyFrame) -> pl.LazyFrame:
    """What all before each edge comes to: ITEM, AT, _VALUES, and the days of the oldest and the newest purchase."""
    pairs = _pairs(lines).cache()
    number, since = pl.col("number"), pl.col(_SINCE)
    sums = lines.group_by(ITEM, since.alias(AT)).agg(pl.col(name).sum() for name in _SUMS)
    bought = pairs.group_by(ITEM, since.alias(AT)).agg(
        number.sum().alias("purchases"),
        pl.when(pl.col("before").is_null()).then(number).otherwise(0).sum().alias("everyone"),
        pl.when(pl.col("second")).then(number).otherwise(0).sum().alias("again"),
        pl.col(_NEWEST).max(),
    )
    arrivals = []
    for label, window in WINDOWS.items():
        again = pl.col("before") + _span(window)
        at = pl.when(again > since).then(again).otherwise(since).alias(AT)
        arrivals.append(pairs.group_by(ITEM, at).agg(number.sum().alias(_ARRIVALS[label])))
    events = (
        pl.concat([_wide(frame) for frame in (sums, bought, *arrivals)])
        .group_by(ITEM, AT)
        .agg(*(pl.col(name).sum() for name in _VALUES), pl.col(_NEWEST).max())
    )
    oldest = pairs.group_by(ITEM).agg(pl.col("oldest").min())
    first = sums.group_by(ITEM).agg(pl.col(AT).min().alias("first"))
    asks = kept(first.join(_edges(times), how="cross"), pl.col(AT) > pl.col("first"))
    sides = [frame.with_columns(pl.lit(side).alias(_SIDE)) for side, frame in enumerate((_wide(asks), events))]
    running = (
        pl.concat(sides)
        .sort(ITEM, AT, _SIDE)
        .with_columns(
            *(pl.col(name).cum_sum().over(ITEM) for name in _VALUES), pl.col(_NEWEST).forward_fill().over(ITEM)
        )
    )
    return kept(running, pl.col(_SIDE) == 0).drop(_SIDE).join(oldest, on=ITEM, how="inner")


def _wide(frame: pl.LazyFrame) -> pl.LazyFrame:
    """ITEM, AT and every value: 0 where the frame has none; `newest`: null."""
    there = frame.collect_schema().names()
    zero, never = pl.lit(0, dtype=pl.Int64), pl.lit(None, dtype=pl.Int64)
    return frame.select(
        ITEM,
        AT,
        *(pl.col(name) if name in there else zero.alias(name) for name in _VALUES),
        pl.col(_NEWEST) if _NEWEST in there else never.alias(_NEWEST),
    )


def _pairs(lines: pl.LazyFrame) -> pl.LazyFrame:
    """What each customer's days with an item come to, those alike counted together.

    Returns:
        ITEM; since, of the day's first moment; `before`, that of the customer's day before, null at its first;
        `second`: whether it is the customer's second; `number` of them; `oldest` and `newest`, of their days.
    """
    key, order = (_PAIR,), (_PAIR, _DAY)
    pair = pl.col(ITEM) * _CODES + pl.col(_CUSTOMER)
    days = kept(
        kept(lines, pl.col("lines") > 0)
        .select(ITEM, pair.alias(_PAIR), _DAY, _SINCE)
        # Three sorts by one number each are quicker than one by three.
        .sort(_SINCE)
        .sort(_DAY, maintain_order=True)
        .sort(_PAIR, maintain_order=True)
        .with_columns(_as_before(order, 1).alias("repeated")),
        ~pl.col("repeated"),
    )
    return (
        days.with_columns(
            _as_before(key, 1).alias("known"), _as_before(key, 2).alias("long"), pl.col(_SINCE).shift(1).alias("before")
        )
        .select(
            ITEM,
            _DAY,
            _SINCE,
            pl.when(pl.col("known")).then(pl.col("before")).otherwise(None).alias("before"),
            (pl.col("known") & ~pl.col("long")).alias("second"),
        )
        .group_by(ITEM, _SINCE, "before", "second")
        .agg(
            pl.len().cast(pl.Int64).alias("number"),
            pl.col(_DAY).min().alias("oldest"),
            pl.col(_DAY).max().alias(_NEWEST),
        )
    )


def _as_before(columns: Sequence[str], rows: int) -> pl.Expr:
    """Whether a row has the same values as the one so many rows before it; False where there is none."""
    same = pl.lit(value=True)
    for name in columns:
        same &= pl.col(name) == pl.col(name).shift(rows)
    return same.fill_null(value=False)
