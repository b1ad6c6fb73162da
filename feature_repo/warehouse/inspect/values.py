"""What values look like: dates and their formats, numbers and their signs, e-mails, phones, yes and no."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Final, Literal

import polars as pl

Order = Literal["day first", "month first", "either", "year first"]

Counted = Mapping[str, int]
"""Different texts of a column → rows."""

_SURE: Final = 0.9
"""Share of a column's rows that must look like a kind for the column to be of it."""
_HALF: Final = 0.5
"""The same, of its different texts."""
_SLIP: Final = 0.01
"""Share of a column's rows up to which one text may be a slip."""
_TRUE: Final = 0.97
"""The same, of rows that say yes or no: their texts are short, and easily mean other things."""

EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}")
PHONE: Final = re.compile(r"(\+|00|0)[\d\s()/.-]{6,20}\d")
URL: Final = re.compile(r"(https?://\S+|/\S*)")
YES_NO: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("yes", "y", "true", "t", "ja", "j", "oui", "si", "sí", "是", "wahr", "vrai", "1"), True),
    **dict.fromkeys(("no", "n", "false", "f", "nein", "non", "否", "falsch", "faux", "0"), False),
}
NULLS: Final[Set[str]] = {"n/a", "na", "null", "none", "nan", "-", "?", "#n/a"}
"""Texts, in lower case, that stand for nothing whatever the column."""
UNKNOWN: Final[Set[str]] = NULLS | {"unknown", "missing", "nonexistent", "unbekannt", "k.a.", "未知", "不详"}
"""Texts, in lower case, that say that nothing is known."""

_PLAIN: Final = re.compile(r"[+-]?\d+")
_POINT: Final = re.compile(r"[+-]?(\d+|\d{1,3}(,\d{3})+)?\.\d+([eE][+-]?\d+)?|[+-]?\d{1,3}(,\d{3}){2,}")
_COMMA: Final = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+)?,\d+|[+-]?\d{1,3}(\.\d{3}){2,}")
_ONE_GROUP: Final = re.compile(r"[+-]?\d{1,3},\d{3}")
_GROUPED: Final = re.compile(r"[+-]?\d{1,3}([ \u00a0\u202f'])\d{3}(?:\1\d{3})*(?:[.,]\d*)?$")
_GROUP_SIGN: Final = re.compile(r"[ \u00a0\u202f']")
_MONEY: Final = re.compile(r"^(?:EUR|USD|GBP|CNY|CHF|[€$£¥])\s*|\s*(?:EUR|USD|GBP|CNY|CHF|[€$£¥])$")

_DAY: Final[Sequence[tuple[re.Pattern[str], Order]]] = (
    (re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})"), "year first"),
    (re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4}|\d{2})"), "either"),
    (re.compile(r"(\d{1,2})([ -])([A-Za-z]{3,9})\2(\d{4}|\d{2})"), "day first"),
    (re.compile(r"()()([A-Za-z]{3,9}) (\d{1,2}), (\d{4})"), "month first"),
    (re.compile(r"(\d{4})(年)(\d{1,2})月(\d{1,2})日"), "year first"),
    (re.compile(r"((?:19|20)\d\d)()((?:0[1-9]|1[0-2]))((?:0[1-9]|[12]\d|3[01]))"), "year first"),
)
_CLOCK: Final = re.compile(
    r"(?P<gap>[ T])(?P<hour>\d{1,2}):\d{2}(?P<second>:\d{2}(?P<part>\.\d+)?)?(?P<half> ?[AaPp][Mm])?"
    r"(?P<zone> ?(?:Z|UTC|[+-]\d{2}:?\d{2}))?"
)


_TIME_OF_DAY: Final = re.compile(r"([01]?\d|2[0-3]):[0-5]\d(?P<second>:[0-5]\d)?(?P<half> ?[AaPp][Mm])?")
_EPOCH: Final = re.compile(r"1\d{9}(?P<part>\d{3})?")
"""Seconds, or milliseconds, since 1970: of 2001 to 2033."""


@dataclass(frozen=True)
class _Shape:
    """How a time is written: a format in which <1> and <2> stand for day and month in an order yet unknown."""

    written: str
    order: Order
    clock: bool
    zoned: bool

    def pair(self, text: str) -> tuple[int, int]:
        """The first two numbers of a text of this shape."""
        first, second, *_ = re.findall(r"\d+", text)
        return int(first), int(second)


@dataclass(frozen=True)
class Times:
    """A column of times.

    Attributes:
        formats: strptime formats, the commonest first; empty: ISO 8601.
        order: what tells day from month; `either`: no value does.
        witnesses: values that decide it.
        dates: no value has a clock time.
        zoned: the values state their zone.
        shapes: how they are written.
    """

    formats: tuple[str, ...]
    order: Order
    witnesses: int
    dates: bool
    zoned: bool
    shapes: tuple[_Shape, ...] = ()


