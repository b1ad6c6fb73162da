"""What packed rows say to a question: each row and each column judged on its own."""

from datetime import UTC, datetime, timedelta

import numpy as np
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.value_type import ValueType

from feature_repo.stores.dtypes import KINDS
from feature_repo.stores.fetch import Question, SchemaBook, answer, keys_of
from motherlode.packed import Column, Schema, Values, encode, tombstone

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


def book(*schemas: Schema) -> SchemaBook:
    learned = SchemaBook()
    learned.learn({schema.fingerprint: "" for schema in schemas}, [schema.to_json() for schema in schemas])
    return learned


def question(n: int, ttl_us: int | None = None) -> Question:
    return Question("v", (Y, X), (DOUBLE, DOUBLE), tuple(map(str, range(n))), ttl_us)


def test_rows_of_several_schemas_stand_in_one_answer() -> None:
    rows = [row(OLD, x=1.0), row(NEW, x=2.0, y=3.0), None, row(NEW, x=None, y=4.0), tombstone(NOW), b"short"]
    (found,) = answer([question(6)], rows, book(OLD, NEW), NOW)
    present, null, lost, bad = FieldStatus.PRESENT, FieldStatus.NULL_VALUE, FieldStatus.NOT_FOUND, FieldStatus.INVALID
    assert found.statuses["x"] == [present, present, lost, null, lost, bad]
    assert found.statuses["y"] == [lost, present, lost, present, lost, bad]
    assert [value and value.double_val for value in found.values["x"]] == [1.0, 2.0, None, None, None, None]


def test_a_row_is_stale_one_microsecond_past_its_ttl() -> None:
    rows = [row(NEW, event=NOW - 5, x=1.0, y=1.0), row(NEW, event=NOW - 6, x=1.0, y=1.0)]
    (found,) = answer([question(2, ttl_us=5)], rows, book(NEW), NOW)
    assert found.statuses["x"] == [FieldStatus.PRESENT, FieldStatus.OUTSIDE_MAX_AGE]
    fresh, stale = found.by_entity()
    assert fresh[1] is not None
    assert set(fresh[1]) == {"x", "y"}
    assert stale == (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=NOW - 6), None)


def test_a_row_whose_schema_is_lost_is_damaged_and_not_guessed() -> None:
    (found,) = answer([question(1)], [row(OLD, x=1.0)], book(), NOW)
    assert found.statuses["x"] == [FieldStatus.INVALID]


def test_each_question_gets_its_own_rows_and_keys() -> None:
    asked = [question(2), Question("w", (X,), (DOUBLE,), ("a|b", "2"), None)]
    assert keys_of("p", asked) == ["p/v/{0}", "p/v/{1}", "p/w/{a|b}", "p/w/{2}"]
    w = Schema("w", (X,))
    found = answer(asked, [None, row(NEW, x=1.0, y=2.0), row(w, x=3.0), None], book(NEW, w), NOW)
    assert [value and value.double_val for value in found[0].values["y"]] == [None, 2.0]
    assert [value and value.double_val for value in found[1].values["x"]] == [3.0, None]


def test_a_schema_is_asked_for_once_and_only_by_rows_that_carry_one() -> None:
    known = book(OLD)
    rows = [row(OLD, x=1.0), row(NEW, x=1.0, y=1.0), None, tombstone(NOW), b""]
    assert list(known.unseen("p", rows)) == [NEW.fingerprint]
    known.learn(known.unseen("p", rows), [NEW.to_json()])
    assert known.unseen("p", rows) == {}


def test_a_schema_under_the_wrong_fingerprint_is_not_believed() -> None:
    fooled = SchemaBook()
    fooled.learn({NEW.fingerprint: ""}, [OLD.to_json()])
    assert fooled.schemas == {}
