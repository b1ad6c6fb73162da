"""A few entities' answers to Feast without NumPy: what `motherlode.packed` reads of few rows, as Feast wants it.

Only rows that can be read are answered here: where one cannot, `stores.fetch` says for which columns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

from feature_repo.stores.dtypes import Kind
from feature_repo.stores.protos import python_of
from feature_repo.stores.wire import RUNS, encoder, few_vectors
from motherlode.packed import Column, Schema, Status, ViewRows, decode

STATUS: Final[Mapping[int, int]] = {
    Status.PRESENT: FieldStatus.PRESENT,
    Status.UNKNOWN: FieldStatus.NOT_FOUND,
    Status.STALE: FieldStatus.OUTSIDE_MAX_AGE,
    Status.CORRUPT: FieldStatus.INVALID,
}
"""What Feast calls a row's status. A null in a row that is there is NULL_VALUE."""
_SECOND: Final = 1_000_000
"""Microseconds."""


class Short:
    """The short way to answer one question.

    Args:
        columns: C wanted, at least one.
        kinds: theirs; `is_plain` holds.

    Attributes:
        columns: as given.
        encoders: C, what makes a value an entry of `FeatureVector.values`.
        converters: C, what makes a value the one that Feast hands to its users; None: it is that.
    """

    def __init__(self, columns: tuple[Column, ...], kinds: Sequence[Kind]) -> None:
        self.columns = columns
        self.encoders = [encoder(kind) for kind in kinds]
        self.converters = [python_of(kind) for kind in kinds]

    def read(
        self, rows: Sequence[bytes | None], schemas: Mapping[int, Schema], now_us: int, ttl_us: int | None
    ) -> "Few | None":
        """What a few rows say; None where one of them cannot be read, or lacks a column.

        Args:
            rows, schemas, now_us, ttl_us: as of `motherlode.packed.decode`.
        """
        found = decode(rows, self.columns, schemas, now_us=now_us, ttl_us=ttl_us)
        return None if Status.CORRUPT in found.statuses else Few(self, found)


@dataclass(frozen=True)
class Few:
    """One view's values of a few entities.

    Attributes:
        short: the way that they were read.
        rows: of N entities.
    """

    short: Short
    rows: ViewRows

    def columns(self) -> list[list[Any]]:
        """C columns of N values as they are stored; None where null."""
        return [self.rows.stored(column.name) for column in self.short.columns]

    def python(self) -> list[list[Any]]:
        """C columns of N values as Feast hands them to its users in a dictionary."""
        return [
            column if form is None else [None if value is None else form(value) for value in column]
            for column, form in zip(self.columns(), self.short.converters, strict=True)
        ]

    def wire(self) -> bytes:
        """C entries of `GetOnlineFeaturesResponse.results`."""
        statuses = [STATUS[status] for status in self.rows.statuses]
        return few_vectors(self.short.encoders, self.columns(), statuses, self.rows.events)

    def seconds(self) -> list[int]:
        """Event times, seconds since 1970 UTC; 0 where there is no row."""
        return [event // _SECOND for event in self.rows.events]


def is_plain(kinds: Sequence[Kind]) -> bool:
    """Whether all are kinds that are read here: scalars, and lists of floats."""
    return all(not kind.message and (not kind.collection or kind.packed in RUNS) for kind in kinds)
