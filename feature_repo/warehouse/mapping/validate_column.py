"""What a column's block may have wrong, and shows without any data."""

from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from feature_repo.warehouse.contract import TABLES
from feature_repo.warehouse.mapping import casts, columns, expressions, model, suggest, times
from feature_repo.warehouse.mapping.casts import Kind, Reading
from feature_repo.warehouse.mapping.expressions import Known
from feature_repo.warehouse.mapping.shape import Place, Places
from feature_repo.warehouse.mapping.validate_source import check_zone
from motherlode import names
from motherlode.errors import DataError

_NUMBERS: Final = ("integer", "number", "money")
_TIMES: Final = ("timestamp", "date")
_KINDS: Final[Mapping[str, tuple[Kind, ...]]] = {
    "format": _TIMES,
    "time_zone": _TIMES,
    "unit": ("number", "money"),
    "decimal": _NUMBERS,
    "thousands": _NUMBERS,
    "min": (*_NUMBERS, *_TIMES),
    "max": (*_NUMBERS, *_TIMES),
}
"""Key → kinds of columns that it is for."""


def check(table: str, name: str, column: model.ColumnMap, place: Place, places: Places) -> None:
    """Refuse a table's column that cannot be meant.

    Raises:
        DataError: its first fault.
    """
    canonical = TABLES[table].columns.get(name)
    if canonical is None:
        _check_own(table, name, column, place, places)
    else:
        said = columns.type_name(table, name)
        if column.type not in (None, said):
            remedy = f"{name} holds {canonical.doc}; leave `type` out."
            raise places.error((*place, "type"), f"{name} is a {said}, not a {column.type}.", remedy)
        if column.after_outcome:
            remedy = "Features use it by its own time; the key is for columns of your own."
            raise places.error((*place, "after_outcome"), f"{name} belongs to every company's table.", remedy)
        if canonical.privacy == "identifier" and column.class_ not in (None, "identifier"):
            remedy = "Leave `class` out; `privacy: {pseudonym: none}` is for made-up data."
            raise places.error((*place, "class"), f"{name} is an identifier, whatever it looks like.", remedy)
    kind = columns.kind(table, name, column)
    if column.class_ == "identifier" and kind not in ("string", "id"):
        raise places.error((*place, "class"), "an identifier becomes a pseudonym, which is text.", "Make it a string.")
    check_made(kind, column, place, places)


def check_made(kind: Kind, column: model.ColumnMap, place: Place, places: Places) -> None:
    """Refuse a way to make a column of a kind that cannot be meant.

    Raises:
        DataError: its first fault.
    """
    ways = {"from": column.from_, "sql": column.sql, "value": column.value}
    given = [key for key, it in ways.items() if it is not None]
    if len(given) != 1:
        problem = f"it gives {' and '.join(given)}." if given else "it says nothing of where its values come from."
        raise places.error(place, problem, "Give one of `from`, `sql` and `value`.")
    for key, kinds in _KINDS.items():
        if getattr(column, key) is not None and kind not in kinds:
            remedy = f"`{key}` is for {', '.join(dict.fromkeys(columns.said(it) for it in kinds))}."
            raise places.error((*place, key), f"a {columns.said(kind)} has none.", remedy)
    if column.day != "start" and kind != "timestamp":
        raise places.error((*place, "day"), f"a {columns.said(kind)} is no moment of a day.", "Leave it out.")
    if column.unit is not None and (column.unit == 0 or abs(column.unit) == float("inf") or column.unit != column.unit):
        raise places.error((*place, "unit"), f"{column.unit:g} is no unit.", "0.01 makes cents into the currency.")
    if column.decimal is not None and column.decimal == column.thousands:
        raise places.error((*place, "thousands"), "it is the decimal sign too.", "Give another.")
    if column.time_zone is not None:
        check_zone(column.time_zone, (*place, "time_zone"), places)
    _check_formats(column, place, places)
    _check_constants(kind, column, place, places)


