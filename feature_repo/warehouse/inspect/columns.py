"""How one proposed column is made, how sure that is, and what speaks for it."""

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import polars as pl

from feature_repo.warehouse.contract import TABLES
from feature_repo.warehouse.inspect import own, values, vocabulary
from feature_repo.warehouse.inspect.fit import DOUBTFUL, Filled
from feature_repo.warehouse.inspect.profile import ColumnProfile, FileProfile
from motherlode import names

_EVENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "search": ("search", "suche", "query", "搜索"),
    "cart": ("cart", "basket", "warenkorb", "加购", "购物车"),
    "purchase": ("purchase", "order", "checkout", "buy", "kauf", "购买", "下单"),
    "click": ("click", "klick", "点击"),
    "view": ("view", "page", "visit", "aufruf", "impression", "浏览", "访问"),
}
"""The five event types that the warehouse knows → how companies write them."""
_PLAIN: Final = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)?", re.ASCII)
_SUMMED: Final = (names.RETAIL_DISCOUNT, names.COUPON_DISCOUNT)
"""Columns of which a file may have several, to be added up."""
_GRAMS: Final = frozenset(("g", "gr", "gramm", "gram", "grams", "grammes"))
_HALF: Final = 0.5
_EPOCH_MS: Final = 1e12


@dataclass(frozen=True)
class Made:
    """A proposed column.

    Attributes:
        name: canonical, or the company's own.
        spec: as in the mapping: a raw column's name, or a block's keys.
        sure: 0..1.
        note: the evidence.
        ask: whether a person must decide.
    """

    name: str
    spec: str | Mapping[str, object]
    sure: float
    note: str
    ask: bool = False


def canonical(file: FileProfile, table: str, filled: Mapping[str, Filled], returns: bool) -> tuple[Made, ...]:
    """The table's own columns, those that are required and not found included, for a person to fill in."""
    made = []
    for name, contract in TABLES[table].columns.items():
        if name in filled:
            made.append(_found(file, table, name, filled, returns))
        elif contract.required and contract.default is None and not contract.derived:
            missing = _missing(file, table, name)
            if missing is not None:
                made.append(missing)
    return tuple(made)


def extra(column: ColumnProfile, table: str, file: FileProfile, taken: Set[str]) -> Made | str:
    """A column of the company's own; or why it is left out."""
    if column.kind in ("empty", "list"):
        return "empty" if column.kind == "empty" else "a list"
    secret = own.privacy(column, table)
    if secret == "identifier":
        return "names a person: for `matching` alone"
    name = own.consent(column) or vocabulary.snake(column.name)
    while name in taken or name in TABLES[table].columns:
        name = f"{name}_2" if not name.endswith("_2") else f"{name}x"
    spec: dict[str, object] = {"from": column.name, **own.typed(column)}
    if column.kind == "number":
        spec |= _signs(column, file)
    if secret != "none":
        spec["class"] = secret
    note, ask = evidence(column, secret != "none"), _unclear(column)
    if own.afterwards(column) and table in (names.CUSTOMERS, names.CONTACTS):
        spec["after_outcome"] = True
        note += "; an outcome, by its name"
    elif column.stand_in is not None:
        note, ask = f"{note}; {column.stand_in} is the commonest: does it stand for nothing?", True
    elif "amount" in column.meaning.concepts and any(own.afterwards(it) for it in file.columns.values()):
        note, ask = note + "; before or after the outcome?", True
    return Made(name, spec, 0.8, note + _doubt(column), ask)


def evidence(column: ColumnProfile, hide: bool) -> str:
    """What was seen of a column; no values where it tells of persons."""
    said = f"{column.different:,} different"
    if column.filled < column.rows:
        said += f", {column.filled / column.rows:.1%} filled"
    hide = hide or own.is_key(column)
    if not hide and column.kind in ("word", "truth") and 3 * column.different <= column.rows and column.length <= 20:
        said += ": " + ", ".join(column.typical)
    elif column.numbers is not None and column.kind == "number" and not hide:
        low, high = _short(column.numbers.low), _short(column.numbers.high)
        said += f", {low} to {high}" if low != high else f", always {low}"
    return said


