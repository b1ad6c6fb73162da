"""Columns of Feast's protos: to packed values and back, and straight to the bytes that they have on the wire.

A response of 500 entities and 50 features is 25,000 `Value` messages. Making each in Python takes longer than the
whole read, so the columns are laid out as protobuf's wire format by NumPy, and the library parses them in one call.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from operator import attrgetter, methodcaller
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import NULL_TIMESTAMP_INT_VALUE, feast_value_type_to_python_type

from feature_repo.stores.dtypes import Kind
from motherlode.errors import DataError
from motherlode.packed import Column, Values

_SECOND: Final = 1_000_000
"""Microseconds: Feast's protos hold whole seconds."""
_WHICH: Final = methodcaller("WhichOneof", "val")
_NULLS: Final = (None, "null_val")
_NOTHING: Final = Value()
_AS_THEY_ARE: Final = frozenset(
    f"{name}_val" for name in ("bytes", "string", "int32", "int64", "double", "float", "bool")
)
"""Fields whose packed values are what Feast's users get."""

# Wire types of protobuf (https://protobuf.dev/programming-guides/encoding).
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_ONE_BYTE: Final = 128
"""Lengths and tags below this take one byte."""
_ENTRY: Final = 0x0A
"""The tag of field 1 as a message: an entry of `FeatureVector.values`."""
_NULL: Final = bytes((_ENTRY, 0))
_MOST: Final = 10
"""Bytes of the longest varint."""
_SHIFTS: Final = np.arange(_MOST, dtype=np.uint64) * np.uint64(7)


def from_protos(protos: Sequence[Value | None], column: Column, kind: Kind) -> Values:
    """A column of Feast's protos as packed values.

    Args:
        protos: N values; None or one with nothing set is null.
        column: its name and packed type.
        kind: where the proto keeps it.

    Raises:
        DataError: a proto holds another type.
    """
    held = [None if proto is None else _WHICH(proto) for proto in protos]
    for other in set(held).difference((kind.proto, *_NULLS)):
        raise DataError(
            f"A value of feature {column.name!r} is {other}, not {kind.proto}.", "Send what the view declares."
        )
    valid = np.array([field == kind.proto for field in held], dtype=np.bool_)
    found = [proto for proto, ok in zip(protos, valid.tolist(), strict=True) if ok]
    data = _zeros(column, len(protos))
    values: Any = map(attrgetter(kind.proto), found)
    if column.dtype == "timestamp":
        seconds = np.fromiter(values, dtype=np.int64, count=len(found))
        data[valid] = seconds * _SECOND
        valid[valid] = seconds != NULL_TIMESTAMP_INT_VALUE
    elif column.fixed:
        data[valid] = np.fromiter(values, dtype=data.dtype, count=len(found))
    else:
        data[valid] = _objects([_kept(value, column, kind) for value in values])
    return Values(data, valid)


