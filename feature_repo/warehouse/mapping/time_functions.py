"""The functions of SQL expressions that take times, dates and intervals."""

from collections.abc import Callable, Mapping
from typing import Final

import polars as pl
from polars.exceptions import PolarsError
from sqlglot import exp

from feature_repo.warehouse.mapping import casts
from feature_repo.warehouse.mapping.casts import Reading
from feature_repo.warehouse.mapping.terms import INSTANT, Function, Node, Term, Translator, by_reading, clocks, failing
from feature_repo.warehouse.mapping.times import checked_format
from motherlode.errors import DataError

_LONGEST: Final = 10_000
_UNITS: Final[Mapping[str, str]] = {
    "MICROSECOND": "us",
    "MILLISECOND": "ms",
    "SECOND": "s",
    "MINUTE": "m",
    "HOUR": "h",
    "DAY": "d",
    "WEEK": "w",
    "MONTH": "mo",
    "QUARTER": "q",
    "YEAR": "y",
}


def _part(method: Callable[[pl.Expr], pl.Expr]) -> Function:
    def function(node: Node, made: Translator) -> Term:
        this = made.to("time", made.term(node.this))
        return Term.of("integer", method(this.value).cast(pl.Int64), this)

    return function


_PARTS: Final[Mapping[str, Callable[[pl.Expr], pl.Expr]]] = {
    "YEAR": lambda it: it.dt.year(),
    "QUARTER": lambda it: it.dt.quarter(),
    "MONTH": lambda it: it.dt.month(),
    "WEEK": lambda it: it.dt.week(),
    "DAY": lambda it: it.dt.day(),
    "DOW": lambda it: it.dt.weekday() % 7,
    "ISODOW": lambda it: it.dt.weekday(),
    "DOY": lambda it: it.dt.ordinal_day(),
    "HOUR": lambda it: it.dt.hour(),
    "MINUTE": lambda it: it.dt.minute(),
    "SECOND": lambda it: it.dt.second(),
}


def _extract(node: Node, made: Translator) -> Term:
    part = node.this.name.upper()
    if part not in _PARTS:
        raise DataError(f"EXTRACT knows no {part}.", f"It knows {', '.join(_PARTS)}.")
    this = made.to("time", made.term(node.expression))
    return Term.of("integer", _PARTS[part](this.value).cast(pl.Int64), this)


def _unit(node: Node) -> str:
    unit = node.args.get("unit")
    name = unit.name.upper().rstrip("S") if unit is not None else "DAY"
    if name not in _UNITS:
        raise DataError(f"there is no unit of time {name}.", f"There are {', '.join(_UNITS)}.")
    return name


def interval(node: Node, made: Translator) -> Term:
    """`time + INTERVAL '1 day'` and its like."""
    time, length = made.term(node.this), node.expression
    count = length.this.name if length.this is not None else ""
    if not count.lstrip("-").isdigit() or abs(int(count)) > _LONGEST:
        raise DataError(f"{length.sql()} is no interval.", f"Write INTERVAL '30 day', up to {_LONGEST:,} of a unit.")
    sign = "-" if isinstance(node, exp.Sub) != count.startswith("-") else ""
    time = time if time.kind in ("date", "time") else made.to("time", time)
    unit = _UNITS[_unit(length)]
    if time.kind == "date" and unit in ("us", "ms", "s", "m", "h"):
        time = made.to("time", time)
    return Term.of(time.kind, time.value.dt.offset_by(f"{sign}{count.lstrip('-')}{unit}"), time)


def _truncate(node: Node, made: Translator) -> Term:
    this = made.to("time", made.term(node.this))
    return Term.of("time", this.value.dt.truncate(f"1{_UNITS[_unit(node)]}"), this)


def _difference(node: Node, made: Translator) -> Term:
    later, earlier = clocks([made.term(it) for it in (node.this, node.expression)], made.reading)
    unit = _unit(node)
    if unit in ("YEAR", "QUARTER", "MONTH"):
        size = {"YEAR": 12, "QUARTER": 3, "MONTH": 1}[unit]
        counted = [_months(it.value) // size for it in (later, earlier)]
        return Term.of("integer", counted[0] - counted[1], later, earlier)
    # As DuckDB's: the boundaries of the unit that lie between.
    cut = [it.value.dt.truncate(f"1{_UNITS[unit]}") for it in (later, earlier)]
    micros = (cut[0] - cut[1]).dt.total_microseconds()
    sizes = {"WEEK": 604_800_000_000, "DAY": 86_400_000_000, "HOUR": 3_600_000_000, "MINUTE": 60_000_000}
    size = {**sizes, "SECOND": 1_000_000, "MILLISECOND": 1_000, "MICROSECOND": 1}[unit]
    return Term.of("integer", micros // size, later, earlier)


def _months(time: pl.Expr) -> pl.Expr:
    return time.dt.year().cast(pl.Int64) * 12 + (time.dt.month() - 1)


def _strptime(node: Node, made: Translator) -> Term:
    form = checked_format(made.constant(node.args.get("format"), str))
    this = made.to("string", made.term(node.this))
    parsed = by_reading(
        this,
        made.reading,
        lambda it: casts.cast("timestamp", this.value, pl.String(), Reading(zone=it.zone, formats=(form,))),
    )
    return failing(Term.of(INSTANT, parsed.value, this), parsed.failed if parsed.failed is not None else pl.lit(False))


def _strftime(node: Node, made: Translator) -> Term:
    form = made.constant(node.args.get("format"), str)
    try:
        pl.select(pl.datetime(2024, 1, 1).dt.to_string(form))
    except PolarsError as error:
        raise DataError(f"{form!r} is no format of strftime's.", "Write it like %Y-%m-%d.") from error
    this = made.to("time", made.term(node.this))
    return Term.of("string", this.value.dt.to_string(form), this)


TIME: Final[Mapping[type[Node], Function]] = {
    exp.Extract: _extract,
    exp.Year: _part(_PARTS["YEAR"]),
    exp.Quarter: _part(_PARTS["QUARTER"]),
    exp.Month: _part(_PARTS["MONTH"]),
    exp.Day: _part(_PARTS["DAY"]),
    exp.Hour: _part(_PARTS["HOUR"]),
    exp.Minute: _part(_PARTS["MINUTE"]),
    exp.Second: _part(_PARTS["SECOND"]),
    exp.TimestampTrunc: _truncate,
    exp.DateTrunc: _truncate,
    exp.DateDiff: _difference,
    exp.StrToTime: _strptime,
    exp.TimeToStr: _strftime,
}
