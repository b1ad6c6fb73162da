"""Raw values → strings, numbers, booleans, times and dates, as Polars expressions that never raise on data.

A cast gives a value where it can be made and null elsewhere, and says where a raw value was there and could not be
used. Columns that have their type already take one cheap cast; text is parsed by rules that guess nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import polars as pl

from feature_repo.warehouse.mapping import times
from feature_repo.warehouse.mapping.steps import Steps, let
from feature_repo.warehouse.mapping.times import DATETIME, UNITS
from motherlode.errors import DataError

Kind = Literal["string", "id", "integer", "number", "money", "boolean", "timestamp", "date"]
"""What a column becomes. `id`: text in which 123.0 is 123; `money`: a number without the dust of float sums."""

DTYPES: Final[Mapping[Kind, pl.DataType]] = {
    "string": pl.String(),
    "id": pl.String(),
    "integer": pl.Int64(),
    "number": pl.Float64(),
    "money": pl.Float64(),
    "boolean": pl.Boolean(),
    "timestamp": times.UTC,
    "date": pl.Date(),
}

TRUE: Final = ("true", "t", "yes", "y", "ja", "j", "是", "1", "1.0")
FALSE: Final = ("false", "f", "no", "n", "nein", "否", "0", "0.0")
"""Texts of booleans, in lower case."""

_DUST: Final = 6
"""Digits of money behind the point: 1.7763568394002505e-15 is nothing, and 1999 × 0.01 is 19.99."""
_DUST_BELOW: Final = 1e9
"""From here on a double has no digits to spare, and rounding would change the last one."""
_EXACT: Final = 2**53
"""From here on a double is no longer one integer."""
_SIGNS: Final = {" ": "[ \u00a0\u2009\u202f]", "'": "['’]", ",": ",", ".": r"\."}
# Well-formed UTF-8 in hex digits (the Unicode Standard, table 3-7): Polars raises at other bytes, whatever it is told.
_TAIL: Final = "[89ab][0-9a-f]"
_UTF8: Final = (
    "^(?:"
    + "|".join(
        (
            "[0-7][0-9a-f]",
            f"(?:c[2-9a-f]|d[0-9a-f]){_TAIL}",
            f"e0[ab][0-9a-f]{_TAIL}",
            f"(?:e[1-9a-cef])(?:{_TAIL}){{2}}",
            f"ed[89][0-9a-f]{_TAIL}",
            f"f0[9ab][0-9a-f](?:{_TAIL}){{2}}",
            f"f[1-3](?:{_TAIL}){{3}}",
            f"f48[0-9a-f](?:{_TAIL}){{2}}",
        )
    )
    + ")*$"
)
_FLOATS: Final = (pl.Float32(), pl.Float64())


@dataclass(frozen=True)
class Reading:
    """How raw values are to be understood.

    Attributes:
        nulls: texts that mean nothing, besides the empty one.
        decimal, thousands: signs of numbers in text; groups of thousands are refused where no sign is stated.
        zone: of times that state none, an IANA name.
        formats: strptime formats, or `epoch_s`, `epoch_ms`, tried in order; none: ISO 8601.
        day: the moment that a date without a time stands for.
        unit: what a raw number is multiplied by.
    """

    nulls: tuple[str, ...] = ()
    decimal: Literal[".", ","] = "."
    thousands: Literal[",", ".", " ", "'"] | None = None
    zone: str = "UTC"
    formats: tuple[str, ...] = ()
    day: Literal["start", "end"] = "start"
    unit: float | None = None


@dataclass(frozen=True)
class Cast:
    """A column made from a raw one.

    Attributes:
        value: null where there is nothing, or nothing usable.
        failed: true where something is there and cannot be used, never null; None where that cannot be.
        naive: for times, the clock's reading that `value` was made from, where the raw column is one.
    """

    value: pl.Expr
    failed: pl.Expr | None = None
    naive: pl.Expr | None = field(default=None, compare=False)


def cast(kind: Kind, raw: pl.Expr, dtype: pl.DataType, reading: Reading) -> Cast:
    """A raw column as one of a kind.

    Args:
        kind: what it becomes.
        raw: the column, or an expression.
        dtype: its type.
        reading: how it is to be understood.

    Raises:
        DataError: no value of `dtype` can become that.
    """
    if dtype == pl.Null:
        return Cast(pl.lit(None, DTYPES[kind]))
    if dtype == pl.Binary:
        decoded = _decoded(raw)
        made = _CASTS[kind](decoded, pl.String(), reading)
        spoilt = unusable(raw, decoded)
        return Cast(made.value, spoilt if made.failed is None else made.failed | spoilt)
    if isinstance(dtype, (pl.Categorical, pl.Enum)):
        raw, dtype = raw.cast(pl.String), pl.String()
    if not _scalar(dtype):
        raise DataError(
            f"it holds {dtype}, which cannot become a {kind}.",
            "Take one value of it out in the source, or have its elements a row each by `explode`.",
        )
    return _CASTS[kind](raw, dtype, reading)


def text(raw: pl.Expr, dtype: pl.DataType, reading: Reading) -> pl.Expr:
    """A raw column as trimmed text; null where it says nothing. Whole floats are written as integers.

    What fails to be text (bytes that are no UTF-8) is null.
    """
    if dtype == pl.Null:
        return pl.lit(None, pl.String)
    if isinstance(dtype, (pl.Categorical, pl.Enum, pl.Binary)):
        raw, dtype = _decoded(raw) if dtype == pl.Binary else raw.cast(pl.String), pl.String()
    if dtype != pl.String:
        return _written(_said(raw, dtype, reading), dtype)
    trimmed = raw.str.strip_chars()
    nothing = sorted({"", *(value.strip() for value in reading.nulls)})
    return let(trimmed, lambda it: pl.when(it != "" if len(nothing) == 1 else ~it.is_in(nothing)).then(it))


def unusable(there: pl.Expr, value: pl.Expr) -> pl.Expr:
    """Where something is there and no value came of it."""
    return there.is_not_null() & value.is_null()


def literal(kind: Kind, value: object, reading: Reading) -> pl.Expr:
    """A constant of the mapping, text or null, as a column's value.

    Raises:
        DataError: it is no value of that kind.
    """
    if value is None:
        return pl.lit(None, DTYPES[kind])
    made = pl.select(cast(kind, pl.lit(str(value), pl.String), pl.String(), reading).value).to_series()
    if made[0] is None and (kind not in ("string", "id") or str(value).strip()):
        raise DataError(f"{value!r} is no {NOUNS[kind]}.", REMEDIES[kind])
    return pl.lit(str(value)) if kind in ("string", "id") else pl.lit(made[0], DTYPES[kind])


NOUNS: Final[Mapping[Kind, str]] = {
    "string": "text",
    "id": "id",
    "integer": "whole number",
    "number": "number",
    "money": "number",
    "boolean": "true or false",
    "timestamp": "time",
    "date": "date",
}
REMEDIES: Final[Mapping[Kind, str]] = {
    "string": "Give text in UTF-8.",
    "id": "Give text in UTF-8.",
    "integer": "Give a whole number.",
    "number": "Give a finite number.",
    "money": "Give a finite number.",
    "boolean": "Give true or false, yes or no, 1 or 0; or map the texts by `values`.",
    "timestamp": "Give a time that exists, as ISO 8601.",
    "date": "Give a day that exists, as ISO 8601.",
}


def _scalar(dtype: pl.DataType) -> bool:
    return dtype.is_numeric() or dtype in (pl.String, pl.Boolean, pl.Date, pl.Time) or isinstance(dtype, pl.Datetime)


def _string(raw: pl.Expr, dtype: pl.DataType, reading: Reading) -> Cast:
    value = text(raw, dtype, reading)
    return Cast(value, unusable(_said(raw, dtype, reading), value) if dtype.is_temporal() else None)


def _id(raw: pl.Expr, dtype: pl.DataType, reading: Reading) -> Cast:
    value = text(raw, dtype, reading)
    if dtype != pl.String:
        return _string(raw, dtype, reading)
    # A spreadsheet's or pandas' float: the whole number is the id.
    return Cast(let(value, _without_point))


def _without_point(text: pl.Expr) -> pl.Expr:
    spoilt = text.str.ends_with(".0") & text.str.contains(r"^-?\d+\.0$")
    return pl.when(spoilt).then(text.str.strip_suffix(".0")).otherwise(text)


def _number(raw: pl.Expr, dtype: pl.DataType, reading: Reading) -> Cast:
    there, value, checked = _as_float(raw, dtype, reading)
    if reading.unit is not None:
        value, checked = value * reading.unit, True
    if not checked:
        return Cast(value)
    value = let(value, lambda it: pl.when(it.is_finite()).then(it))
    return Cast(value, unusable(there, value))


def _money(raw: pl.Expr, dtype: pl.DataType, reading: Reading) -> Cast:
    made = _number(raw, dtype, reading)
    if dtype.is_integer() and reading.unit is None:
        return made
    return Cast(let(made.value, _without_dust), made.failed)


def _without_dust(value: pl.Expr) -> pl.Expr:
    return pl.when(value.abs() < _DUST_BELOW).then(value.round(_DUST)).otherwise(value)


def _as_float(raw: pl.Expr, dtype: pl.DataType, reading: Reading) -> tuple[pl.Expr, pl.Expr, bool]:
    """What is there, its number, and whether that must be checked."""
    if dtype == pl.String:
        there = text(raw, dtype, reading)
        return there, _digits(there, reading).cast(pl.Float64, strict=False), True
    if not (dtype.is_numeric() or dtype == pl.Boolean):
        raise DataError(f"it holds {dtype}, which is no number.", "Map another column, or compute the number by `sql`.")
    there = _said(raw, dtype, reading)
    return there, there.cast(pl.Float64), dtype in _FLOATS


def _integer(raw: pl.Expr, dtype: pl.DataType, reading: Reading) -> Cast:
    if dtype.is_integer() or dtype == pl.Boolean:
        there = _said(raw, dtype, reading)
        value = there.cast(pl.Int64, strict=False)
        return Cast(value, unusable(there, value) if dtype in (pl.UInt64, pl.Int128) else None)
    if dtype == pl.String:
        there = text(raw, dtype, reading)
        value = let(_digits(there, reading), lambda it: pl.coalesce(it.cast(pl.Int64, strict=False), _whole(it)))
    else:
        there, number, _ = _as_float(raw, dtype, reading)
        value = let(number, _whole)
    return Cast(value, unusable(there, value))


def _whole(number: pl.Expr) -> pl.Expr:
    number = number.cast(pl.Float64, strict=False)
    whole = (number.abs() < _EXACT) & (number == number.floor())
    return pl.when(whole).then(number).cast(pl.Int64, strict=False)


def _digits(there: pl.Expr, reading: Reading) -> pl.Expr:
    """Text with the signs of a number as a number's text; null where the signs stand wrongly."""
    value = there
    if reading.thousands is not None:
        sign, point = _SIGNS[reading.thousands], _SIGNS[reading.decimal]
        grouped = rf"^[+-]?\d{{1,3}}(?:{sign}\d{{2,3}})*{sign}\d{{3}}(?:{point}\d*)?$"
        value = let(
            value,
            lambda it: pl.when(it.str.contains(grouped) | ~it.str.contains(sign)).then(it.str.replace_all(sign, "")),
        )
    if reading.decimal == ",":
        bare = let(value, lambda it: pl.when(~it.str.contains(".", literal=True)).then(it))
        value = bare.str.replace(",", ".", literal=True)
    return value