@dataclass(frozen=True)
class Numbers:
    """A column of numbers in text.

    Attributes:
        decimal: the decimal sign, where a value shows it.
        thousands: the grouping sign, where a value shows it.
        whole: none has a fraction.
        low, high: the range.
        negative: the share of rows below zero.
        unsure: `1,234` alone does not tell whether the comma groups.
    """

    decimal: str | None
    thousands: str | None
    whole: bool
    low: float
    high: float
    negative: float
    unsure: bool = False


def over_all(found: Numbers, texts: pl.DataFrame) -> Numbers:
    """The same signs, but range and fractions of all values.

    Args:
        texts: `text` and its rows, `count`; every different one.
    """
    plain = pl.col("text").str.replace_all(_MONEY.pattern, "").str.replace_all(_GROUP_SIGN.pattern, "")
    by_comma = found.decimal == ","
    plain = plain.str.replace_all("." if by_comma else ",", "", literal=True).str.replace(",", ".", literal=True)
    read = texts.select("count", plain=plain).with_columns(amount=pl.col("plain").cast(pl.Float64, strict=False))
    read = read.filter(pl.col("amount").is_finite())
    if read.is_empty():
        return found
    amounts, rows = read["amount"], read["count"]
    fraction = bool(read["plain"].str.contains(".", literal=True).any())
    return replace(
        found,
        decimal=found.decimal or ("." if fraction else None),
        whole=found.whole and not fraction,
        low=float(amounts.min()),  # type: ignore[arg-type]
        high=float(amounts.max()),  # type: ignore[arg-type]
        negative=float(rows.filter(amounts < 0).sum()) / int(texts["count"].sum()),
    )


def share(texts: Counted, test: Callable[[str], object]) -> float:
    """How many of the texts pass, each by its rows."""
    total = sum(texts.values())
    return sum(count for text, count in texts.items() if test(text)) / total if total else 0.0


def mostly(texts: Counted, test: Callable[[str], object]) -> bool:
    """Whether nearly all rows pass, and at least half of the different texts: some rows may be wrong.

    A text that does not pass and comes again and again is no slip: it means something, as `3+` among numbers.
    """
    others = [count for text, count in texts.items() if not test(text)]
    if (
        not texts
        or len(others) > (1 - _HALF) * len(texts)
        or max(others, default=0) > max(2, _SLIP * sum(texts.values()))
    ):
        return False
    return share(texts, test) >= _SURE


def times(texts: Counted) -> Times | None:
    """Their formats; None where they are no times."""
    found = {text: shape for text in texts if (shape := _shape(text.strip())) is not None}
    if found:  # times since 1970 alone are numbers; among others they are times
        found |= {text: _epoch(match) for text in texts if (match := _EPOCH.fullmatch(text.strip())) is not None}
    if not mostly(texts, found.__contains__):
        return None
    shapes = Counter[_Shape]()
    for text, shape in found.items():
        shapes[shape] += texts[text]
    kept = [shape for shape, count in shapes.most_common(4) if count >= 0.002 * sum(texts.values())]
    pairs = [shape.pair(text) for text, shape in found.items() if shape.order == "either"]
    first, second = sum(pair[0] > 12 for pair in pairs), sum(pair[1] > 12 for pair in pairs)
    order: Order = kept[0].order
    if any(shape.order == "either" for shape in kept):
        order = "either" if first == second == 0 else "day first" if first >= second else "month first"
    return Times(
        _formats(kept, order),
        order,
        max(first, second),
        not any(shape.clock for shape in kept),
        all(shape.zoned for shape in kept),
        tuple(kept),
    )


def clocks(texts: Counted) -> tuple[str, ...]:
    """Formats of times of day without a day, the commonest first; none where they are no such times."""
    found = {text: match for text in texts if (match := _TIME_OF_DAY.fullmatch(text.strip())) is not None}
    if not mostly(texts, found.__contains__):
        return ()
    formats = Counter[str]()
    for text, match in found.items():
        half = match["half"] or ""
        formats[
            ("%I" if half else "%H") + ":%M" + (":%S" if match["second"] else "") + half[:-2] + "%p" * bool(half)
        ] += texts[text]
    return tuple(written for written, _ in formats.most_common())


def decided(times: Times, order: Order) -> Times:
    """The same times, where another column tells day from month."""
    return replace(times, order=order, formats=_formats(times.shapes, order))