def to_protos(values: Values, column: Column, kind: Kind) -> list[Value | None]:
    """Packed values as Feast's protos; None where null."""
    valid = values.valid.tolist()
    if kind.message or kind.collection:
        return [
            _message(value, column, kind) if ok else None for value, ok in zip(values.data.tolist(), valid, strict=True)
        ]
    field = kind.proto
    data = (values.data // _SECOND if column.dtype == "timestamp" else values.data).tolist()
    return [Value(**{field: value}) if ok else None for value, ok in zip(data, valid, strict=True)]


def to_python(values: Values, column: Column, kind: Kind) -> list[Any]:
    """Packed values as Feast hands them to its users in a dictionary; None where null."""
    if column.dtype == "timestamp":
        data: list[Any] = [datetime.fromtimestamp(second, UTC) for second in (values.data // _SECOND).tolist()]
    elif kind.proto in _AS_THEY_ARE:
        data = values.data.tolist()
    else:
        return [feast_value_type_to_python_type(proto or _NOTHING) for proto in to_protos(values, column, kind)]
    if values.valid.all():
        return data
    return [value if ok else None for value, ok in zip(data, values.valid.tolist(), strict=True)]


def to_wire(values: Values, column: Column, kind: Kind) -> bytes:
    """Packed values as N entries of `FeatureVector.values`, the way they go over the wire; empty where null."""
    number = Value.DESCRIPTOR.fields_by_name[kind.proto].number
    if column.fixed and number * 8 < _ONE_BYTE:
        return _fixed(values, column, number)
    if not (kind.message or kind.collection):
        return _texts(values, number) if column.dtype in ("string", "bytes") else _each(values, column, kind)
    return _each(values, column, kind)


def _fixed(values: Values, column: Column, number: int) -> bytes:
    """Numbers: all entries side by side in a matrix of bytes, of which each row's first few are kept."""
    n = len(values.data)
    if column.dtype in ("float32", "float64"):
        width, wire = (4, _FIXED32) if column.dtype == "float32" else (8, _FIXED64)
        payload = np.ascontiguousarray(values.data, dtype=f"<f{width}").view(np.uint8).reshape(n, width)
        lengths: Any = width
    else:
        wire = _VARINT
        data = values.data // _SECOND if column.dtype == "timestamp" else values.data
        payload, lengths = _varints(data.astype(np.int64))
    entries = np.empty((n, 3 + payload.shape[1]), dtype=np.uint8)
    entries[:, 0] = _ENTRY
    entries[:, 1] = np.where(values.valid, lengths + 1, 0)
    entries[:, 2] = number << 3 | wire
    entries[:, 3:] = payload
    if wire != _VARINT and values.valid.all():
        return entries.tobytes()
    kept = np.arange(entries.shape[1]) < (entries[:, 1] + 2)[:, None]
    return entries[kept].tobytes()


def _varints(data: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """N whole numbers as varints, shape (N, the longest), and how many bytes of each count."""
    unsigned = data.view(np.uint64)
    longest = max(1, -(-int(unsigned.max(initial=0)).bit_length() // 7))
    groups = unsigned[:, None] >> _SHIFTS[:longest]
    lengths = np.maximum((groups != 0).sum(axis=1), 1)
    more = np.arange(longest) < (lengths - 1)[:, None]
    return (groups.astype(np.uint8) & 0x7F) | (more.astype(np.uint8) << 7), lengths


def _texts(values: Values, number: int) -> bytes:
    """Strings and bytes; one that repeats is laid out once."""
    known: dict[Any, bytes] = {}
    tag = varint(number << 3 | _BYTES)
    entries: list[bytes] = []
    for value, ok in zip(values.data.tolist(), values.valid.tolist(), strict=True):
        if not ok:
            entries.append(_NULL)
            continue
        if (entry := known.get(value)) is None:
            text = value.encode() if isinstance(value, str) else value
            entry = known[value] = delimited(1, tag + varint(len(text)) + text)
        entries.append(entry)
    return b"".join(entries)


def _each(values: Values, column: Column, kind: Kind) -> bytes:
    """What nests: a message a value."""
    return b"".join(
        _NULL if proto is None else delimited(1, proto.SerializeToString()) for proto in to_protos(values, column, kind)
    )


def delimited(number: int, content: bytes) -> bytes:
    """A field that says how long it is."""
    return varint(number << 3 | _BYTES) + varint(len(content)) + content


def varint(number: int) -> bytes:
    """A whole number, not negative, in groups of seven bits."""
    out = bytearray()
    while number >= _ONE_BYTE:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _kept(value: Any, column: Column, kind: Kind) -> Any:
    """A proto's field as a packed value of variable length."""
    if kind.message:
        return value.SerializeToString(deterministic=True)
    if not kind.collection:
        return value
    elements = list(value.val)
    if column.dtype != "list<timestamp>":
        return elements
    # Feast's mark for a null among times stays what it is: the smallest integer, which is NumPy's own NaT.
    return [each if each == NULL_TIMESTAMP_INT_VALUE else each * _SECOND for each in elements]


def _message(value: Any, column: Column, kind: Kind) -> Value:
    """One packed value whose proto is a message."""
    proto = Value()
    field = getattr(proto, kind.proto)
    field.SetInParent()  # an empty list is a list
    if kind.message:
        field.ParseFromString(value)
    else:
        field.val.extend(_elements(value, column))
    return proto


def _elements(value: Any, column: Column) -> list[Any]:
    """One list as Python values that protobuf takes."""
    if column.dtype in ("list<string>", "list<bytes>"):
        return list(value)
    if column.dtype == "list<timestamp>":
        value = np.where(value == NULL_TIMESTAMP_INT_VALUE, value, value // _SECOND)
    return list((value.astype(np.bool_) if column.dtype == "list<bool>" else value).tolist())


def _zeros(column: Column, n: int) -> npt.NDArray[Any]:
    if not column.fixed:
        return np.empty(n, dtype=object)
    return np.zeros(n, dtype=np.int64 if column.dtype == "timestamp" else column.dtype)


def _objects(items: Sequence[Any]) -> npt.NDArray[np.object_]:
    """An array of objects, even where all are lists of one length."""
    out = np.empty(len(items), dtype=object)
    out[:] = items
    return out
