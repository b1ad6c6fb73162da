"""What a reader gets: rows of one view, whichever way they were unpacked."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from motherlode.packed.columns import Values


class Status(IntEnum):
    """What became of one entity's row in one view."""

    PRESENT = 0
    UNKNOWN = 1
    """No row: the entity was never written, or was erased, or its key was freed."""
    STALE = 2
    """Older than the view's time to live: every value reads as null."""
    CORRUPT = 3
    """Bytes that fail their checksum, or of a schema that cannot serve the reader: every value null."""


class ViewRows(ABC):
    """N entities' rows of one view, as read. What is asked for is made then, so that a caller pays for that alone.

    NumPy or plain Python: for a few rows `statuses`, `events` and `python` cost least, for many the arrays.
    """

    @property
    @abstractmethod
    def status(self) -> npt.NDArray[np.uint8]:
        """Shape (N,), of `Status`."""

    @property
    @abstractmethod
    def event_us(self) -> npt.NDArray[np.int64]:
        """Shape (N,), microseconds since 1970 UTC; 0 where there is no readable row."""

    @property
    @abstractmethod
    def columns(self) -> Mapping[str, Values]:
        """The wanted columns, null wherever the status is not PRESENT."""

    @property
    @abstractmethod
    def statuses(self) -> list[int]:
        """`status` as a list."""

    @property
    @abstractmethod
    def events(self) -> list[int]:
        """`event_us` as a list."""

    @property
    @abstractmethod
    def present(self) -> bool:
        """Whether all are PRESENT."""

    @abstractmethod
    def matrix(self, names: Sequence[str]) -> npt.NDArray[np.float32]:
        """Numeric columns side by side, shape (N, len(names)), float32, NaN where null.

        Raises:
            SchemaError: one is of text, bytes or lists, or was not wanted.
        """

    @abstractmethod
    def python(self, name: str) -> list[Any]:
        """A wanted column's N values as plain Python; None where null, and wherever the status is not PRESENT.

        Text is str, a list is a list, a timestamp microseconds since 1970 UTC; a float may be NaN.
        """

    @abstractmethod
    def stored(self, name: str) -> list[Any]:
        """`python`, but lists of elements of fixed width are the bytes that they have in a row."""