def numbers(texts: Counted) -> Numbers | None:
    """Their signs and range; None where they are no numbers."""
    stripped, group = _ungrouped({text: _MONEY.sub("", text.strip()) for text in texts})
    plain = [text for text in stripped.values() if _PLAIN.fullmatch(text)]
    point = [text for text in stripped.values() if _POINT.fullmatch(text)]
    comma = [text for text in stripped.values() if _COMMA.fullmatch(text)]
    only_groups = bool(comma) and all(_ONE_GROUP.fullmatch(text) for text in comma)
    by_comma = len(comma) > len(point) and not only_groups
    fractions = comma if by_comma else [*point, *(comma if only_groups else ())]
    usable = {*plain, *fractions}
    if not mostly(texts, lambda text: stripped[text] in usable):
        return None
    decimal = "," if by_comma else "." if point else None
    amounts = {text: _amount(stripped[text], by_comma) for text in texts if stripped[text] in usable}
    negative = sum(texts[text] for text, amount in amounts.items() if amount < 0) / sum(texts.values())
    return Numbers(
        decimal,
        group or _grouping([*fractions, *plain], decimal or "."),
        not fractions or only_groups,
        min(amounts.values()),
        max(amounts.values()),
        negative,
        only_groups and not point,
    )


def truths(texts: Counted) -> dict[str, bool] | None:
    """What each text says, where nearly all say yes or no; None otherwise."""
    said = {text: YES_NO[text.strip().lower()] for text in sorted(texts) if text.strip().lower() in YES_NO}
    different = {text.strip().lower() for text in said}
    few = 0 < len(different) <= 2 and different not in ({"0"}, {"1"})  # one number alone says nothing
    return said if few and len(texts) <= len(said) + 2 and share(texts, said.__contains__) >= _TRUE else None


def _ungrouped(texts: dict[str, str]) -> tuple[dict[str, str], str | None]:
    """Numbers without the blanks or apostrophes that group them, and which of them it was."""
    sign = next((" " if match[1] != "'" else "'" for text in texts.values() if (match := _GROUPED.match(text))), None)
    if sign is None:
        return texts, None
    return {raw: _GROUP_SIGN.sub("", text) if _GROUPED.match(text) else text for raw, text in texts.items()}, sign


def _grouping(texts: Sequence[str], decimal: str) -> str | None:
    sign = "." if decimal == "," else ","
    return sign if any(re.search(rf"\d\{sign}\d{{3}}", text) for text in texts) else None


def _amount(text: str, by_comma: bool) -> float:
    plain = text.replace(".", "").replace(",", ".") if by_comma else text.replace(",", "")
    return float(plain)


def _shape(text: str) -> _Shape | None:
    """How a time is written; None where it is no time."""
    for pattern, order in _DAY:
        match = pattern.match(text)
        if match is None:
            continue
        rest = text[match.end() :]
        clock = _CLOCK.fullmatch(rest) if rest else None
        written = _day_format(match, order)
        if (rest and clock is None) or written is None:
            continue
        if clock is None:
            return _Shape(written, order, False, False)
        return _Shape(written + _clock_format(clock), order, True, clock["zone"] is not None)
    return None


def _epoch(match: re.Match[str]) -> _Shape:
    return _Shape("epoch_ms" if match["part"] else "epoch_s", "year first", True, True)


def _formats(shapes: Sequence[_Shape], order: Order) -> tuple[str, ...]:
    """strptime formats; none where all of them are ISO 8601."""
    first, second = ("%m", "%d") if order == "month first" else ("%d", "%m")
    formats = tuple(dict.fromkeys(shape.written.replace("<1>", first).replace("<2>", second) for shape in shapes))
    return () if all(written.startswith("%Y-%m-%d") and "%I" not in written for written in formats) else formats


def _day_format(match: re.Match[str], order: Order) -> str | None:
    sign = match[2]
    if sign == "年":
        return "%Y年%m月%d日"
    if order == "year first":
        return f"%Y{sign}%m{sign}%d" if _real(match[1], match[3], match[4]) else None
    if order == "either":
        pair = int(match[1]), int(match[3])
        if max(pair) > 31 or min(pair) > 12 or min(pair) < 1:
            return None
        year = "%Y" if len(match[4]) == 4 else "%y"
        return f"<1>{sign}<2>{sign}{year}"
    name = "%b" if len(match[3]) == 3 else "%B"
    if order == "day first":
        return f"%d{sign}{name}{sign}{'%Y' if len(match[4]) == 4 else '%y'}"
    return f"{name} %d, %Y"


def _real(year: str, month: str, day: str) -> bool:
    """A day that may be impossible, as 31 June, still shows the format; a month 13 does not."""
    return 1800 <= int(year) <= 2200 and 1 <= int(month) <= 12 and 1 <= int(day) <= 31


def _clock_format(clock: re.Match[str]) -> str:
    half = clock["half"]
    written = clock["gap"] + ("%I" if half else "%H") + ":%M"
    if clock["second"]:
        written += ":%S"
    if clock["part"]:
        written += "%.f"
    if half:
        written += " %p" if half.startswith(" ") else "%p"
    if clock["zone"]:
        written += " %z" if clock["zone"].startswith(" ") else "%z"
    return written
