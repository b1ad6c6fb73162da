"""Columns of Feast's protos: to packed values and back, and the Python values that Feast makes of them."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from operator import attrgetter, methodcaller
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import NULL_TIMESTAMP_INT_VALUE, feast_value_type_to_python_type

from feature_repo.stores.dtypes import Kind
from motherlode.errors import DataError
from motherlode.packed import FIXED, Column, Values

_SECOND: Final = 1_000_000
"""Microseconds: Feast's protos hold whole seconds."""
_WHICH: Final = methodcaller("WhichOneof", "val")
_NULLS: Final = (None, "null_val")
_NOTHING: Final = Value()
_AS_THEY_ARE: Final = frozenset(
    f"{name}_val" for name in ("bytes", "string", "int32", "int64", "double", "float", "bool")
)
"""Fields whose packed values are what Feast's users get."""
_AS_LISTS: Final = frozenset(f"{name}_list_val" for name in ("int32", "int64", "double", "float"))
"""Fields whose elements are."""


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
    valid = values.valid.tolist()
    if kind.proto in _AS_THEY_ARE:
        data = values.data.tolist()
        return data if all(valid) else [value if ok else None for value, ok in zip(data, valid, strict=True)]
    if column.dtype == "timestamp":
        return [_time(at) if ok else None for at, ok in zip(values.data.tolist(), valid, strict=True)]
    if kind.proto in _AS_LISTS:
        return [value.tolist() if ok else None for value, ok in zip(values.data, valid, strict=True)]
    return [feast_value_type_to_python_type(proto or _NOTHING) for proto in to_protos(values, column, kind)]


@cache
def python_of(kind: Kind) -> Callable[[Any], Any] | None:
    """What makes of one value that is not null the one that Feast hands to its users; None: it is that already.

    Args:
        kind: a scalar, or a list of floats, whose values are the bytes that it has in a row.
    """
    if kind.packed == "timestamp":
        return _time
    if kind.proto in _AS_THEY_ARE:
        return None
    if kind.collection:
        unpack, of = _element(kind.packed), set if kind.proto.endswith("_set_val") else list
        return lambda value: of(np.frombuffer(value, unpack).tolist())
    return lambda value: feast_value_type_to_python_type(Value(**{kind.proto: value}))


def _element(packed: str) -> str:
    return FIXED[packed[5:-1]]


def _time(at: int) -> datetime:
    return datetime.fromtimestamp(at // _SECOND, UTC)


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
