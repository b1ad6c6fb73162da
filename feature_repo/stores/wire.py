"""Columns of packed values as the bytes that Feast's `FeatureVector`s have on the wire.

A response of 500 entities and 50 features is 25,000 `Value` messages. Making each in Python takes longer than the
whole read, so the columns are laid out as protobuf's wire format, and the library parses them in one call: many
entities by NumPy, all columns of a type at once; a few by Python, for which NumPy would take longer.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, lru_cache
from struct import Struct
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus, GetOnlineFeaturesResponse
from feast.protos.feast.types.Value_pb2 import Value

from feature_repo.stores.dtypes import Kind
from feature_repo.stores.protos import to_protos
from motherlode.packed import Column, Values

_SECOND: Final = 1_000_000
"""Microseconds: Feast's protos hold whole seconds."""

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
_NEGATIVE: Final = 1 << 64
"""What a negative number is added to: it goes as the unsigned one of the same 64 bits."""

_VECTOR: Final = GetOnlineFeaturesResponse.FeatureVector.DESCRIPTOR.fields_by_name
_RESULTS: Final = bytes((GetOnlineFeaturesResponse.DESCRIPTOR.fields_by_name["results"].number << 3 | _BYTES,))
_STATUSES: Final = bytes((_VECTOR["statuses"].number << 3 | _BYTES,))
_TIME: Final = _VECTOR["event_timestamps"].number << 3 | _BYTES
_NO_TIME: Final = bytes((_TIME, 0))
_TIME_SECONDS, _TIME_NANOS = 1 << 3, 2 << 3
_PRESENT, _NULL_VALUE = FieldStatus.PRESENT, FieldStatus.NULL_VALUE

_FLOATS: Final[Mapping[str, int]] = {"float32": 4, "float64": 8}
"""Types that go as they lie in a row, and their bytes."""
Encoder = Callable[[Any], bytes]
"""From a value to an entry of `FeatureVector.values`."""
RUNS: Final = ("list<float32>", "list<float64>")
"""Lists whose elements go as they lie in a row."""


def vectors(
    columns: Sequence[Column],
    kinds: Sequence[Kind],
    values: Sequence[Values],
    statuses: npt.NDArray[np.uint8],
    event_us: npt.NDArray[np.int64],
) -> bytes:
    """Many entities' answers as entries of `GetOnlineFeaturesResponse.results`.

    Args:
        columns, kinds, values: C of each, of N entities.
        statuses: shape (C, N), of `FieldStatus`.
        event_us: shape (N,), microseconds since 1970 UTC.
    """
    times = _times(event_us)
    size = _STATUSES + varint(len(event_us))
    entries = to_wire(values, columns, kinds)
    return b"".join([_vector(entries[i], size, statuses[i].tobytes(), times) for i in range(len(columns))])


def few_vectors(
    encoders: Sequence[Encoder], columns: Iterable[Sequence[Any]], statuses: Sequence[int], event_us: Sequence[int]
) -> bytes:
    """A few entities' answers as entries of `GetOnlineFeaturesResponse.results`.

    Args:
        encoders: C of them, by `encoder`.
        columns: C columns of N values as they take them; None where null.
        statuses: N, of each entity's row.
        event_us: N, microseconds since 1970 UTC.
    """
    times = b"".join(map(_time, event_us))
    size = _STATUSES + varint(len(statuses))
    whole = size + bytes(statuses) + times
    found: list[bytes] = []
    for encode, column in zip(encoders, columns, strict=True):
        if None in column:
            entries = b"".join([_NULL if value is None else encode(value) for value in column])
            pairs = zip(column, statuses, strict=True)
            told = bytes([_NULL_VALUE if value is None and each == _PRESENT else each for value, each in pairs])
            rest = size + told + times
        else:
            entries, rest = b"".join(map(encode, column)), whole
        found += (_vector_head(len(entries) + len(rest)), entries, rest)
    return b"".join(found)


def key_vector(kind: Kind, values: Sequence[Any]) -> bytes:
    """The join key of N entities as Feast's response begins with it: present, and of no time."""
    n = len(values)
    statuses = _STATUSES + varint(n) + bytes((_PRESENT,)) * n
    return _vector(*map(encoder(kind), values), statuses, _NO_TIME * n)


