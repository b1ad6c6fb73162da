"""How wide a row's lengths and integers are: each row takes the narrowest form that holds it."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from motherlode.packed.header import FORMAT_VERSION, VERSION_BITS

LENGTHS: Final = (1, 2, 4)
"""How many bytes the length of a variable column may take."""
_WIDE: Final = 1 << VERSION_BITS
_LENGTH_BIT: Final = VERSION_BITS + 1


class Form(NamedTuple):
    """How the rows of one form lie.

    Attributes:
        wide: whether the columns of int64 take eight bytes each; else four.
        length: how many bytes the length of each variable column takes, of `LENGTHS`.
    """

    wide: bool
    length: int

    @property
    def byte(self) -> int:
        """The row's byte that says so, its format version included."""
        return FORMAT_VERSION | _WIDE * self.wide | LENGTHS.index(self.length) << _LENGTH_BIT

    def stored(self, dtype: str, storage: str) -> str:
        """The NumPy type that a fixed-width column has in a row.

        Args:
            dtype: the column's.
            storage: what it is kept as in memory.
        """
        return "<i4" if dtype == "int64" and not self.wide else storage


FORMS: Final[Mapping[int, Form]] = {
    form.byte: form for form in (Form(wide, length) for wide in (False, True) for length in LENGTHS)
}
"""Byte → form. A row with any other byte there is none of this format."""
