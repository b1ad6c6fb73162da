"""Which column of one file is the key of another: by names, and by values that both have."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from feature_repo.warehouse.inspect import vocabulary
from feature_repo.warehouse.inspect.profile import ColumnProfile, FileProfile, overlap

_ENOUGH: Final = 0.8
"""Share of a column's different values that the key must have."""
_OF_ONE_NAME: Final = 0.4
"""The same, where both have one name: exports lose rows, and what has lost them is still the key."""
_FEWEST: Final = 3
"""Different values below which an overlap says nothing."""


@dataclass(frozen=True)
class Link:
    """A column whose values are another file's keys.

    Attributes:
        source, column: the one that refers.
        other, key: the one that is referred to; `key` tells the rows of `other` apart.
        share: of the column's different values that are keys.
    """

    source: str
    column: str
    other: str
    key: str
    share: float


def find(files: Sequence[FileProfile]) -> tuple[Link, ...]:
    """Every link between different files, the surest first."""
    links = []
    for own in files:
        for other in files:
            if own is other or own.of == other.source or other.of == own.source:
                continue
            keys = [column for column in other.columns.values() if column.unique and column.remembered]
            for column in own.columns.values():
                for key in keys:
                    share = _share(column, key)
                    if share >= (_OF_ONE_NAME if _same(column, key) else _ENOUGH):
                        links.append(Link(own.source, column.name, other.source, key.name, share))
    return tuple(sorted(links, key=lambda link: -link.share))


def _share(column: ColumnProfile, key: ColumnProfile) -> float:
    """How much of a column a key has; 0 where names do not allow that they mean the same."""
    if column.kind not in ("number", "word", "truth") or column.different < _FEWEST:
        return 0.0
    if column.numbers is not None and not column.whole:
        return 0.0
    shared = (_subjects(column) & _subjects(key)) - {"id", "name", "type"}
    # Small whole numbers overlap by chance; codes with letters do not.
    telling = column.kind == "word" and key.kind == "word" and column.different >= 5
    return overlap(column, key) if _same(column, key) or shared or telling else 0.0


def _subjects(column: ColumnProfile) -> frozenset[str]:
    """What a name is of; an account is a customer's."""
    concepts = column.meaning.concepts
    return concepts | {"customer"} if "account" in concepts else concepts


def _same(column: ColumnProfile, key: ColumnProfile) -> bool:
    """Whether two columns have one name, and one that says more than `id`."""
    return vocabulary.words(column.name) == vocabulary.words(key.name) != ["id"]