def _vector(*content: bytes) -> bytes:
    """One `FeatureVector`, as an entry of the response's results."""
    return b"".join((_vector_head(sum(map(len, content))), *content))


@lru_cache
def _vector_head(size: int) -> bytes:
    """What stands before a `FeatureVector` of so many bytes."""
    return _RESULTS + varint(size)


# ---------------------------------------------------------------------- many entities


def to_wire(values: Sequence[Values], columns: Sequence[Column], kinds: Sequence[Kind]) -> list[bytes]:
    """Each column's packed values as N entries of `FeatureVector.values`; empty where null."""
    entries: list[bytes] = [b""] * len(columns)
    groups: dict[tuple[str, int], list[int]] = {}
    for i, (column, kind) in enumerate(zip(columns, kinds, strict=True)):
        number = _number(kind)
        if column.fixed and number * 8 < _ONE_BYTE:
            groups.setdefault((column.dtype, number), []).append(i)
        elif column.dtype in RUNS and not kind.message:
            entries[i] = _runs(values[i], number)
        elif column.dtype in ("string", "bytes") and not kind.message:
            entries[i] = _texts(values[i], kind)
        else:
            entries[i] = _each(values[i], column, kind)
    for (dtype, number), places in groups.items():
        for i, wire in zip(places, _fixed([values[i] for i in places], dtype, number), strict=True):
            entries[i] = wire
    return entries


