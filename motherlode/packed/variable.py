"""From the bytes of a variable column to its values; a ValueError where they are none of its type."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import accumulate, pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from motherlode.packed.columns import FIXED

BYTEWISE: Final = "latin-1"

_Parts = Sequence[bytes | None]


def element_of(dtype: str) -> str:
    """The type of a list's elements."""
    return dtype[5:-1]


def numeric(dtype: str) -> bool:
    """Whether values are lists of elements of fixed width."""
    return element_of(dtype) in FIXED


def reader(dtype: str) -> Callable[[bytes], Any]:
    """From one value's bytes to what stands for it in a few rows: a list of elements of fixed width stays its bytes."""
    if dtype == "string":
        return bytes.decode
    if dtype == "bytes":
        return _same
    element = element_of(dtype)
    if element in FIXED:
        return partial(_aligned, np.dtype(FIXED[element]).itemsize)
    return partial(_list, element)


def to_list(dtype: str) -> Callable[[bytes], list[Any]]:
    """From a list's bytes, its elements of fixed width, to plain Python; bools are bools."""
    element = element_of(dtype)
    stored: Any = np.bool_ if element == "bool" else FIXED[element]
    return lambda part: np.frombuffer(part, stored).tolist()


def to_array(dtype: str) -> Callable[[bytes], npt.NDArray[Any]]:
    """From a list's bytes, its elements of fixed width, to NumPy."""
    stored = np.dtype(FIXED[element_of(dtype)])
    return lambda part: np.frombuffer(part, stored)


def unpacker(dtype: str) -> Callable[[Sequence[Any]], Iterable[Any]]:
    """From many values' bytes to their values, None where None; texts come with a character a byte (`BYTEWISE`)."""
    if dtype == "string":
        return _texts
    if dtype == "bytes":
        return _same
    element = element_of(dtype)
    if element in FIXED:
        return partial(_arrays, np.dtype(FIXED[element]))
    return partial(_lists, element)


def _same(part: Any) -> Any:
    return part


def _aligned(width: int, part: bytes) -> bytes:
    if len(part) % width:
        raise ValueError(f"Not all elements have {width} bytes.")
    return part


def _texts(parts: Sequence[str | None]) -> Sequence[str | None]:
    """Texts, of their UTF-8 with a character a byte: of ASCII the same."""
    if "".join(filter(None, parts)).isascii():
        return parts
    return [None if part is None else part.encode(BYTEWISE).decode() for part in parts]


def _arrays(dtype: np.dtype[Any], parts: _Parts) -> Iterable[npt.NDArray[Any] | None]:
    whole = [part for part in parts if part is not None]
    lengths = set(map(len, whole))
    if any(length % dtype.itemsize for length in lengths):
        raise ValueError(f"Not all are arrays of {dtype}.")
    flat = np.frombuffer(b"".join(whole), dtype=dtype)
    if len(lengths) == 1:
        arrays = iter(flat.reshape(len(whole), -1))
    else:
        stops = accumulate((len(part) // dtype.itemsize for part in whole), initial=0)
        arrays = (flat[start:stop] for start, stop in pairwise(stops))
    return arrays if len(whole) == len(parts) else [None if part is None else next(arrays) for part in parts]


def _lists(element: str, parts: _Parts) -> list[list[Any] | None]:
    return [None if part is None else _list(element, part) for part in parts]


def _list(element: str, data: bytes) -> list[Any]:
    count = int.from_bytes(data[:4], "little")
    ends = np.frombuffer(data, dtype="<u4", count=count, offset=4).tolist()
    body = data[4 + 4 * count :]
    stops = [0, *ends]
    if stops != sorted(stops) or stops[-1] != len(body):
        raise ValueError("Its elements do not end where it does.")
    items = [body[a:b] for a, b in pairwise(stops)]
    return [item.decode() for item in items] if element == "string" else items
