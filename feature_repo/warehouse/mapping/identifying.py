"""What a mapping makes identifiers of: whichever table it is, the source's lines hold them."""

from collections.abc import Iterator
from typing import Final

from feature_repo.warehouse.mapping import columns, expressions, model
from feature_repo.warehouse.mapping.columns import Entry
from motherlode import names

_QUANTITIES: Final = ("timestamp", "date", "money")


def identifiers(mapping: model.Mapping, source: str) -> tuple[str, ...]:
    """The columns of class `identifier` of any table, and those of `matching`, that are made from a source.

    Returns:
        Their names, sorted.
    """
    return tuple(sorted(set(_identifiers(mapping, source))))


def quantities(mapping: model.Mapping, source: str) -> set[str]:
    """The raw columns of a source that a mapping makes times, days or money of, and nothing else: no id is one."""
    found: dict[bool, set[str]] = {True: set(), False: set()}
    for entry in columns.entries(mapping):
        for name, _, it in entry.columns():
            plain = columns.kind(entry.table, name, it) in _QUANTITIES
            for raw in named(it):
                of, _, column = (
                    raw.rpartition(".")
                    if any(raw.startswith(f"{j.source}.") for j in entry.block.join)
                    else (entry.block.from_, "", raw)
                )
                if of == source:
                    found[plain].add(column)
        for join in entry.block.join:
            if source in (join.source, entry.block.from_):
                keys = columns.joined(join)
                found[False].update(keys.values() if source == join.source else keys)
    return found[True] - found[False]


def _identifiers(mapping: model.Mapping, source: str) -> Iterator[str]:
    for entry in columns.entries(mapping):
        own, looked_up = entry.block.from_ == source, f"{source}."
        joined = {
            mine for join in entry.block.join if join.source == source for mine in columns.joined(join)
        }  # a look-up's key holds what it is found by
        for name, it in _telling(mapping, entry):
            if own or any(raw in joined or raw.startswith(looked_up) for raw in named(it)):
                yield name


def _telling(mapping: model.Mapping, entry: Entry) -> Iterator[tuple[str, model.ColumnMap]]:
    """A block's columns that identify a customer, those that customers are compared by among them."""
    for name, _, it in entry.columns():
        if name in (names.CUSTOMER_ID, names.VISITOR_ID) or columns.privacy(entry.table, name, it) == "identifier":
            yield name, it
    if entry.table == names.CUSTOMERS and mapping.matching is not None:
        yield from ((name, columns.whole(said)) for name, said in mapping.matching.columns.items())


def named(it: model.ColumnMap) -> tuple[str, ...]:
    """The raw columns that a column is made from."""
    return (it.from_,) if it.from_ is not None else expressions.references(it.sql) if it.sql is not None else ()
