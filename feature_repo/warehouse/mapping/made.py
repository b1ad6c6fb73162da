"""What a mapping compiles to: columns, rules and what they need."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import polars as pl

from feature_repo.warehouse.contract import Privacy, Rule
from feature_repo.warehouse.mapping import casts, columns, model, times
from feature_repo.warehouse.mapping.casts import DTYPES, Cast, Kind, Reading


@dataclass(frozen=True)
class Made:
    """One column, made.

    Attributes:
        name, dtype: of the column.
        value: null where it cannot be made.
        failed: true where something is there and cannot be used, never null; None where that cannot be.
        shown: what stands there, as text, for quarantine; parts that a column of class `identifier` is made from are
            `(hidden)` in all others.
        rule, remedy: what is broken where it failed.
        privacy: its class.
    """

    name: str
    dtype: pl.DataType
    value: pl.Expr
    failed: pl.Expr | None
    shown: pl.Expr
    rule: str
    remedy: str
    privacy: Privacy


@dataclass(frozen=True)
class Compiled:
    """A table's expressions, over a frame of raw columns, `_row`, `_line`, `_file` and look-ups' columns.

    Attributes:
        columns: the contract's, in its order, but for derived ones other than `local_timestamp` and `outside_id`;
            then the company's own.
        where: true for the rows that are meant, never null; None: all.
        rules: what rows must keep, over the canonical columns, besides the contract's own rules.
        key: the columns that tell rows apart; empty: the whole content.
        impute: column → what fills it.
        raw_columns: the file's own columns that are needed, those that look-ups are joined on included.
        lookup_columns: look-up source → its columns that are needed, by their own names.
        derived: column → its value over the canonical columns, to be made once identifiers are pseudonyms.
    """

    columns: tuple[Made, ...]
    where: pl.Expr | None = None
    rules: tuple[Rule, ...] = ()
    key: tuple[str, ...] = ()
    impute: Mapping[str, model.Impute] = field(default_factory=dict)
    raw_columns: frozenset[str] = frozenset()
    lookup_columns: Mapping[str, frozenset[str]] = field(default_factory=dict)
    derived: Mapping[str, pl.Expr] = field(default_factory=dict)


def constants(reading: Reading) -> Reading:
    """How constants of the mapping are to be understood: with YAML's and ISO's signs, on the column's clock."""
    return Reading(zone=reading.zone)


def valued(kind: Kind, raw: pl.Expr, dtype: pl.DataType, it: model.ColumnMap, reading: Reading) -> Cast:
    """A raw column's value, by the table of `values` where there is one.

    Raises:
        DataError: no value of `dtype` can become that.
    """
    if it.values is None:
        return casts.cast(kind, raw, dtype, reading)
    there = casts.text(raw, dtype, reading)
    keys = list(it.values)
    said = pl.concat(
        pl.select(casts.literal(kind, value, constants(reading)).cast(DTYPES[kind])).to_series()
        for value in it.values.values()
    )
    mapped = there.replace_strict(keys, said, default=None, return_dtype=DTYPES[kind])
    if it.otherwise == "null":
        return Cast(mapped)
    known = there.is_in(keys)
    if it.otherwise == "reject":
        return Cast(mapped, there.is_not_null() & ~known.fill_null(False))
    other = casts.cast(kind, raw, dtype, reading)
    failed = None if other.failed is None else other.failed & ~known.fill_null(False)
    return Cast(pl.when(known).then(mapped).otherwise(other.value), failed)


def computed(kind: Kind, value: pl.Expr, dtype: pl.DataType, it: model.ColumnMap, reading: Reading) -> Cast:
    """What an expression gave as a column's value; the raw columns' own nulls are gone from it already.

    Raises:
        DataError: as `valued`.
    """
    return valued(kind, value, dtype, it, replace(reading, nulls=()))


def broken(kind: Kind, it: model.ColumnMap, reading: Reading) -> tuple[str, str]:
    """Name and remedy of the rule that a value breaks which cannot be made."""
    if it.values is not None and it.otherwise == "reject":
        return "not in values", "Add the text to the column's `values`, or state `otherwise: keep` or `null`."
    remedy = casts.REMEDIES[kind]
    if kind in ("timestamp", "date"):
        told = (
            f"in the format {' or '.join(reading.formats)}" if reading.formats else "as ISO 8601, or state its `format`"
        )
        clock = "" if times.is_utc(reading.zone) else f" on the clock of {reading.zone}"
        remedy = f"Give a {casts.NOUNS[kind]} that exists{clock}, {told}."
    elif kind in ("number", "money", "integer"):
        grouped = f" and {reading.thousands!r} between thousands" if reading.thousands else ""
        signs = f"{reading.decimal!r} as the decimal sign{grouped}"
        remedy = f"{remedy} It was read with {signs}; state others by `decimal` and `thousands`."
    if it.sql is not None:
        remedy = f"{remedy} In SQL, TRY_CAST makes a failure null, and NULLIF leaves a text out."
    return f"not a {columns.said(kind)}", remedy


def limits(name: str, kind: Kind, it: model.ColumnMap, reading: Reading) -> Iterator[Rule]:
    """The rules of a column's `min`, `max` and `allowed`."""
    column = pl.col(name)
    ends: tuple[tuple[str, float | str | None, Callable[[pl.Expr, pl.Expr], pl.Expr]], ...] = (
        ("min", it.min, pl.Expr.lt),
        ("max", it.max, pl.Expr.gt),
    )
    for key, limit, breaks in ends:
        if limit is not None:
            rule = f"{'below' if key == 'min' else 'above'} {limit}"
            beyond = breaks(column, casts.literal(kind, limit, constants(reading)))
            yield Rule(rule, name, beyond, f"Correct the value, or the `{key}` of the mapping.", it.severity)
    if it.allowed is not None:
        values = pl.concat(
            pl.select(casts.literal(kind, value, constants(reading))).to_series() for value in it.allowed
        )
        remedy = "Correct the value, or add it to the mapping's `allowed`."
        yield Rule("not allowed", name, ~column.is_in(values.implode()), remedy, it.severity)