def _short(number: float) -> str:
    return f"{number:,.0f}" if number == round(number) else f"{number:,.6g}"


def sql_name(reference: str) -> str:
    """A raw column in SQL; a looked-up one with its source before it."""
    return reference if _PLAIN.fullmatch(reference) else '"' + reference.replace('"', '""') + '"'


def nulls(file: FileProfile) -> list[str]:
    """Texts of a file's columns that stand for nothing whatever the column."""
    texts = {text for column in file.columns.values() for text in column.unknowns}
    return sorted(text for text in texts if text.strip().lower() in values.NULLS)


def signs(file: FileProfile) -> dict[str, str]:
    """The decimal and the grouping sign of a file's numbers, where its values show them."""
    shown = [
        column.numbers for column in file.columns.values() if column.numbers is not None and column.kind == "number"
    ]
    decimals = [it.decimal for it in shown if it.decimal is not None]
    decimal = max(sorted(set(decimals)), key=decimals.count) if decimals else "."
    groups = {it.thousands for it in shown if it.thousands is not None and it.thousands != decimal}
    return ({"decimal": ","} if decimal == "," else {}) | ({"thousands": min(groups)} if groups else {})


def _found(file: FileProfile, table: str, name: str, filled: Mapping[str, Filled], returns: bool) -> Made:
    it = filled[name]
    column, spec = it.column, dict[str, object]({"from": it.reference})
    dtype = TABLES[table].columns[name].dtype
    hide = TABLES[table].columns[name].privacy != "none"
    note, ask = evidence(column, hide), it.sure < DOUBTFUL or _unclear(column)
    if isinstance(dtype, pl.Datetime) and it.clock is not None:
        spec, unsure = _joined(it, *it.clock)
        note, ask = f"{note}; {it.clock[0].name} is its time of day" + unsure, ask or bool(unsure)
    elif isinstance(dtype, pl.Datetime):
        spec |= _time(column, name)
    elif dtype == pl.Float64:
        spec |= _signs(column, file) | _unit(column, name, returns)
        if name == names.AMOUNT and column.numbers is not None and column.numbers.negative > _HALF:
            note, ask = f"{note}; {column.numbers.negative:.0%} are negative: money that leaves?", True
        if name == names.RETAIL_DISCOUNT and column.numbers is not None and 0 < column.numbers.high <= 1:
            note, ask = f"{note}; a share of the price, not money?", True
        if name == names.AMOUNT and "price" in column.meaning.concepts and "amount" not in column.meaning.concepts:
            spec, note, ask = _times_pieces(spec, filled), f"{note}; a price: times the pieces?", True
    elif name == names.EVENT_TYPE:
        spec |= _events(column)
    if it.others and name in _SUMMED:
        parts = [it.reference, *it.others]
        spec, note, ask = {"sql": " + ".join(map(sql_name, parts))}, f"{note}; are they parts of it?", True
    elif it.others:
        note += f"; or {', '.join(it.others)}"
    if it.sure < DOUBTFUL:
        note += f"; sure {it.sure:.2f}"
    return Made(
        name, str(spec["from"]) if len(spec) == 1 and "from" in spec else spec, it.sure, note + _doubt(column), ask
    )


def _missing(file: FileProfile, table: str, name: str) -> Made | None:
    """A required column that no raw one was found for."""
    if name == names.CUSTOMER_ID:
        note = "no column names the customer: every row its own"
        return Made(name, {"sql": "cast(_row as varchar)"}, 0.2, note, True)
    if name == names.BASKET_ID:
        return None
    if name == names.ITEM_ID:
        return Made(name, {"value": "order"}, 0.2, "no column names the item: every line the same", True)
    return Made(name, {"value": file.source}, 0.2, "no column found", True)


def _time(column: ColumnProfile, name: str) -> dict[str, object]:
    if column.kind == "number" and column.numbers is not None:
        return {"format": "epoch_ms" if column.numbers.low >= _EPOCH_MS else "epoch_s"}
    last = {"day": "end"} if name == names.ENDED_AT and column.times is not None and column.times.dates else {}
    return own.formats(column) | last


