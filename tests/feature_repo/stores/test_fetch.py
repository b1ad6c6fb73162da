"""What packed rows say to a question: each row and each column judged on its own."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.value_type import ValueType

from feature_repo.stores.dtypes import KINDS
from feature_repo.stores.fetch import Answers, Question, answer
from motherlode.packed import Column, Schema, Values, encode, unpacking
from motherlode.packed.lines import Line
from motherlode.packed.places import Wanted

X, Y = Column("x", "float64"), Column("y", "float64")
DOUBLE = KINDS[ValueType.DOUBLE]
OLD, NEW = Schema("v", (X,)), Schema("v", (X, Y))
NOW = 1_000_000_000_000_000


def row(schema: Schema, event: int = NOW, **values: float | None) -> bytes:
    columns = {
        name: Values(np.array([0.0 if value is None else value]), np.array([value is not None]))
        for name, value in values.items()
    }
    stamp = np.array([event], dtype=np.int64)
    return encode(schema, columns, stamp, stamp)[0]


def book(*schemas: Schema) -> dict[int, Schema]:
    return {schema.fingerprint: schema for schema in schemas}


def question(n: int, ttl_us: int | None = None) -> Question:
    return Question("v", (Y, X), (DOUBLE, DOUBLE), tuple(map(str, range(n))), ttl_us)


def statuses(found: Answers, name: str) -> list[int]:
    return list(found.statuses[[column.name for column in found.question.columns].index(name)].tolist())


def values(found: Answers, name: str) -> list[float | None]:
    column = found.values[[column.name for column in found.question.columns].index(name)]
    return [value if ok else None for value, ok in zip(column.data.tolist(), column.valid.tolist(), strict=True)]


def test_rows_of_several_schemas_stand_in_one_answer() -> None:
    rows = [row(OLD, x=1.0), row(NEW, x=2.0, y=3.0), None, row(NEW, x=None, y=4.0), b"short"]
    (found,) = answer([question(5)], [rows], book(OLD, NEW), NOW)
    present, null, lost, bad = FieldStatus.PRESENT, FieldStatus.NULL_VALUE, FieldStatus.NOT_FOUND, FieldStatus.INVALID
    assert statuses(found, "x") == [present, present, lost, null, bad]
    assert statuses(found, "y") == [lost, present, lost, present, bad]
    assert values(found, "x") == [1.0, 2.0, None, None, None]


def test_a_row_is_stale_one_microsecond_past_its_ttl() -> None:
    rows = [row(NEW, event=NOW - 5, x=1.0, y=1.0), row(NEW, event=NOW - 6, x=1.0, y=1.0)]
    (found,) = answer([question(2, ttl_us=5)], [rows], book(NEW), NOW)
    assert statuses(found, "x") == [FieldStatus.PRESENT, FieldStatus.OUTSIDE_MAX_AGE]
    fresh, stale = found.by_entity()
    assert fresh[1] is not None
    assert set(fresh[1]) == {"x", "y"}
    assert stale == (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=NOW - 6), None)


def test_a_row_whose_schema_is_lost_is_damaged_and_not_guessed() -> None:
    (found,) = answer([question(1)], [[row(OLD, x=1.0)]], book(), NOW)
    assert statuses(found, "x") == [FieldStatus.INVALID]


def test_each_question_gets_its_own_rows() -> None:
    asked = [question(2), Question("w", (X,), (DOUBLE,), ("a|b", "2"), None)]
    w = Schema("w", (X,))
    found = answer(asked, [[None, row(NEW, x=1.0, y=2.0)], [row(w, x=3.0), None]], book(NEW, w), NOW)
    assert values(found[0], "y") == [None, 2.0]
    assert values(found[1], "x") == [3.0, None]


def test_an_entity_that_is_asked_for_twice_is_answered_twice() -> None:
    (found,) = answer([question(2)], [[row(NEW, x=1.0, y=2.0), None]], book(NEW), NOW)
    placed = found.at([1, 0, 0])
    assert values(placed, "y") == [None, 2.0, 2.0]
    assert statuses(placed, "y") == [FieldStatus.NOT_FOUND, FieldStatus.PRESENT, FieldStatus.PRESENT]
    assert placed.event_us.tolist() == [0, NOW, NOW]


def test_how_rows_that_lack_a_column_are_read_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class Counted(Line):
        def __init__(self, wanted: Wanted) -> None:
            made.append(wanted.columns)
            super().__init__(wanted)

    monkeypatch.setattr(unpacking, "Line", Counted)
    old, new = Schema("counted", (X,)), Schema("counted", (X, Y))
    rows = [row(old, x=1.0), row(new, x=2.0, y=3.0)]
    for _ in range(3):
        (found,) = answer([question(2)], [rows], book(old, new), NOW)
        assert (values(found, "x"), values(found, "y")) == ([1.0, 2.0], [None, 3.0])
    assert sorted(made, key=str) == [(X,), (X,), (Y,)]