def _boolean(raw: pl.Expr, dtype: pl.DataType, reading: Reading) -> Cast:
    if dtype == pl.Boolean:
        return Cast(raw)
    if dtype == pl.String:
        there = text(raw, dtype, reading)
        value = let(
            there.str.to_lowercase(),
            lambda it: pl.when(it.is_in(TRUE)).then(True).when(it.is_in(FALSE)).then(False),
        )
    elif dtype.is_numeric():
        there = _said(raw, dtype, reading)
        value = let(there, lambda it: pl.when(it == 1).then(True).when(it == 0).then(False))
    else:
        raise DataError(f"it holds {dtype}, which is neither true nor false.", "Compute the answer by `sql`.")
    return Cast(value, unusable(there, value))


def _timestamp(raw: pl.Expr, dtype: pl.DataType, reading: Reading) -> Cast:
    there, parsed = _clock(raw, dtype, reading)
    value = parsed.instant(reading.zone, reading.day)
    naive = parsed.naive if isinstance(dtype, pl.Datetime) and reading.day == "start" else None
    return Cast(value, unusable(there, value), naive)


def _date(raw: pl.Expr, dtype: pl.DataType, reading: Reading) -> Cast:
    there, parsed = _clock(raw, dtype, reading)
    value = parsed.day(reading.zone)
    return Cast(value, unusable(there, value))


