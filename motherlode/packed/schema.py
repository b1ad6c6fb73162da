"""What a packed row holds, and where."""

import hashlib
from collections.abc import Iterable
from functools import cached_property
from typing import Final, Self

import msgspec
import numpy as np

from motherlode.errors import SchemaError
from motherlode.packed.columns import FIXED, Column
from motherlode.packed.places import Places

FORMAT_VERSION: Final = 1
HEADER_SIZE: Final = 32


class Schema(msgspec.Struct, frozen=True, dict=True):
    """The columns of one view's rows, in the order they are stored."""

    view: str
    columns: tuple[Column, ...]

    @cached_property
    def fingerprint(self) -> int:
        """64 bits of SHA-256 over the view's name and its columns."""
        return int.from_bytes(hashlib.sha256(self.to_json()).digest()[:8], "little")

    def to_json(self) -> bytes:
        return msgspec.json.encode(self, order="deterministic")

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        return msgspec.json.decode(data, type=cls)

    @cached_property
    def variable_columns(self) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if not column.fixed)

    @cached_property
    def layout(self) -> np.dtype[np.void]:
        """The NumPy record of everything before the variable part; column i is the field `c<i>`."""
        return np.dtype(
            [
                ("crc", "<u4"),
                ("version", "u1"),
                ("zero", "u1", (3,)),
                ("fingerprint", "<u8"),
                ("event", "<i8"),
                ("created", "<i8"),
                ("nulls", "u1", ((len(self.columns) + 7) // 8,)),
                *((f"c{i}", FIXED[c.dtype]) for i, c in enumerate(self.columns) if c.fixed),
                ("ends", "<u4", (len(self.variable_columns),)),
            ]
        )

    @cached_property
    def places(self) -> Places:
        """Where in a row its columns lie."""
        return Places(self.view, self.columns, self.layout)

    @cached_property
    def mark(self) -> bytes:
        """Bytes 4 to 16 of its rows: the format version and the fingerprint."""
        return FORMAT_VERSION.to_bytes(4, "little") + self.fingerprint.to_bytes(8, "little")

    def require(self, columns: Iterable[Column]) -> None:
        """Check that every wanted column is here with the wanted type.

        Raises:
            SchemaError: one is missing or was retyped, naming it.
        """
        here = {column.name: column.dtype for column in self.columns}
        for column in columns:
            if column.name not in here:
                raise SchemaError(
                    f"View {self.view!r} no longer has the column {column.name!r}.",
                    "Train and publish a bundle without it, or restore the column.",
                )
            if here[column.name] != column.dtype:
                raise SchemaError(
                    f"Column {column.name!r} of view {self.view!r} is {here[column.name]}, not {column.dtype}.",
                    "Train and publish a bundle on the new type, or restore the old one.",
                )
