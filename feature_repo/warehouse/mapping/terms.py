"""A term of an SQL expression: its Polars expression, its kind, and where it failed."""

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Protocol, TypeAlias

import polars as pl
from sqlglot import exp

from feature_repo.warehouse.mapping import casts, times
from feature_repo.warehouse.mapping.casts import Cast, Reading
from motherlode.errors import DataError

TermKind = Literal["string", "integer", "number", "boolean", "timestamp", "time", "date", "null"]
"""`timestamp` is an instant, UTC; `time` what a clock without a stated zone showed."""

INSTANT: Final = "timestamp"
DTYPES: Final[Mapping[str, pl.DataType]] = {
    "string": pl.String(),
    "integer": pl.Int64(),
    "number": pl.Float64(),
    "boolean": pl.Boolean(),
    "timestamp": times.UTC,
    "time": times.DATETIME,
    "date": pl.Date(),
    "null": pl.Null(),
}
Node: TypeAlias = exp.Expr
"""A part of a parsed expression."""

_WIDER: Final = (("integer", "number"), ("date", "time", "timestamp"))
"""Kinds that go together, each as the widest of them."""


@dataclass(frozen=True)
class Term:
    """A part of an expression.

    Attributes:
        kind: of its values.
        value: null where there is none, or where it failed.
        failed: where a raw value was there and could not be used, so that there is no value; None: nowhere.
        literal: a constant's Python value.
        readings: how the raw values are to be understood that it is made of, of the rows that each condition names, the
            last of all others; empty: as the expression's own source.
    """

    kind: str
    value: pl.Expr
    failed: pl.Expr | None = None
    literal: Any = None
    readings: tuple[tuple[pl.Expr, Reading], ...] = ()

    @classmethod
    def of(cls, kind: str, value: pl.Expr, *parts: "Term") -> "Term":
        """A term made from others: it failed where it is null and one of them failed."""
        failures = [part.failed for part in parts if part.failed is not None]
        failed = functools.reduce(operator.or_, failures) & value.is_null() if failures else None
        return cls(kind, value, failed, readings=next((part.readings for part in parts if part.readings), ()))

    @property
    def failed_or_false(self) -> pl.Expr:
        return pl.lit(False) if self.failed is None else self.failed

    @property
    def dtype(self) -> pl.DataType:
        return DTYPES[self.kind]


class Translator(Protocol):
    """What a function sees of the expression that it stands in."""

    reading: Reading

    def term(self, node: Node) -> Term:
        """A node's term."""

    def to(self, kind: str, term: Term) -> Term:
        """A term as another kind."""

    def constant(self, node: Node | None, kind: type, default: Any = None) -> Any:
        """An argument that must be written out."""


Function: TypeAlias = Callable[[Any, Translator], Term]
"""A node of SQL's → its term."""


def constant(kind: str, value: Any) -> Term:
    """A literal."""
    return Term(kind, pl.lit(value, DTYPES[kind]), literal=value)


def column(name: str, dtype: pl.DataType, reading: Reading) -> Term:
    """A column as a term.

    Raises:
        DataError: its type has no place in an expression.
    """
    raw = pl.col(name)
    try:
        kind = _kind(dtype)
        if kind == "time":
            made = casts.cast("timestamp", raw, dtype, replace(reading, zone="UTC", day="start"))
            return Term("time", made.value.dt.replace_time_zone(None), made.failed, readings=read_as(reading))
        made = casts.cast(kind, raw, dtype, reading)  # type: ignore[arg-type]
    except DataError as error:
        raise DataError(f"column {name!r}: {error.problem}", error.remedy) from error
    return Term(kind, made.value, made.failed, readings=read_as(reading))


def read_as(reading: Reading) -> tuple[tuple[pl.Expr, Reading], ...]:
    """One reading of all rows."""
    return ((pl.lit(True), reading),)


def by_reading(term: Term, reading: Reading, make: Callable[[Reading], Cast]) -> Cast:
    """What is made of a term, of each row by the reading of the column that its value comes from.

    Args:
        term: the term.
        reading: of a term that comes from no column.
        make: what is made by a reading.
    """
    *first, (_, last) = term.readings or read_as(reading)
    made = make(last)
    for where, each in reversed(first):
        other = make(each)
        value = pl.when(where).then(other.value).otherwise(made.value)
        failures = [pl.lit(False) if it.failed is None else it.failed for it in (other, made)]
        sure = other.failed is None and made.failed is None
        made = Cast(value, None if sure else pl.when(where).then(failures[0]).otherwise(failures[1]))
    return made


def chosen(
    parts: Sequence[tuple[pl.Expr, Term]], otherwise: Term, reading: Reading
) -> tuple[tuple[pl.Expr, Reading], ...]:
    """The readings of what is the first term whose condition is true, or else the last."""
    every = [(where, part) for where, part in (*parts, (pl.lit(True), otherwise)) if part.literal is None]
    every = [(where, part) for where, part in every if part.kind != "null"]
    found = [(where & inner, each) for where, part in every for inner, each in part.readings or read_as(reading)]
    if len({each for _, each in found}) < 2:
        return read_as(found[0][1]) if found else ()
    return tuple(found)


