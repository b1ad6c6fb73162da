"""What every reader gives: batches of raw rows, the lines that are no row, and what was found out on the way."""

from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa

LONGEST: Final = 2_000
"""Characters of a malformed line that are kept."""


@dataclass(frozen=True)
class Malformed:
    """A line that is no row.

    Attributes:
        line: in the source file, from 1.
        value: the line's text; bytes that are no text as escapes.
        rule: what it breaks: `fields`, `quotes`, `encoding`, `bytes`, `json`.
        remedy: what the data's owner can do.
    """

    line: int
    value: str
    rule: str
    remedy: str


@dataclass(frozen=True)
class Batch:
    """Some of a file's rows.

    Attributes:
        rows: the raw columns.
        lines: each row's line, UInt32; its number, for sources without lines.
        malformed: lines among them that are no row.
    """

    rows: pa.Table
    lines: pa.Array
    malformed: list[Malformed] = field(default_factory=list)


@dataclass
class Reading:
    """A source being read.

    Attributes:
        batches: in the order of the file. A later batch may have columns that an earlier one lacks.
        how: what was found out; complete when the batches are used up.
        columns: that are known before any row is.
        digest: SHA-256 over the rows, for sources that are no file; set when the batches are used up.
    """

    batches: Iterator[Batch]
    how: dict[str, str]
    columns: pa.Schema
    digest: str = ""


def shortened(value: str) -> str:
    """A malformed line's text, cut where it is very long."""
    return value if len(value) <= LONGEST else f"{value[:LONGEST]}… ({len(value)} characters)"


def unique(names: list[str], how: dict[str, str], reserved: Set[str]) -> list[str]:
    """Column names that are all there, and all different; `how["renamed"]` says what was done.

    Spaces around a name are taken off; an empty one becomes `column_<number>`, a second one `<name>_2`.
    """
    taken: set[str] = set()
    made: list[str] = []
    notes: list[str] = []
    wanted = {name.strip() for name in names}
    for number, name in enumerate(names, 1):
        base = name.strip() or f"column_{number}"
        new, count = base, 1
        while new in taken or new in reserved or (new != base and new in wanted):
            count += 1
            new = f"{base}_{count}"
        if new != name.strip():
            notes.append(f"column {number} {name.strip()!r} is {new!r}")
        taken.add(new)
        made.append(new)
    if notes:
        how["renamed"] = "; ".join(notes)
    return made
