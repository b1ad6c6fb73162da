"""Reading packed rows for Feast: one round trip for every view and entity, and a status for each value.

Feast's own readers know *present* and *not found* alone. Here null, stale, unknown and damaged stay apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from feast import FeatureView
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from feature_repo.stores import dtypes
from feature_repo.stores.few import STATUS, Few, Short, is_plain
from feature_repo.stores.protos import to_protos, to_python
from feature_repo.stores.rows import entity_of
from feature_repo.stores.wire import vectors
from motherlode.packed import FEW, Column, Schema, Status, Values, ViewRows, decode, fingerprints_of

_SECOND: Final = 1_000_000
"""Microseconds."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_KEPT: Final = 256
"""Ways of splitting a view's columns that are remembered: one a question and what some of its rows lack."""

_Columns = tuple[Column, ...]

_STATUS: Final = np.array([STATUS[status] for status in Status], dtype=np.uint8)


@dataclass(frozen=True)
class Question:
    """What to read of one view.

    Attributes:
        view: the feature view's own name, whatever it is called in the answer.
        columns: the features wanted, in the order of the answer.
        kinds: how each is kept.
        entities: N entity texts.
        ttl_us: the view's time to live; None: forever.
        short: the way for a few entities; None: there is none for such columns.
    """

    view: str
    columns: tuple[Column, ...]
    kinds: tuple[dtypes.Kind, ...]
    entities: Sequence[str]
    ttl_us: int | None
    short: Short | None = field(default=None, compare=False, repr=False)

    def of(self, entities: Sequence[str]) -> "Question":
        """The same question about other entities."""
        return Question(self.view, self.columns, self.kinds, entities, self.ttl_us, self.short)


