"""Reading packed rows for Feast: one round trip for every view and entity, and a status for each value.

Feast's own readers know *present* and *not found* alone. Here null, stale, unknown and damaged stay apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from feast import FeatureView
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from feature_repo.stores import dtypes
from feature_repo.stores.rows import entity_of
from feature_repo.stores.values import to_protos
from motherlode.errors import SchemaError
from motherlode.online import row_key, schema_key
from motherlode.packed import Column, Schema, Status, ViewRows, decode

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_STATUS: Final[Mapping[int, int]] = MappingProxyType(
    {
        Status.PRESENT: FieldStatus.PRESENT,
        Status.UNKNOWN: FieldStatus.NOT_FOUND,
        Status.STALE: FieldStatus.OUTSIDE_MAX_AGE,
        Status.CORRUPT: FieldStatus.INVALID,
        Status.ERASED: FieldStatus.NOT_FOUND,
    }
)


@dataclass(frozen=True)
class Question:
    """What to read of one view.

    Attributes:
        view: the feature view's own name, whatever it is called in the answer.
        columns: the features wanted, in the order of the answer.
        kinds: how each is kept.
        entities: N entity texts.
        ttl_us: the view's time to live; None: forever.
    """

    view: str
    columns: tuple[Column, ...]
    kinds: tuple[dtypes.Kind, ...]
    entities: tuple[str, ...]
    ttl_us: int | None


@dataclass(frozen=True)
class Answers:
    """One view's values of N entities.

    Attributes:
        event_us: shape (N,), 0 where there is no row.
        values: feature → N protos, None where the status is not PRESENT.
        statuses: feature → N of Feast's `FieldStatus`.
    """

    event_us: npt.NDArray[np.int64]
    values: Mapping[str, list[Value | None]]
    statuses: Mapping[str, list[FieldStatus.ValueType]]

    def by_entity(self) -> list[tuple[datetime | None, dict[str, Value] | None]]:
        """The same as Feast's `online_read` answers it: (event time, values), (None, None) for an unknown entity.

        A stale, damaged or erased row keeps its event time and has no values.
        """
        rows: list[tuple[datetime | None, dict[str, Value] | None]] = []
        for i, event in enumerate(self.event_us.tolist()):
            shown = {
                name: self.values[name][i] or Value()
                for name, statuses in self.statuses.items()
                if statuses[i] in (FieldStatus.PRESENT, FieldStatus.NULL_VALUE)
            }
            rows.append((_EPOCH + timedelta(microseconds=event) if event else None, shown or None))
        return rows


def ask(view: FeatureView, entity_keys: Sequence[EntityKey], requested: Sequence[str] | None) -> Question:
    """The question for one view.

    Args:
        view: the feature view.
        entity_keys: N of Feast's entity keys.
        requested: the features wanted; None: all.

    Raises:
        StoreError: a feature or a key has no form in this store.
    """
    fields = {field.name: field for field in view.features}
    wanted = [fields[name] for name in (fields if requested is None else requested)]
    kinds = tuple(dtypes.kind(view.name, field) for field in wanted)
    columns = tuple(Column(field.name, kind.packed) for field, kind in zip(wanted, kinds, strict=True))
    return Question(view.name, columns, kinds, tuple(map(entity_of, entity_keys)), dtypes.ttl_us(view))


def keys_of(project: str, questions: Sequence[Question]) -> list[str]:
    """The Redis keys of all questions, in order."""
    return [row_key(project, question.view, entity) for question in questions for entity in question.entities]


class SchemaBook:
    """The schemas seen so far, by fingerprint."""

    def __init__(self) -> None:
        self.schemas: dict[int, Schema] = {}

    def unseen(self, project: str, rows: Sequence[bytes | None]) -> dict[int, str]:
        """Fingerprints that rows carry and the book lacks, with the Redis keys of their schemas."""
        return {mark: schema_key(project, mark) for mark in sorted(_fingerprints(rows) - self.schemas.keys())}

    def learn(self, fingerprints: Mapping[int, str], found: Sequence[bytes | None]) -> None:
        """Enter what Redis answered; what it does not know stays unknown."""
        for fingerprint, data in zip(fingerprints, found, strict=True):
            schema = None if data is None else Schema.from_json(data)
            if schema is not None and schema.fingerprint == fingerprint:
                self.schemas[fingerprint] = schema


def answer(questions: Sequence[Question], rows: Sequence[Any], book: SchemaBook, now_us: int) -> list[Answers]:
    """What the rows of `keys_of(…)` say to each question."""
    answers: list[Answers] = []
    start = 0
    for question in questions:
        stop = start + len(question.entities)
        answers.append(_answer(question, rows[start:stop], book.schemas, now_us))
        start = stop
    return answers


def _answer(question: Question, rows: Sequence[bytes | None], schemas: Mapping[int, Schema], now_us: int) -> Answers:
    known = [schemas[mark] for mark in _fingerprints(rows) if mark in schemas]
    shared = [column for column in question.columns if all(_serves(schema, column) for schema in known)]
    view = decode(rows, shared, schemas, now_us=now_us, ttl_us=question.ttl_us)
    values: dict[str, list[Value | None]] = {}
    statuses: dict[str, list[FieldStatus.ValueType]] = {}
    for column, kind in zip(question.columns, question.kinds, strict=True):
        # A column that some rows were written without is read apart, so that it costs the others nothing.
        alone = view if column in shared else decode(rows, [column], schemas, now_us=now_us, ttl_us=question.ttl_us)
        values[column.name] = to_protos(alone.columns[column.name], column, kind)
        statuses[column.name] = _statuses(view, alone, column)
    return Answers(view.event_us, values, statuses)


def _statuses(view: ViewRows, alone: ViewRows, column: Column) -> list[FieldStatus.ValueType]:
    """Feast's status of one column: as its row's, but null where it is null, not found where the row lacks it."""
    status = np.array([_STATUS[found] for found in view.status.tolist()], dtype=np.int64)
    present = status == FieldStatus.PRESENT
    status[present & ~alone.columns[column.name].valid] = FieldStatus.NULL_VALUE
    status[present & (alone.status != view.status)] = FieldStatus.NOT_FOUND
    return list(map(FieldStatus.ValueType, status.tolist()))


def _serves(schema: Schema, column: Column) -> bool:
    try:
        schema.require([column])
    except SchemaError:
        return False
    return True


def _fingerprints(rows: Sequence[bytes | None]) -> set[int]:
    """The fingerprints in rows' headers (see `motherlode.packed`); a tombstone's 0 is none."""
    return {int.from_bytes(row[8:16], "little") for row in rows if row is not None and len(row) >= 16} - {0}
