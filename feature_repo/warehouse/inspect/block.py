"""A proposed table of one source, and what all of them make."""

from collections.abc import Mapping
from dataclasses import dataclass

from feature_repo.warehouse.inspect.columns import Made
from feature_repo.warehouse.inspect.profile import FileProfile
from feature_repo.warehouse.inspect.relations import Link


@dataclass(frozen=True)
class Block:
    """A table made from a source.

    Attributes:
        table, source: by name.
        sure: 0..1.
        columns: in the contract's order, the company's own behind.
        joins: look-ups.
        where: rows that are taken; None: all.
        key: what tells rows apart, where it is not the contract's.
        last: whether the last row of a key wins within a file.
        unused: raw columns that are left out → why.
        notes: what a person should know.
    """

    table: str
    source: str
    sure: float
    columns: tuple[Made, ...]
    joins: tuple[Link, ...] = ()
    where: str | None = None
    key: tuple[str, ...] = ()
    last: bool = False
    unused: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Proposal:
    """What a mapping could be.

    Attributes:
        sources: every file, and of a file that can be read in two ways the one that a table is made from.
        blocks: tables, in the contract's order.
        links: keys found between files.
        matching: what two customers are compared by → how it is made.
        matched: the source of `matching`.
        currency: ISO 4217, where a file states it.
        clocks: whether times without a zone were found.
        left: file that no table is made from → why.
    """

    sources: tuple[FileProfile, ...]
    blocks: tuple[Block, ...]
    links: tuple[Link, ...]
    matching: Mapping[str, object]
    matched: str
    currency: str | None
    clocks: bool
    left: Mapping[str, str]
