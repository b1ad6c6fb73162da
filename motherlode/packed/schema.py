"""What a packed row holds, and where."""

import hashlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Self

import msgspec

from motherlode.errors import SchemaError
from motherlode.packed.columns import Column
from motherlode.packed.forms import FORMS, Form
from motherlode.packed.header import FINGERPRINT, FORMAT_VERSION
from motherlode.packed.places import Places


class Schema(msgspec.Struct, frozen=True, dict=True):
    """The columns of one view's rows, in the order they are stored."""

    view: str
    columns: tuple[Column, ...]

    @cached_property
    def fingerprint(self) -> int:
        """32 bits of SHA-256 over the view's name and its columns."""
        digest = hashlib.sha256(self.to_json()).digest()
        return int.from_bytes(digest[: FINGERPRINT.stop - FINGERPRINT.start], "little")

    @property
    def mark(self) -> str:
        """Tells rows apart that are not packed alike: in another format, or of other columns."""
        return f"{FORMAT_VERSION}-{self.fingerprint:08x}"

    def to_json(self) -> bytes:
        return msgspec.json.encode(self, order="deterministic")

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        return msgspec.json.decode(data, type=cls)

    @cached_property
    def _placed(self) -> dict[int, Places]:
        return {}

    def places(self, form: Form) -> Places:
        """Where in a row of a form its columns lie."""
        found = self._placed.get(form.byte)
        if found is None:
            found = self._placed[form.byte] = Places(self.view, self.columns, form)
        return found

    def placed(self, byte: int) -> Places | None:
        """`places` of the form that a row's byte names; None where that is none of this format."""
        found = self._placed.get(byte)
        if found is None and byte in FORMS:
            found = self.places(FORMS[byte])
        return found

    def serves(self, columns: Sequence[Column]) -> bool:
        """Whether all these columns are here, with these types."""
        return self._columns.issuperset(columns)

    @cached_property
    def _columns(self) -> frozenset[Column]:
        return frozenset(self.columns)

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
