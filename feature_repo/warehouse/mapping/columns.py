"""What the mapping says of a column, with all that it leaves to the source, the contract and the defaults."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

from feature_repo.warehouse.contract import TABLES, UTC, Privacy
from feature_repo.warehouse.mapping import model, times
from feature_repo.warehouse.mapping.casts import Kind, Reading
from feature_repo.warehouse.mapping.shape import Place
from motherlode import names

MATCHED: Final[Mapping[str, Kind]] = {
    "name": "string",
    "first_name": "string",
    "last_name": "string",
    "email": "string",
    "phone": "string",
    "address": "string",
    "postcode": "string",
    "city": "string",
    "birth_date": "date",
}
"""What customers are compared by → what it is made as."""

_MONEY: Final = (names.AMOUNT, names.RETAIL_DISCOUNT, names.COUPON_DISCOUNT)
_TYPES: Final[Mapping[Kind, str]] = {"id": "string", "money": "number"}


@dataclass(frozen=True)
class Entry:
    """One block of `tables`.

    Attributes:
        table: the canonical table.
        place: where it stands.
        block: what it says.
    """

    table: str
    place: Place
    block: model.TableMap

    def columns(self) -> Iterator[tuple[str, Place, model.ColumnMap]]:
        """Name, place and mapping of each of its columns."""
        for name, it in self.block.columns.items():
            yield name, (*self.place, "columns", name), whole(it)


def entries(mapping: model.Mapping) -> Iterator[Entry]:
    """Every block of `tables`, in the file's order."""
    for table, blocks in mapping.tables.items():
        if isinstance(blocks, list):
            for number, block in enumerate(blocks):
                yield Entry(table, ("tables", table, number), block)
        else:
            yield Entry(table, ("tables", table), blocks)


def whole(column: str | model.ColumnMap) -> model.ColumnMap:
    """A column's mapping; a plain text is the raw column."""
    return model.ColumnMap(from_=column) if isinstance(column, str) else column


def kind(table: str, name: str, column: model.ColumnMap) -> Kind:
    """What a column is made as; one of the company's own has its `type`, text where a fault left it out."""
    said = type_name(table, name) if name in TABLES[table].columns else column.type or "string"
    if said == "string":
        return "id" if name.endswith("_id") else "string"
    if said == "number":
        return "money" if name in _MONEY else "number"
    return said


def type_name(table: str, name: str) -> Literal["string", "number", "boolean", "timestamp"]:
    """A canonical column's type, in the mapping's words."""
    dtype = TABLES[table].columns[name].dtype
    if dtype == pl.Boolean:
        return "boolean"
    return "timestamp" if dtype == UTC else "number" if dtype.is_float() else "string"


def said(kind: Kind) -> str:
    """A kind in the mapping's words."""
    return _TYPES.get(kind, kind)


def privacy(table: str, name: str, column: model.ColumnMap) -> Privacy:
    """A column's class: the mapping's, or else the contract's."""
    canonical = TABLES[table].columns.get(name)
    return column.class_ or (canonical.privacy if canonical is not None else "none")


def reading(
    mapping: model.Mapping, source: str, column: model.ColumnMap, found: Mapping[str, str] | None = None
) -> Reading:
    """How a column's raw values are to be understood: as the column says, else its source, else what was found.

    Args:
        mapping: the mapping.
        source: the name of the column's source.
        column: the column.
        found: `decimal` and `thousands` that the source's file itself showed.
    """
    stated = mapping.sources[source]
    shown = found or {}
    decimal = column.decimal or stated.decimal
    thousands = column.thousands or stated.thousands
    if decimal is None and thousands is not None:
        decimal = "," if thousands == "." else "." if thousands == "," else None
    if decimal is None:
        decimal = "," if shown.get("decimal") == "," else "."
    if thousands is None:
        thousands = next((sign for sign in (",", ".", " ", "'") if sign == shown.get("thousands") != decimal), None)
    forms = column.format or []
    return Reading(
        nulls=tuple(stated.null_values),
        decimal=decimal,
        thousands=thousands,
        zone=column.time_zone or stated.time_zone or mapping.time_zone,
        formats=(forms,) if isinstance(forms, str) else tuple(forms),
        day=column.day,
        unit=column.unit,
    )


def local_zone(mapping: model.Mapping, source: str, column: model.ColumnMap) -> str:
    """Whose clock `local_timestamp` shows: the nearest zone stated that is not UTC, which no shop's wall shows."""
    stated = (column.time_zone, mapping.sources[source].time_zone, mapping.time_zone)
    return next((zone for zone in stated if zone is not None and not times.is_utc(zone)), "UTC")


def joined(join: model.Join) -> dict[str, str]:
    """A look-up's keys: own column → the other's."""
    if isinstance(join.on, str):
        return {join.on: join.on}
    return dict(join.on) if isinstance(join.on, dict) else {name: name for name in join.on}
