"""What is laid out as bytes parses to what protobuf's own constructors make."""

from typing import Any

import numpy as np
import pytest
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus, GetOnlineFeaturesResponse
from feast.protos.feast.types.Value_pb2 import Value
from feast.value_type import ValueType
from google.protobuf.timestamp_pb2 import Timestamp  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.stores.dtypes import KINDS
from feature_repo.stores.wire import encoder, few_vectors, key_vector, varint, vectors
from motherlode.packed import Column, Values

PRESENT, NULL, LOST = FieldStatus.PRESENT, FieldStatus.NULL_VALUE, FieldStatus.NOT_FOUND
INT, FLOAT, TEXT = KINDS[ValueType.INT64], KINDS[ValueType.FLOAT], KINDS[ValueType.STRING]
TIMES = st.integers(-(10**15), 4 * 10**15)
"""Microseconds: from 1938 to 2096."""


def time(at: int) -> Timestamp:
    return Timestamp(seconds=at // 10**6, nanos=at % 10**6 * 1000)


def parsed(wire: bytes) -> list[Any]:
    return list(GetOnlineFeaturesResponse.FromString(wire).results)


def vector(values: list[Value], statuses: list[Any], times: list[int]) -> Any:
    return GetOnlineFeaturesResponse.FeatureVector(
        values=values, statuses=statuses, event_timestamps=list(map(time, times))
    )


@given(st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1) | st.none(), st.booleans(), TIMES), max_size=300))
def test_many_entities_vectors_are_protobufs_own(rows: list[tuple[int | None, bool, int]]) -> None:
    numbers = [number for number, _, _ in rows]
    times = [at for _, _, at in rows]
    there = np.array([number is not None for number in numbers], dtype=np.bool_)
    data = np.array([number or 0 for number in numbers], dtype=np.int64)
    texts = np.array([str(number) for number in numbers], dtype=object)
    floats = np.array([float(flag) for _, flag, _ in rows], dtype=np.float32)
    whole = np.ones(len(rows), dtype=np.bool_)
    statuses = [PRESENT if ok else NULL for ok in there.tolist()]
    found = parsed(
        vectors(
            [Column("n", "int64"), Column("s", "string"), Column("f", "float32"), Column("m", "int64")],
            [INT, TEXT, FLOAT, INT],
            [Values(data, there), Values(texts, there), Values(floats, whole), Values(data, whole)],
            np.array([statuses, statuses, [PRESENT] * len(rows), [PRESENT] * len(rows)], dtype=np.uint8),
            np.array(times, dtype=np.int64),
        )
    )
    assert found == [
        vector([Value() if n is None else Value(int64_val=n) for n in numbers], statuses, times),
        vector([Value() if n is None else Value(string_val=str(n)) for n in numbers], statuses, times),
        vector([Value(float_val=f) for f in floats.tolist()], [PRESENT] * len(rows), times),
        vector([Value(int64_val=n or 0) for n in numbers], [PRESENT] * len(rows), times),
    ]


@given(TIMES, TIMES)
def test_a_few_entities_vectors_are_protobufs_own(first: int, second: int) -> None:
    long = "a" * 130
    columns = [(1, None, None), (long, "", None)]
    found = parsed(few_vectors([encoder(INT), encoder(TEXT)], columns, [PRESENT, PRESENT, LOST], [first, second, 0]))
    assert found == [
        vector([Value(int64_val=1), Value(), Value()], [PRESENT, NULL, LOST], [first, second, 0]),
        vector([Value(string_val=long), Value(string_val=""), Value()], [PRESENT, PRESENT, LOST], [first, second, 0]),
    ]


@pytest.mark.parametrize(
    ("value_type", "values"),
    [(ValueType.STRING, ["", "é" * 100]), (ValueType.INT64, [-1, 300]), (ValueType.INT32, [0])],
)
def test_a_join_key_is_present_and_of_no_time(value_type: ValueType, values: list[Any]) -> None:
    kind = KINDS[value_type]
    n = len(values)
    protos = [Value(**{kind.proto: value}) for value in values]
    assert parsed(key_vector(kind, values)) == [vector(protos, [PRESENT] * n, [0] * n)]


@given(st.integers(-(2**63), 2**64 - 1))
def test_a_varint_is_protobufs(number: int) -> None:
    assert Value.FromString(b"\x20" + varint(number)).int64_val == (number + 2**63) % 2**64 - 2**63
