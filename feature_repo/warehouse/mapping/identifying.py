"""What a mapping makes identifiers of: whichever table it is, the source's lines hold them."""

from collections.abc import Iterator

from feature_repo.warehouse.mapping import columns, expressions, model
from feature_repo.warehouse.mapping.columns import Entry
from motherlode import names


def identifiers(mapping: model.Mapping, source: str) -> tuple[str, ...]:
    """The columns of class `identifier` of any table, and those of `matching`, that are made from a source.

    Returns:
        Their names, sorted.
    """
    return tuple(sorted(set(_identifiers(mapping, source))))


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