def check_impute(
    name: str, impute: model.Impute, known: Mapping[str, pl.DataType], place: Place, places: Places
) -> None:
    """Refuse an imputation that cannot be meant.

    Args:
        name: the column that is filled.
        impute: how.
        known: the table's columns.
        place, places: where it stands.

    Raises:
        DataError: its first fault.
    """
    needed = {"rule": "sql", "model": "using"}.get(impute.by)
    for key, given in (("sql", impute.sql is not None), ("using", bool(impute.using))):
        if given != (key == needed):
            problem = f"by {impute.by} it {'takes no' if given else 'needs'} `{key}`."
            raise places.error(place, problem, "`sql` is for `rule`, `using` for `model`.")
    if impute.within and impute.by in ("rule", "model"):
        raise places.error((*place, "within"), f"by {impute.by} it takes no `within`.", "It is for mean, median, mode.")
    for key, listed in (("within", impute.within), ("using", impute.using)):
        for number, other in enumerate(listed):
            if other not in known or other == name:
                problem = f"{other!r} is the column itself." if other == name else f"there is no column {other!r}."
                hint = suggest.remedy(other, [it for it in known if it != name], "The columns are")
                raise places.error((*place, key, number), problem, hint)
    if impute.by in ("mean", "median") and not known[name].is_numeric():
        raise places.error((*place, "by"), f"{name} has no {impute.by}.", "Use `mode`, `model` or `rule`.")
    if impute.sql is not None:
        _check_rule(name, impute.sql, known, (*place, "sql"), places)


def _check_rule(name: str, sql: str, known: Mapping[str, pl.DataType], place: Place, places: Places) -> None:
    try:
        term = expressions.build(sql, Known(known, what="columns of the table"))
        if term.kind not in ("null", "integer") and term.dtype.base_type() != known[name].base_type():
            # Numbers fill numbers; anything else must be of the column's own type.
            remedy = f"CAST it: {name} holds {known[name]}."
            raise DataError(f"{sql!r} is a {term.kind}, not what {name} holds.", remedy)
    except DataError as error:
        raise places.error(place, error.problem, error.remedy) from error


def _check_own(table: str, name: str, column: model.ColumnMap, place: Place, places: Places) -> None:
    if column.type is None:
        match = suggest.nearest(name, [it for it, known in TABLES[table].columns.items() if not known.derived])
        hint = f"Did you mean {match!r}? " if match else ""
        types = "string, integer, number, boolean, timestamp, date"
        raise places.error(place, "a column of your own needs a `type`.", f"{hint}The types are {types}.")
    if name.startswith(names.CONSENT) and column.type != "boolean":
        remedy = "Make it a boolean: true where the customer agreed, null where never asked."
        raise places.error((*place, "type"), f"a consent is no {column.type}.", remedy)


def _check_formats(column: model.ColumnMap, place: Place, places: Places) -> None:
    if column.format is None:
        return
    forms = [column.format] if isinstance(column.format, str) else column.format
    if not forms:
        raise places.error((*place, "format"), "it lists none.", "Leave it out for ISO 8601.")
    for number, form in enumerate(forms):
        if form in times.UNITS:
            continue
        try:
            times.checked_format(form)
        except DataError as error:
            here = (*place, "format") if isinstance(column.format, str) else (*place, "format", number)
            raise places.error(here, error.problem, error.remedy) from error


def _check_constants(kind: Kind, column: model.ColumnMap, place: Place, places: Places) -> None:
    """What stands in the mapping itself must be of the column's kind."""
    listed: list[tuple[Place, Any]] = [(("value",), column.value), (("min",), column.min), (("max",), column.max)]
    listed += [(("allowed", number), it) for number, it in enumerate(column.allowed or ())]
    listed += [(("values", key), it) for key, it in (column.values or {}).items()]
    for here, value in listed:
        try:
            casts.literal(kind, value, Reading())
        except DataError as error:
            raise places.error((*place, *here), error.problem, error.remedy) from error
    if column.values is not None and not column.values:
        raise places.error((*place, "values"), "it maps nothing.", "Write `raw text: value` lines.")
    if any(not key.strip() for key in column.values or ()):
        remedy = "An empty text means nothing; fill it by `impute`, or by `sql: COALESCE(column, 'value')`."
        raise places.error((*place, "values"), "it maps the empty text.", remedy)
    if column.allowed is not None and not column.allowed:
        raise places.error((*place, "allowed"), "it allows nothing.", "List the values that may stand.")
    if column.min is not None and column.max is not None:
        low, high = (casts.literal(kind, it, Reading()) for it in (column.min, column.max))
        if pl.select(low > high).item():
            raise places.error(place, f"its min {column.min} is above its max {column.max}.", "Exchange them.")
