"""Columns that no canonical one stands for: their type, their class of privacy, and whether they know the outcome."""

from collections.abc import Mapping
from typing import Final

import polars as pl

from feature_repo.warehouse.contract import Privacy
from feature_repo.warehouse.inspect import values, vocabulary
from feature_repo.warehouse.inspect.profile import ColumnProfile
from feature_repo.warehouse.mapping.casts import FALSE, TRUE
from motherlode import names

_IDENTIFIER: Final = frozenset({"person", "email", "phone", "address", "account"})
_NAMES: Final = (frozenset({"name"}), frozenset({"name", "customer"}), frozenset({"name", "channel"}))
"""Concepts of a person's name, in a table of customers: the last one is of a contact's."""
_OF_PERSONS: Final = (names.CUSTOMERS, names.CONTACTS, names.RESPONSES, names.FEEDBACK)
"""Open tables whose rows tell of a person."""
_QUASI: Final = frozenset({"postcode", "city", "birth", "gender", "age", "household", "work"})
_SENSITIVE: Final = frozenset({"health"})
_KEYS: Final = frozenset({"id", "postcode", "phone", "account"})
_AFTERWARDS: Final = frozenset({"response", "duration"})

_FIRST: Final = frozenset(("first", "firstname", "vorname", "given", "prenom"))
_LAST: Final = frozenset(("last", "lastname", "nachname", "surname", "family", "apellido", "apellidos", "姓"))

_MATCHED: Final[Mapping[str, str]] = {
    "email": "email",
    "phone": "phone",
    "address": "address",
    "postcode": "postcode",
    "city": "city",
    "birth": "birth_date",
}
"""Concept → what two customers are compared by."""
_READ_AS_TRUTH: Final = frozenset((*TRUE, *FALSE))


def privacy(column: ColumnProfile, table: str) -> Privacy:
    """The class that a name and the look of its values suggest, in a table's own column."""
    concepts = column.meaning.concepts
    if column.kind == "email" or (column.kind == "phone" and "phone" in concepts):
        return "identifier"
    if table not in _OF_PERSONS:
        return "none"
    if (concepts & _IDENTIFIER and column.kind != "truth") or (table == names.CUSTOMERS and concepts in _NAMES):
        return "identifier"
    if concepts & _SENSITIVE or column.kind == "prose" or concepts == {"text"}:
        return "sensitive"
    return "quasi" if concepts & _QUASI else "none"


def afterwards(column: ColumnProfile) -> bool:
    """Whether a name speaks of an outcome, or of something that ends with it."""
    return bool(column.meaning.concepts & _AFTERWARDS)


def consent(column: ColumnProfile) -> str | None:
    """`consent_<purpose>` of a column that says whether somebody agreed; None of any other."""
    if "consent" not in column.meaning.concepts or column.kind != "truth":
        return None
    said = vocabulary.words(column.name)
    if any(word.startswith("profil") for word in said):
        return f"{names.CONSENT}profiling"
    if any(word in ("newsletter", "marketing", "werbung", "营销") for word in said):
        return f"{names.CONSENT}marketing"
    rest = [word for word in said if vocabulary.WORDS.get(word) != "consent"]
    return names.CONSENT + ("_".join(rest) or "marketing")


def matched(column: ColumnProfile) -> str | None:
    """What two customers are compared by in this column, of `Matching`'s names; None where they are not."""
    concepts = column.meaning.concepts
    said = set(vocabulary.words(column.name))
    if column.kind == "email":
        return "email"
    if "person" in concepts and concepts <= {"person", "name", "customer"}:
        return "first_name" if said & _FIRST else "last_name" if said & _LAST else "name"
    if concepts in _NAMES:
        return "name"
    return next((name for concept, name in _MATCHED.items() if concept in concepts), None)


def typed(column: ColumnProfile) -> dict[str, object]:
    """How a column of the company's own is made, `from` left out: `type`, and what its values need."""
    if column.kind == "time" and column.times is not None:
        return {"type": "date" if column.times.dates else "timestamp", **formats(column)}
    if column.kind == "truth" and column.truths is not None:
        spec: dict[str, object] = {"type": "boolean"}
        plain = {text.lower() for text in column.truths} <= _READ_AS_TRUTH
        if column.dtype == pl.String and not plain:
            spec["values"] = {**column.truths, **dict.fromkeys(said_here(column), None)}
        elif said_here(column):
            spec |= {"values": dict.fromkeys(said_here(column), None), "otherwise": "keep"}
        return spec
    number = column.kind == "number" and column.numbers is not None and not is_key(column)
    spec = {"type": "string" if not number else "integer" if column.whole else "number"}
    nothing = [*said_here(column), *([column.stand_in] if column.stand_in is not None else ())]
    if nothing:
        spec |= {"values": dict.fromkeys(nothing, None), "otherwise": "keep"}
    return spec


def said_here(column: ColumnProfile) -> tuple[str, ...]:
    """Texts of this column that mean nothing, but for those that the source states for all."""
    return tuple(text for text in column.unknowns if text.strip().lower() not in values.NULLS)


def is_key(column: ColumnProfile) -> bool:
    """Whether its numbers are names, not quantities."""
    return bool(column.meaning.concepts & _KEYS) and (column.numbers is None or column.whole)


def formats(column: ColumnProfile) -> dict[str, object]:
    """`format`, where the values are no ISO 8601."""
    times = column.times
    if times is None or not times.formats:
        return {}
    return {"format": times.formats[0] if len(times.formats) == 1 else list(times.formats)}