def _fixed(values: Sequence[Values], dtype: str, number: int) -> list[bytes]:
    """Columns of numbers of one type: all entries side by side in a block of bytes."""
    data = np.array([each.data for each in values])
    valid = np.array([each.valid for each in values])
    if width := _FLOATS.get(dtype):
        wire, payload, form = _FIXED32 if width == _FLOATS["float32"] else _FIXED64, data, np.dtype(f"<f{width}")
    else:
        wire = _VARINT
        payload = _varints((data // _SECOND if dtype == "timestamp" else data).astype(np.int64, copy=False))
        width = payload.shape[2]
        form = np.dtype((np.uint8, (width,)))
    # Four fields, of which NumPy fills each in one go: twice as fast as bytes by their places.
    entries = np.empty(data.shape, dtype=[("entry", "u1"), ("size", "u1"), ("tag", "u1"), ("value", form)])
    entries["entry"], entries["size"], entries["tag"] = _ENTRY, width + 1, number << 3 | wire
    entries["value"] = payload
    full: list[bool] = np.logical_and.reduce(valid, axis=1).tolist()
    return [
        block.tobytes() if whole else _without(block.view(np.uint8).reshape(len(block), -1), there)
        for block, there, whole in zip(entries, valid, full, strict=True)
    ]


def _without(entries: npt.NDArray[np.uint8], valid: npt.NDArray[np.bool_]) -> bytes:
    """Entries, shape (N, width), of which the nulls are cut to the two bytes of an empty one."""
    entries[~valid, 1] = 0
    kept = np.ones(entries.shape, dtype=np.bool_)
    kept[~valid, len(_NULL) :] = False
    return entries[kept].tobytes()


def _varints(data: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """Whole numbers as varints along a last axis, each as long as the longest.

    A shorter number is filled up with groups of zeros, which protobuf reads as well, so that all have one width.
    """
    unsigned = data.view(np.uint64)
    longest = max(1, -(-int(unsigned.max(initial=0)).bit_length() // 7))
    groups = (unsigned[..., None] >> _SHIFTS[:longest]).astype(np.uint8)
    groups[..., :-1] |= 0x80
    groups[..., -1] &= 0x7F
    return groups


def _runs(values: Values, number: int) -> bytes:
    """Lists whose elements go as they lie in a row."""
    return b"".join(
        [
            _run_head(number, value.nbytes) + value.tobytes() if ok else _NULL
            for value, ok in zip(values.data.tolist(), values.valid.tolist(), strict=True)
        ]
    )


def _texts(values: Values, kind: Kind) -> bytes:
    """Strings and bytes; one that repeats is laid out once."""
    data: list[Any] = values.data.tolist()
    if not values.valid.all():
        data = [value if ok else None for value, ok in zip(data, values.valid.tolist(), strict=True)]
    form = encoder(kind)
    known = {value: _NULL if value is None else form(value) for value in set(data)}
    return b"".join(map(known.__getitem__, data))


def _each(values: Values, column: Column, kind: Kind) -> bytes:
    """What nests: a message a value."""
    return b"".join(
        _NULL if proto is None else _entry(proto.SerializeToString()) for proto in to_protos(values, column, kind)
    )


def _times(event_us: npt.NDArray[np.int64]) -> bytes:
    """Event times as entries of `FeatureVector.event_timestamps`."""
    seconds = _varints(event_us // _SECOND)
    nanos = _varints(event_us % _SECOND * 1000)
    n, width = seconds.shape
    entries = np.empty((n, 4 + width + nanos.shape[1]), dtype=np.uint8)
    entries[:, 0] = _TIME
    entries[:, 1] = entries.shape[1] - 2
    entries[:, 2] = _TIME_SECONDS
    entries[:, 3 : 3 + width] = seconds
    entries[:, 3 + width] = _TIME_NANOS
    entries[:, 4 + width :] = nanos
    return entries.tobytes()


# ---------------------------------------------------------------------- a value at a time


def _time(at: int) -> bytes:
    """One event time, as an entry of `FeatureVector.event_timestamps`."""
    seconds, micros = divmod(at, _SECOND)
    content = b"\x08" + varint(seconds) + b"\x10" + varint(micros * 1000)
    return bytes((_TIME, len(content))) + content


@cache
def encoder(kind: Kind) -> Encoder:
    """What makes an entry of `FeatureVector.values` of one packed value that is not null.

    Args:
        kind: a scalar, whose values are Python's (a time: its microseconds), or one of `RUNS`, whose
            values are the bytes that it has in a row.
    """
    number = _number(kind)
    if kind.packed in RUNS:
        return _run(number)
    if kind.packed in ("string", "bytes"):
        return _text(varint(number << 3 | _BYTES), encoded=kind.packed == "string")
    if width := _FLOATS.get(kind.packed):
        return _float(varint(number << 3 | (_FIXED32 if width == _FLOATS["float32"] else _FIXED64)), width)
    tag = varint(number << 3 | _VARINT)
    if kind.packed == "timestamp":
        return lambda value: _entry(tag + varint(value // _SECOND))
    return lambda value: _entry(tag + varint(value))


def _float(tag: bytes, width: int) -> Encoder:
    head = bytes((_ENTRY, len(tag) + width)) + tag
    pack = Struct("<f" if width == _FLOATS["float32"] else "<d").pack
    return lambda value: head + pack(value)


def _text(tag: bytes, *, encoded: bool) -> Encoder:
    short = range(_ONE_BYTE - len(tag) - 1)
    heads = [bytes((_ENTRY, len(tag) + 1 + size)) + tag + bytes((size,)) for size in short]

    def form(value: Any) -> bytes:
        text: bytes = value.encode() if encoded else value
        size = len(text)
        return heads[size] + text if size in short else _entry(tag + varint(size) + text)

    return form


def _run(number: int) -> Encoder:
    def form(elements: bytes) -> bytes:
        return _run_head(number, len(elements)) + elements

    return form


@lru_cache
def _run_head(number: int, size: int) -> bytes:
    """What stands before the elements of a list of so many bytes."""
    inner = bytes((_ENTRY,)) + varint(size) if size else b""
    field = varint(number << 3 | _BYTES) + varint(len(inner) + size) + inner
    return bytes((_ENTRY,)) + varint(len(field) + size) + field


def _entry(content: bytes) -> bytes:
    """A message as an entry of `FeatureVector.values`."""
    size = len(content)
    return (bytes((_ENTRY, size)) if size < _ONE_BYTE else bytes((_ENTRY,)) + varint(size)) + content


def varint(number: int) -> bytes:
    """A whole number in groups of seven bits."""
    if 0 <= number < _ONE_BYTE:
        return _SMALL[number]
    if number < 0:
        number += _NEGATIVE
    out = bytearray()
    while number >= _ONE_BYTE:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


_SMALL: Final = tuple(bytes((number,)) for number in range(_ONE_BYTE))


@cache
def _number(kind: Kind) -> int:
    """The number of the field of `Value` that holds a kind."""
    return int(Value.DESCRIPTOR.fields_by_name[kind.proto].number)
