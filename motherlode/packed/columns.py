"""A column of a packed row: its type, and its values on either side."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from motherlode.errors import SchemaError

FIXED: Final[Mapping[str, str]] = {
    "bool": "u1",
    "int32": "<i4",
    "int64": "<i8",
    "float32": "<f4",
    "float64": "<f8",
    "timestamp": "<i8",  # microseconds since 1970 UTC
}
"""Fixed-width column types and their NumPy storage."""

LISTS: Final = tuple(f"list<{element}>" for element in (*FIXED, "string", "bytes"))
VARIABLE: Final = ("string", "bytes", *LISTS)


class Column(msgspec.Struct, frozen=True, cache_hash=True):
    """A column's name and type (a key of `FIXED`, or one of `VARIABLE`)."""

    name: str
    dtype: str

    def __post_init__(self) -> None:
        if self.dtype not in FIXED and self.dtype not in VARIABLE:
            raise SchemaError(
                f"Column {self.name!r} has type {self.dtype!r}.", f"Use one of {', '.join((*FIXED, *VARIABLE))}."
            )

    @property
    def fixed(self) -> bool:
        return self.dtype in FIXED


class Values(msgspec.Struct, frozen=True, eq=False):
    """One column of N rows.

    Attributes:
        data: shape (N,). Fixed types: their NumPy type, with any value where null. Strings, bytes and
            lists: dtype object, holding str, bytes, or a NumPy array (lists of strings and bytes: a list).
        valid: shape (N,), bool; False is null.
    """

    data: npt.NDArray[Any]
    valid: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Ragged:
    """A column of strings, bytes or lists of N rows, as their bytes lie in packed rows and in Arrow.

    Attributes:
        data: all values, one behind the other.
        ends: shape (N,), int64: where each value ends in `data`; it begins where the one before ends. A null is empty.
        valid: shape (N,), bool; False is null.
    """

    data: bytes
    ends: npt.NDArray[np.int64]
    valid: npt.NDArray[np.bool_]

    def parts(self) -> list[bytes]:
        """Each row's bytes."""
        lengths = np.diff(self.ends, prepend=0)
        size = int(lengths[0]) if len(lengths) else 0
        if size and (lengths == size).all():  # lists of one length, in half the time
            alike: list[bytes] = np.frombuffer(self.data, dtype=f"V{size}").tolist()
            return alike
        stops = self.ends.tolist()
        return [self.data[a:b] for a, b in zip([0, *stops[:-1]], stops, strict=True)]
