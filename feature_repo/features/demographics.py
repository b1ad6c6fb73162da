"""Demographics: what the company knows of a customer itself, and what of it is missing.

Grain: customer × snapshot, from the company's own columns of `customers`: those of class none or quasi that are not
known only after the outcome. They are a state without time: every snapshot has them as the tables tell them now. Each
has `<name>_missing`: true where the company knew nothing, also where the warehouse filled the gap in.

A date is told by its distance from the snapshot, so that it means the same at any time: one whose name has the word
birth, born or dob in it as `<name>_years`, of 365.2425 days, with their fraction; any other as `<name>_days_ago`. A
date at or after the snapshot is null. `tenure_days` counts from `registered_at`, with the fraction; null where that
is unknown or later.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, count
from types import MappingProxyType
from typing import Final

import polars as pl

from feature_repo.features.frames import EVERYONE, SNAPSHOT, Tables, days, everyone, finish, micros
from feature_repo.features.view import Feature, Words
from motherlode import names

READS: Final = EVERYONE

DAYS_PER_YEAR: Final = 365.2425
"""The Gregorian calendar's mean."""
BIRTH: Final = frozenset({"birth", "birthdate", "birthday", "born", "dob"})
"""Words of a column's name, between underscores, that make its date one of birth."""
TENURE: Final = "tenure_days"
MISSING: Final = "_missing"

_TYPES: Final[Mapping[str, pl.DataType]] = MappingProxyType(
    {
        "Boolean": pl.Boolean(),
        "Int8": pl.Int64(),
        "Int16": pl.Int64(),
        "Int32": pl.Int64(),
        "Int64": pl.Int64(),
        "UInt8": pl.Int64(),
        "UInt16": pl.Int64(),
        "UInt32": pl.Int64(),
        "Float32": pl.Float64(),
        "Float64": pl.Float64(),
        "String": pl.String(),
    }
)
"""Type in `customers`, as Polars writes it → type here."""
_UNITS: Final = {
    pl.Boolean(): "yes or no",
    pl.Int64(): "as the company counts it",
    pl.Float64(): "as the company counts it",
}


@dataclass(frozen=True, slots=True)
class _Attribute:
    """A column of the company's own: its name and type there, its columns here, and what it means."""

    name: str
    dtype: str
    told: str
    gap: str
    feature: Feature


def features(words: Words) -> dict[str, Feature]:
    """The view's columns: `tenure_days`, then the company's own, each with whether it is missing."""
    named = {TENURE: Feature(pl.Float32(), "days", "since the customer was registered")}
    for it in _attributes(words):
        named[it.told] = it.feature
        named[it.gap] = Feature(pl.Boolean(), "yes or no", f"whether the company did not know {it.name!r}")
    return named


def build(tables: Tables, snapshots: pl.LazyFrame, words: Words) -> pl.LazyFrame:
    """The view `demographics`; see the module for units and sources."""
    customers = tables[names.CUSTOMERS]
    there = customers.collect_schema()
    attributes = _attributes(words)
    told = customers.select(
        names.CUSTOMER_ID,
        names.REGISTERED_AT,
        # By names that no company's column has, so that none meets a column of ours.
        *(_column(it.name, there, pl.lit(None)).alias(f"of {it.name}") for it in attributes),
        *(_column(f"{it.name}{MISSING}", there, pl.lit(False)).alias(f"gap of {it.name}") for it in attributes),
    )
    rows = everyone(tables, snapshots).join(told, on=names.CUSTOMER_ID, how="left")
    since = micros(pl.col(SNAPSHOT)) - micros(pl.col(names.REGISTERED_AT))
    measured = rows.with_columns(
        _past(days(since)).alias(TENURE),
        *(_value(it).alias(it.told) for it in attributes),
        *(
            (pl.col(f"of {it.name}").is_null() | pl.col(f"gap of {it.name}").fill_null(value=False)).alias(it.gap)
            for it in attributes
        ),
    )
    return finish(measured, features(words))


def _attributes(words: Words) -> list[_Attribute]:
    """The company's columns that can be features, but for the flags of what was filled in."""
    flags = {f"{name}{MISSING}" for name in words.attributes}
    taken = {TENURE, SNAPSHOT, names.CUSTOMER_ID, names.EVENT_TIMESTAMP, names.CREATED_TIMESTAMP}
    found = []
    for name, dtype in words.attributes.items():
        if name in flags or not (dtype in _TYPES or _is_time(dtype)):
            continue
        stem, feature = _feature(name, dtype)
        told, gap = _unused(stem, taken), _unused(f"{name}{MISSING}", taken)
        taken |= {told, gap}
        found.append(_Attribute(name, dtype, told, gap, feature))
    return found


def _unused(name: str, taken: set[str]) -> str:
    """The name, or, where another column has it, with a number."""
    return next(each for each in chain([name], (f"{name}_{number}" for number in count(2))) if each not in taken)


def _is_time(dtype: str) -> bool:
    return dtype == "Date" or dtype.startswith("Datetime")


def _feature(name: str, dtype: str) -> tuple[str, Feature]:
    """An attribute's column here, and what it means."""
    if not _is_time(dtype):
        here = _TYPES[dtype]
        return name, Feature(here, _UNITS.get(here, "text"), f"{name!r}, as the company knows it now")
    if _is_birth(name):
        return f"{name}_years", Feature(pl.Float32(), "years", f"age: from {name!r} to the snapshot")
    return f"{name}_days_ago", Feature(pl.Float32(), "days", f"from {name!r} to the snapshot")


def _is_birth(name: str) -> bool:
    return not BIRTH.isdisjoint(name.lower().split("_"))


def _column(name: str, there: pl.Schema, otherwise: pl.Expr) -> pl.Expr:
    """A column of `customers`, or what stands for it where the company has it no more."""
    return pl.col(name) if name in there else otherwise


def _value(attribute: _Attribute) -> pl.Expr:
    """An attribute as a feature."""
    value = pl.col(f"of {attribute.name}")
    if not _is_time(attribute.dtype):
        return value
    distance = days(micros(pl.col(SNAPSHOT)) - micros(value.cast(pl.Datetime("us"))))
    return _past(distance / DAYS_PER_YEAR if _is_birth(attribute.name) else distance)


def _past(distance: pl.Expr) -> pl.Expr:
    return pl.when(distance > 0).then(distance).otherwise(None)
