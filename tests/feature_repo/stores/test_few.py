"""A few entities are answered the short way exactly as many are the long way, whatever their rows are."""

from typing import Any
from zlib import crc32

import numpy as np
import pytest
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus, GetOnlineFeaturesResponse
from feast.protos.feast.types.Value_pb2 import Value
from feast.value_type import ValueType
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.stores.dtypes import KINDS
from feature_repo.stores.fetch import Answers, Question, answer, found
from feature_repo.stores.few import Few, Short, is_plain
from feature_repo.stores.protos import from_protos
from feature_repo.stores.response import Part, fill
from motherlode.packed import FEW, Column, Schema, encode

NOW = 1_700_000_000_000_000
HOUR = 3_600_000_000
PLAIN = {value_type.name: kind for value_type, kind in KINDS.items() if is_plain([kind])}
COLUMNS = tuple(Column(name, PLAIN[name].packed) for name in sorted(PLAIN))
ASKED = tuple(reversed(COLUMNS))
SCHEMA, NARROW = Schema("v", COLUMNS), Schema("v", COLUMNS[1:])
BOOK = {schema.fingerprint: schema for schema in (SCHEMA, NARROW)}

NUMBERS: dict[str, Any] = {
    "bool": st.booleans(),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "float32": st.floats(width=32, allow_nan=False),
    "float64": st.floats(allow_nan=False),
    "timestamp": st.integers(-(10**9), 10**10),
    "bytes": st.binary(max_size=200),
    "string": st.text(st.characters(codec="utf-8"), max_size=200),
}
TEXTS = {
    "JSON": st.sampled_from(['{"a": [1, null]}', "2"]),
    "UUID": st.uuids().map(str),
    "TIME_UUID": st.uuids().map(str),
    "DECIMAL": st.sampled_from(["1.10", "-2"]),
}


def proto(name: str, value: Any) -> Value:
    kind = PLAIN[name]
    if not kind.collection:
        return Value(**{kind.proto: value})
    made = Value()
    getattr(made, kind.proto).SetInParent()
    getattr(made, kind.proto).val.extend(value)
    return made


def drawn(name: str) -> Any:
    packed = PLAIN[name].packed
    if packed.startswith("list<"):
        return st.lists(NUMBERS[packed[5:-1]], max_size=40)
    return TEXTS.get(name, NUMBERS[packed])


@st.composite
def rows(draw: Any, schema: Schema = SCHEMA) -> bytes:
    """A row with nulls here and there, fresh or stale."""
    columns = {}
    for column in schema.columns:
        value = draw(st.none() | drawn(column.name))
        sent = [None if value is None else proto(column.name, value)]
        columns[column.name] = from_protos(sent, column, PLAIN[column.name])
    stamp = np.array([NOW - draw(st.integers(0, 2 * HOUR))])
    return encode(schema, columns, stamp, stamp)[0]


@st.composite
def damaged(draw: Any) -> bytes:
    """A row that was cut, changed, or changed under a checksum that holds."""
    row = bytearray(draw(rows()))
    row[draw(st.integers(0, len(row) - 1))] ^= draw(st.integers(1, 255))
    row = row[: draw(st.integers(0, len(row)))] if draw(st.booleans()) else row
    if draw(st.booleans()):
        row[:4] = crc32(row[4:]).to_bytes(4, "little")
    return bytes(row)


def question(n: int) -> Question:
    kinds = tuple(PLAIN[column.name] for column in ASKED)
    return Question("v", ASKED, kinds, tuple(map(str, range(n))), HOUR, Short(ASKED, kinds))


def responded(answers: Answers | Few) -> GetOnlineFeaturesResponse:
    response = GetOnlineFeaturesResponse()
    fill(response, [Part([column.name for column in ASKED], answers, "v")])
    return response


def both(stored: list[bytes | None]) -> tuple[Answers | Few, Answers]:
    """A few rows' answers the way that is chosen for them, and the long way."""
    asked = [question(len(stored))]
    return found(asked, [stored], BOOK, NOW)[0], answer(asked, [stored], BOOK, NOW)[0]


@given(st.lists(st.none() | rows(), min_size=1, max_size=3))
def test_whole_rows_are_answered_as_the_long_way_does(stored: list[bytes | None]) -> None:
    short, long = both(stored)
    assert isinstance(short, Few)
    assert short.python() == long.python()
    assert short.seconds() == long.seconds()
    assert responded(short) == responded(long)


@given(st.lists(rows() | damaged() | rows(NARROW), min_size=1, max_size=3))
def test_damaged_rows_and_rows_of_other_columns_are_judged_as_the_long_way_does(stored: list[bytes | None]) -> None:
    short, long = both(stored)
    # As text: a changed byte may make a number that is none, which equals nothing.
    assert str(responded(short)) == str(responded(long))


@given(rows(), st.data())
def test_a_row_that_is_cut_or_changed_is_never_answered_by_its_bytes(row: bytes, data: st.DataObject) -> None:
    changed = bytearray(row)
    changed[data.draw(st.integers(0, len(row) - 1))] ^= data.draw(st.integers(1, 255))
    for bad in (bytes(changed), row[: data.draw(st.integers(0, len(row) - 1))], row + b"\0"):
        short, _ = both([bad])
        assert isinstance(short, Answers)
        assert set(short.statuses.ravel().tolist()) == {FieldStatus.INVALID}
        assert all(column == [None] for column in short.python())


def test_an_unknown_entity_is_nobody_on_either_way() -> None:
    short, long = both([None])
    assert isinstance(short, Few)
    assert responded(short) == responded(long)
    assert {status for vector in responded(short).results for status in vector.statuses} == {FieldStatus.NOT_FOUND}


def test_many_rows_go_the_long_way() -> None:
    assert isinstance(both([None] * FEW)[0], Few)
    assert isinstance(both([None] * (FEW + 1))[0], Answers)


@pytest.mark.parametrize("value_type", [ValueType.STRING_LIST, ValueType.INT64_LIST, ValueType.MAP, ValueType.BOOL_SET])
def test_what_nests_is_not_plain(value_type: ValueType) -> None:
    assert not is_plain([KINDS[ValueType.FLOAT], KINDS[value_type]])
