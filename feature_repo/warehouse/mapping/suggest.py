"""The nearest known word to one that is not known."""

import difflib
from collections.abc import Iterable
from typing import Final

_LISTED: Final = 40
"""Names told in an error; a table of hundreds of columns would bury what is wrong."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was most likely meant; None where none is near."""
    spelt = {_folded(name): name for name in known}
    match = difflib.get_close_matches(_folded(word), spelt, n=1, cutoff=0.6)
    return spelt[match[0]] if match else None


def remedy(word: str, known: Iterable[str], there: str = "There are") -> str:
    """One sentence or two: what may have been meant, and what there is."""
    names = list(known)
    if not names:
        return "There are none."
    match = nearest(word, names)
    told = ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
    return f"{f'Did you mean {match!r}? ' if match else ''}{there}: {told}."


def _folded(word: str) -> str:
    return word.casefold().strip().replace(" ", "_").replace("-", "_")