def _kind(dtype: pl.DataType) -> str:
    if dtype == pl.Null:
        return "string"
    if isinstance(dtype, pl.Datetime):
        return "time" if dtype.time_zone is None else INSTANT
    if dtype in (pl.Boolean, pl.Date):
        return "boolean" if dtype == pl.Boolean else "date"
    if dtype.is_integer():
        return "integer"
    return "number" if dtype.is_numeric() else "string"


def converted(term: Term, kind: str, reading: Reading) -> Term:
    """A term as another kind; where it cannot be, it failed.

    Raises:
        DataError: no value of its kind can be.
    """
    if term.kind == kind:
        return term
    if term.kind == "null":
        return Term(kind, pl.lit(None, DTYPES[kind]))
    if term.literal is not None:
        return _constant_as(term, kind, reading)
    made = by_reading(term, reading, functools.partial(_converted, term, kind))
    failures = [failed for failed in (term.failed, made.failed) if failed is not None]
    failed = functools.reduce(operator.or_, failures) if failures else None
    return Term(kind, made.value, failed, readings=term.readings)


def _converted(term: Term, kind: str, reading: Reading) -> Cast:
    # Times in an expression are no dates of the mapping's `day`, and its formats are the result's.
    plain = replace(reading, nulls=(), day="start", unit=None, formats=())
    made = casts.cast(INSTANT if kind == "time" else kind, term.value, term.dtype, plain)  # type: ignore[arg-type]
    return Cast(times.clock(made.value, reading.zone), made.failed) if kind == "time" else made


def comparable(terms: Sequence[Term], reading: Reading) -> list[Term]:
    """Terms as one kind to compare: text beside a number is read as a number, beside a time as a time.

    Raises:
        DataError: there is no such kind.
    """
    kinds = {term.kind for term in terms} - {"null"}
    if "string" in kinds and len(kinds) > 1:
        kinds = {"number" if kind == "integer" else kind for kind in kinds - {"string"}}
    kind, reading = _widest(_on_one_clock(terms, kinds)), _readings(terms, reading)[0]
    return [converted(term, kind, reading) for term in terms]


def alternatives(terms: Sequence[Term], reading: Reading) -> list[Term]:
    """Terms as one kind that holds each of them: numbers beside text become text, in the source's own signs.

    Raises:
        DataError: there is no such kind.
    """
    kinds = {term.kind for term in terms} - {"null"}
    if "string" in kinds and not kinds & {"date", "time", "timestamp"}:
        kinds = {"string"}
    kind, reading = _widest(_on_one_clock(terms, kinds - {"string"} or kinds)), _readings(terms, reading)[0]
    return [_written(term, kind, reading) for term in terms]


def _readings(terms: Sequence[Term], reading: Reading) -> list[Reading]:
    """The readings of columns; a constant beside them is meant as they are."""
    return [each for term in terms for _, each in term.readings] or [reading]


def clocks(terms: Sequence[Term], reading: Reading) -> list[Term]:
    """Terms as what clocks showed; those of several zones as what the expression's own clock showed.

    Raises:
        DataError: they are no times.
    """
    if len({each.zone for term in terms for _, each in term.readings}) > 1:
        terms = [replace(converted(term, INSTANT, reading), readings=read_as(reading)) for term in terms]
    return [converted(term, "time", reading) for term in terms]


def _on_one_clock(terms: Sequence[Term], kinds: set[str]) -> set[str]:
    """Times of several zones go together as moments alone."""
    zones = {reading.zone for term in terms if term.kind == "time" for _, reading in term.readings}
    return kinds | {INSTANT} if "time" in kinds and len(zones) > 1 else kinds


def _written(term: Term, kind: str, reading: Reading) -> Term:
    made = converted(term, kind, reading)
    if kind != "string" or term.kind != "number":
        return made
    if reading.decimal == ",":
        made = replace(made, value=made.value.str.replace(".", ",", literal=True))
    return replace(made, readings=read_as(reading))


def _constant_as(term: Term, kind: str, reading: Reading) -> Term:
    plain = replace(term, literal=None)
    # A number written out in SQL has SQL's signs, whatever the source's are.
    made = converted(plain, kind, replace(reading, decimal=".", thousands=None))
    failed, value = pl.select(failed=made.failed_or_false, value=made.value).row(0)
    if failed:
        noun = casts.NOUNS["timestamp" if kind == "time" else kind]  # type: ignore[index]
        raise DataError(f"{term.literal!r} is no {noun}.", "Write it as one, or compare texts with texts.")
    return constant(kind, value)


def _widest(kinds: set[str]) -> str:
    if not kinds:
        return "null"
    if len(kinds) == 1:
        return next(iter(kinds))
    for family in _WIDER:
        if kinds <= set(family):
            return max(kinds, key=family.index)
    raise DataError(f"{' and '.join(sorted(kinds))} do not go together.", "CAST one of them.")


def failing(term: Term, where: pl.Expr) -> Term:
    """A term that failed at other rows besides; null is no."""
    where = where.fill_null(False)
    return replace(term, failed=where if term.failed is None else term.failed | where)


def numeric(term: Term, reading: Reading) -> Term:
    """A term as a number, whole where it is.

    Raises:
        DataError: it is none.
    """
    if term.kind in ("integer", "number"):
        return term
    if term.kind in ("string", "null"):
        return converted(term, "number", reading)
    raise DataError(f"a {term.kind} is no number.", "Use + INTERVAL '1 day' or DATE_DIFF('day', a, b) with times.")
