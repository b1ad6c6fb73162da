"""Which values may be shown: a column's privacy class, by the contract and by the mapping."""

from typing import Final

import polars as pl

from feature_repo.warehouse.contract import TABLES, UTC, Privacy
from feature_repo.warehouse.mapping.model import ColumnMap, Mapping, TableMap
from motherlode import names

HIDDEN: Final = "(hidden)"
SHOWN: Final[frozenset[Privacy]] = frozenset({"none", "quasi"})
"""Classes whose values may stand in a report; of `quasi` only those that many rows share."""

_STRICTEST: Final[tuple[Privacy, ...]] = ("none", "quasi", "sensitive", "identifier")
_ORIGINS: Final = {
    names.OUTSIDE_ID: names.ITEM_ID,
    names.LOCAL_TIMESTAMP: names.EVENT_TIMESTAMP,
    names.ENTRY_PAGE: names.PAGE,
    names.EXIT_PAGE: names.PAGE,
}
"""Derived column → the column whose values it shows."""
_TYPES: Final[dict[str, pl.DataType]] = {
    "string": pl.String(),
    "integer": pl.Int64(),
    "number": pl.Float64(),
    "boolean": pl.Boolean(),
    "timestamp": UTC,
    "date": pl.Date(),
}


def entries(mapping: Mapping, table: str) -> tuple[TableMap, ...]:
    """The mapping's blocks of a table."""
    found = mapping.tables.get(table, [])
    return (found,) if isinstance(found, TableMap) else tuple(found)


def classes(mapping: Mapping, table: str) -> dict[str, Privacy]:
    """Column → its class, the strictest that the contract or any block states. A column that neither knows is hidden
    by `shown`."""
    known = TABLES[table].columns if table in TABLES else {}
    found: dict[str, Privacy] = {name: column.privacy for name, column in known.items()}
    if table == names.SESSIONS:  # made of interactions: each column has the class of the one that it comes from
        events = classes(mapping, names.INTERACTIONS)
        return {name: events.get(_ORIGINS.get(name, name), privacy) for name, privacy in found.items()}
    for entry in entries(mapping, table):
        for name, column in entry.columns.items():
            stated = column.class_ if isinstance(column, ColumnMap) and column.class_ else found.get(name, "none")
            found[name] = max(stated, found.get(name, stated), key=_STRICTEST.index)
            found.setdefault(f"{name}_missing", "none")
    for name, origin in _ORIGINS.items():
        if name in found and origin in found:
            found[name] = max(found[name], found[origin], key=_STRICTEST.index)
    return found


def shown(classes: dict[str, Privacy], column: str | None) -> bool:
    """Whether a column's values may stand in a report."""
    return classes.get(column or "", "identifier") in SHOWN


def own_columns(mapping: Mapping, table: str) -> dict[str, pl.DataType]:
    """The columns that a mapping adds to an open table and states a type for; an identifier has its pseudonym's."""
    known = TABLES[table].columns
    return {
        name: _TYPES["string" if column.class_ == "identifier" else column.type]
        for entry in entries(mapping, table)
        for name, column in entry.columns.items()
        if name not in known and isinstance(column, ColumnMap) and column.type is not None
    }