def _joined(date: Filled, clock: ColumnProfile, reference: str) -> tuple[dict[str, object], str]:
    """A date and the time of day beside it as one; and what is unsure of it."""
    day, hour = (_as_text(it, sql_name(name)) for it, name in ((date.column, date.reference), (clock, reference)))
    written = date.column.times.formats if date.column.times is not None else ()
    formats = [f"{first} {second}" for first in written or ("%Y-%m-%d",) for second in clock.clocks]
    made = {"format": formats[0] if len(formats) == 1 else formats}
    if clock.filled >= date.column.filled:
        return {"sql": f"{day} || ' ' || {hour}", **made}, ""
    midnight = datetime(2000, 1, 1).strftime(clock.clocks[0])
    return {"sql": f"{day} || ' ' || coalesce({hour}, '{midnight}')", **made}, ", missing in some rows: midnight there?"


def _as_text(column: ColumnProfile, name: str) -> str:
    if isinstance(column.dtype, pl.Datetime):
        return f"strftime({name}, '%Y-%m-%d')"
    return name if column.dtype == pl.String else f"cast({name} as varchar)"


def _signs(column: ColumnProfile, file: FileProfile) -> dict[str, object]:
    """Signs that differ from the file's."""
    if column.numbers is None or column.numbers.decimal is None:
        return {}
    usual = signs(file).get("decimal", ".")
    return {} if column.numbers.decimal == usual else {"decimal": column.numbers.decimal}


def _unit(column: ColumnProfile, name: str, returns: bool) -> dict[str, object]:
    """Cents, and signs that count the other way round."""
    if column.numbers is None:
        return {}
    unit = 0.01 if "cents" in column.meaning.concepts else 1
    if name == names.QUANTITY and "weight" in column.meaning.concepts and _GRAMS & set(vocabulary.words(column.name)):
        unit = 0.001
    positive, negative = column.numbers.low >= 0, column.numbers.negative > _HALF
    if (returns and positive and name in (names.QUANTITY, names.AMOUNT)) or (
        negative and name in (names.AMOUNT, names.RETAIL_DISCOUNT, names.COUPON_DISCOUNT) and not returns
    ):
        unit = -unit
    return {} if unit == 1 else {"unit": unit}


def _times_pieces(spec: dict[str, object], filled: Mapping[str, Filled]) -> dict[str, object]:
    """Price times pieces; the source's signs hold in SQL too."""
    pieces = filled.get(names.QUANTITY)
    if pieces is None or not spec.keys() <= {"from", "unit"}:
        return spec
    unit = float(str(spec.get("unit", 1))) * float(str(_unit(pieces.column, names.QUANTITY, False).get("unit", 1)))
    made: dict[str, object] = {"sql": f"{sql_name(str(spec['from']))} * {sql_name(pieces.reference)}"}
    return made if unit == 1 else {**made, "unit": unit}


def _events(column: ColumnProfile) -> dict[str, object]:
    known = {}
    for text in sorted(column.remembered):
        kind = next((kind for kind, words in _EVENTS.items() if any(word in text.lower() for word in words)), None)
        if kind is not None and kind != text:
            known[text] = kind
    return {"values": known, "otherwise": "keep"} if known and column.different <= 30 else {}


def _unclear(column: ColumnProfile) -> bool:
    times = column.times if column.kind == "time" else None
    return (times is not None and times.order == "either") or (
        column.kind == "number" and column.numbers is not None and column.numbers.unsure
    )


def _doubt(column: ColumnProfile) -> str:
    """What its values leave open, or what decides it."""
    times = column.times if column.kind == "time" else None
    if times is not None and times.order == "either":
        return "; no value tells day from month"
    if times is not None and times.witnesses:
        return f"; {times.witnesses:,} values say {times.order}"
    if _unclear(column):
        return "; 1,234 does not tell whether the comma groups"
    return ""