def _clock(raw: pl.Expr, dtype: pl.DataType, reading: Reading) -> tuple[pl.Expr, times.Parsed]:
    """What is there, and the times read from it."""
    if isinstance(dtype, pl.Datetime):
        there = _said(raw, dtype, reading)
        moment = times.bounded(there, dtype)
        if dtype.time_unit != "us":
            moment = moment.cast(pl.Datetime("us", dtype.time_zone), strict=False)
        if dtype.time_zone is None:
            return there, times.Parsed(Steps(naive=moment), ("naive",))
        return there, times.Parsed(Steps(aware=moment.dt.convert_time_zone("UTC")), ("aware",))
    if dtype == pl.Date:
        there = _said(raw, dtype, reading)
        return there, times.Parsed(Steps(days=times.bounded(there, dtype).cast(DATETIME)), ("days",))
    if dtype.is_numeric() and reading.formats and all(form in UNITS for form in reading.formats):
        there = _said(raw, dtype, reading)
        return there, times.epoch(there, reading.formats[0])
    if dtype == pl.String or (dtype.is_numeric() and reading.formats):
        there = text(raw, dtype, reading)
        return there, times.parse(there, reading.formats)
    remedy = "State its `format`: epoch_s, epoch_ms, or strptime's, such as %Y%m%d."
    raise DataError(f"it holds {dtype}, which says nothing of a time by itself.", remedy)


