"""Who is looked for: ids that are known, and ids of which only a keyed digest is."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from motherlode.online.tombstones import Kind, Tombstones

GONE: Final = "(erased)"
"""What stands in a text where an erased id stood."""
_SHORTEST: Final = 5
"""Characters from which an id with a letter in it is told from any other word."""
_LONG_NUMBER: Final = 9
"""Digits from which a number is told from a quantity, a price, a year or a postcode."""


@dataclass(frozen=True)
class Sought:
    """Identifiers by kind, and a ledger of digests.

    Attributes:
        known: kind → texts.
        ledger: those who were erased before; None: nobody.
    """

    known: dict[Kind, set[str]] = field(default_factory=lambda: defaultdict(set))
    ledger: Tombstones | None = None

    def among(self, kind: Kind, texts: pl.Series) -> pl.Series:
        """Whether each text is one of theirs; false for nulls."""
        found = self.of(kind, texts.unique().drop_nulls().to_list())
        return texts.is_in(pl.Series(sorted(found), dtype=pl.String).implode()).fill_null(False)

    def of(self, kind: Kind, texts: Sequence[str]) -> set[str]:
        """Those of some texts that are theirs."""
        known = self.known.get(kind, set())
        found = {each for each in texts if each in known} if known else set()
        return found if self.ledger is None else found | self.ledger.among(kind, texts)


def telling(outside_ids: Iterable[str]) -> list[str]:
    """The ids that are told from other words wherever they stand: those are taken out of free text, too."""
    return [each for each in outside_ids if len(each) >= (_LONG_NUMBER if each.isdigit() else _SHORTEST)]


def word(outside_ids: Iterable[str]) -> re.Pattern[str] | None:
    """A pattern that finds any of some ids as a word of its own; None where there are none."""
    longest_first = sorted(outside_ids, key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)") if longest_first else None