@dataclass(frozen=True)
class Answers:
    """One view's values of N entities. The columns are made when they are first asked for.

    Attributes:
        question: that they answer.
        rows: the entities' rows, with the columns that every row has.
        alone: column → the same rows with that column, where some lack it.
        places: shape (N,), where entities are asked for several times: which of the rows each is; None: as they are.
    """

    question: Question
    rows: ViewRows
    alone: Mapping[str, ViewRows]
    places: npt.NDArray[np.intp] | None = None

    def at(self, places: Sequence[int]) -> "Answers":
        """The same answers, one a place: place i asks for entity places[i] of the question."""
        return replace(self, places=np.asarray(places, dtype=np.intp))

    @cached_property
    def event_us(self) -> npt.NDArray[np.int64]:
        """Shape (N,), 0 where there is no row."""
        return self.rows.event_us if self.places is None else self.rows.event_us[self.places]

    @cached_property
    def values(self) -> Sequence[Values]:
        """A column for each of the question's, null where the status is not PRESENT."""
        every = self._every
        if self.places is None:
            return every
        return [Values(each.data[self.places], each.valid[self.places]) for each in every]

    @cached_property
    def statuses(self) -> npt.NDArray[np.uint8]:
        """Shape (columns, N), of Feast's `FieldStatus`."""
        status = _STATUS[self.rows.status]
        present = status == FieldStatus.PRESENT
        null = np.where(present, np.uint8(FieldStatus.NULL_VALUE), status)
        valid = np.array([each.valid for each in self._every], dtype=np.bool_).reshape(-1, len(status))
        statuses = np.where(valid, status, null)
        for i, column in enumerate(self.question.columns):
            if column.name in self.alone:
                statuses[i, present & (self.alone[column.name].status != self.rows.status)] = FieldStatus.NOT_FOUND
        return statuses if self.places is None else statuses[:, self.places]

    @cached_property
    def _every(self) -> list[Values]:
        return [self.alone.get(column.name, self.rows).columns[column.name] for column in self.question.columns]

    def python(self) -> list[list[Any]]:
        """A column of N values for each of the question's, as Feast hands them to its users in a dictionary."""
        asked = self.question
        return [
            to_python(values, column, kind)
            for values, column, kind in zip(self.values, asked.columns, asked.kinds, strict=True)
        ]

    def wire(self) -> bytes:
        """A column each, as entries of `GetOnlineFeaturesResponse.results` the way they go over the wire."""
        asked = self.question
        return vectors(asked.columns, asked.kinds, self.values, self.statuses, self.event_us)

    def seconds(self) -> list[int]:
        """Event times, seconds since 1970 UTC; 0 where there is no row."""
        return list((self.event_us // _SECOND).tolist())

    def by_entity(self) -> list[tuple[datetime | None, dict[str, Value] | None]]:
        """The same as Feast's `online_read` answers it: (event time, values), (None, None) for an unknown entity.

        A stale or damaged row keeps its event time and has no values.
        """
        names = [column.name for column in self.question.columns]
        protos = [
            to_protos(values, column, kind)
            for values, column, kind in zip(self.values, self.question.columns, self.question.kinds, strict=True)
        ]
        shown = np.isin(self.statuses, (FieldStatus.PRESENT, FieldStatus.NULL_VALUE))
        rows: list[tuple[datetime | None, dict[str, Value] | None]] = []
        for i, event in enumerate(self.event_us.tolist()):
            held = {name: protos[j][i] or Value() for j, name in enumerate(names) if shown[j, i]}
            rows.append((_EPOCH + timedelta(microseconds=event) if event else None, held or None))
        return rows


def question(view: FeatureView, requested: Sequence[str] | None) -> Question:
    """The question for some features of a view, about nobody yet.

    Args:
        view: the feature view.
        requested: the features wanted; None: all.

    Raises:
        StoreError: a feature has no form in this store.
    """
    fields = {field.name: field for field in view.features}
    wanted = [fields[name] for name in (fields if requested is None else requested)]
    kinds = tuple(dtypes.kind(view.name, field) for field in wanted)
    columns = tuple(Column(field.name, kind.packed) for field, kind in zip(wanted, kinds, strict=True))
    short = Short(columns, kinds) if columns and is_plain(kinds) else None
    return Question(view.name, columns, kinds, (), dtypes.ttl_us(view), short)


def ask(view: FeatureView, entity_keys: Sequence[EntityKey], requested: Sequence[str] | None) -> Question:
    """The question for one view, about N of Feast's entity keys.

    Raises:
        StoreError: a feature or a key has no form in this store.
    """
    return question(view, requested).of(tuple(map(entity_of, entity_keys)))


def answer(
    questions: Sequence[Question],
    rows: Sequence[Sequence[bytes | None]],
    schemas: Mapping[int, Schema],
    now_us: int,
) -> list[Answers]:
    """What the rows of each question's entities say to it."""
    return [_answer(each, found, schemas, now_us) for each, found in zip(questions, rows, strict=True)]


def found(
    questions: Sequence[Question],
    rows: Sequence[Sequence[bytes | None]],
    schemas: Mapping[int, Schema],
    now_us: int,
) -> list[Answers | Few]:
    """`answer`, where a few entities are read the short way."""
    return [
        _few(each, those, schemas, now_us) or _answer(each, those, schemas, now_us)
        for each, those in zip(questions, rows, strict=True)
    ]


def _few(asked: Question, rows: Sequence[bytes | None], schemas: Mapping[int, Schema], now_us: int) -> Few | None:
    if asked.short is None or not 0 < len(rows) <= FEW:
        return None
    return asked.short.read(rows, schemas, now_us, asked.ttl_us)


def _answer(asked: Question, rows: Sequence[bytes | None], schemas: Mapping[int, Schema], now_us: int) -> Answers:
    lacking = _lacking(asked, rows, schemas)
    shared, apart = _parts(asked.columns, frozenset(lacking)) if lacking else (asked.columns, ())
    view = decode(rows, shared, schemas, now_us=now_us, ttl_us=asked.ttl_us)
    # A column that some rows were written without is read apart, so that it costs the others nothing.
    alone = {each[0].name: decode(rows, each, schemas, now_us=now_us, ttl_us=asked.ttl_us) for each in apart}
    return Answers(asked, view, alone)


@lru_cache(_KEPT)
def _parts(columns: _Columns, lacking: frozenset[Column]) -> tuple[_Columns, tuple[_Columns, ...]]:
    """The columns that all rows have, and each of the others alone; the same tuples again, as `decode` knows those."""
    return (
        tuple(column for column in columns if column not in lacking),
        tuple((column,) for column in columns if column in lacking),
    )


def _lacking(asked: Question, rows: Sequence[bytes | None], schemas: Mapping[int, Schema]) -> set[Column]:
    """Columns of a question that some of the rows were written without, or with another type."""
    lacking: set[Column] = set()
    for fingerprint in fingerprints_of(rows):
        schema = schemas.get(fingerprint)
        if schema is not None and not schema.serves(asked.columns):
            lacking |= set(asked.columns).difference(schema.columns)
    return lacking