def _written(raw: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """A typed column as text: whole floats and decimals without a point."""
    if dtype in _FLOATS:
        return let(raw, _written_float)
    if isinstance(dtype, pl.Decimal) and dtype.scale:
        return raw.cast(pl.String).str.strip_chars_end("0").str.strip_suffix(".")
    return (
        raw.cast(pl.String) if dtype.is_numeric() or dtype == pl.Boolean else times.bounded(raw, dtype).cast(pl.String)
    )


def _written_float(raw: pl.Expr) -> pl.Expr:
    whole = (raw == raw.floor()) & (raw.abs() < _EXACT)
    short = pl.when(whole).then(raw).cast(pl.Int64, strict=False).cast(pl.String)
    return pl.when(~raw.is_nan()).then(pl.coalesce(short, raw.cast(pl.String)))


def shown(raw: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """A raw value as text for people to see, whatever it is; times that no calendar has as their bare number."""
    if dtype.is_temporal() and not isinstance(dtype, pl.Duration):
        return pl.coalesce(times.bounded(raw, dtype).cast(pl.String), raw.to_physical().cast(pl.String))
    if dtype == pl.Binary:
        return pl.coalesce(_decoded(raw), raw.bin.encode("hex"))
    return raw.cast(pl.String, strict=False)


def _decoded(raw: pl.Expr) -> pl.Expr:
    """Bytes as text; null where they are no UTF-8."""
    sound = raw.bin.encode("hex").str.contains(_UTF8)
    # The cast looks at the bytes under a null, too: they must be sound.
    return pl.when(sound).then(pl.when(sound).then(raw).otherwise(pl.lit(b"")).cast(pl.String))


def _said(raw: pl.Expr, dtype: pl.DataType, reading: Reading) -> pl.Expr:
    """A typed column without the values that the mapping calls nothing, such as -999 or 9999-12-31."""
    if not reading.nulls or dtype == pl.Boolean:
        return raw
    written = pl.Series(reading.nulls, dtype=pl.String)
    if dtype.is_numeric():
        said = written.cast(pl.Float64, strict=False).drop_nulls()
        nothing = raw.cast(pl.Float64).is_in(said.to_list()) if len(said) else None
    else:
        said = pl.select(times.parse(pl.lit(written), ()).instant("UTC", "start")).to_series().drop_nulls()
        clock = (
            times.bounded(raw, dtype).dt.replace_time_zone(None)
            if dtype.is_(pl.Datetime)
            else times.bounded(raw, dtype)
        )
        nothing = clock.cast(DATETIME).is_in(said.cast(DATETIME).to_list()) if len(said) else None
    return raw if nothing is None else pl.when(~nothing.fill_null(False)).then(raw)


_CASTS: Final[Mapping[Kind, Callable[[pl.Expr, pl.DataType, Reading], Cast]]] = {
    "string": _string,
    "id": _id,
    "integer": _integer,
    "number": _number,
    "money": _money,
    "boolean": _boolean,
    "timestamp": _timestamp,
    "date": _date,
}
