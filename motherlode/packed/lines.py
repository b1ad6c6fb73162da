"""A few rows, read one by one without NumPy, which takes longer to set up a column than to read one row."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from operator import itemgetter
from struct import Struct
from typing import Any, Final
from zlib import crc32

import numpy as np
import numpy.typing as npt

from motherlode.packed.columns import Column, Values
from motherlode.packed.header import CREATED, EVENT, FORM
from motherlode.packed.places import Wanted, no_number
from motherlode.packed.records import IN_MEMORY, NOTHING, SEED, ManyRows, beyond_float32
from motherlode.packed.rows import Status, ViewRows
from motherlode.packed.variable import numeric, reader, to_array, to_list

_CODES: Final = {"<i4": "i", "<i8": "q", "<f4": "f", "<f8": "d"}
"""NumPy type of a number in a row → its code in `struct`."""
_LENGTH_CODES: Final = {1: "B", 2: "H", 4: "I"}
_HEADER: Final = f"<I{EVENT.start - FORM}xq{CREATED.stop - CREATED.start}x"
_CRC, _EVENT, _BITS, _FIRST = 0, 1, 2, 3
"""Places in a record: those of the header that matter, and the first number."""
_EXACT: Final = 2**53
"""Up to here a whole number is the same as a Python float, through which it goes to float32."""

PRESENT, UNKNOWN, STALE, CORRUPT = map(int, Status)

Found = tuple[int, Sequence[Any]]
"""A row's event time, and its wanted values as `ViewRows.stored` has them."""


class Asked:
    """The wanted columns, whatever the rows are.

    Attributes:
        columns: each once.
        index: name → which of them.
        nothing: the values of a row that is not there.
        lists: those of lists of elements of fixed width → from their bytes to a list.
        numbers: those of fixed width; `whole` of these may be beyond what a float holds, `wide` beyond float32.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = tuple(dict.fromkeys(columns))
        self.index = {column.name: i for i, column in enumerate(self.columns)}
        self.nothing = (None,) * len(self.columns)
        self.lists = {c.name: to_list(c.dtype) for c in self.columns if not c.fixed and numeric(c.dtype)}
        self.numbers = {c.name for c in self.columns if c.fixed}
        self.whole = {c.name for c in self.columns if c.dtype in ("int64", "timestamp")}
        self.wide = {c.name for c in self.columns if c.dtype == "float64"}


class Line:
    """How one row of a schema and form is read.

    Args:
        wanted: the columns.
    """

    def __init__(self, wanted: Wanted) -> None:
        places = wanted.places
        self.asked = Asked(wanted.columns)
        self.view = places.view
        codes = "".join(_CODES[stored] for stored in places.stored)
        lengths = f"{len(places.variable)}{_LENGTH_CODES[places.length]}"
        self._record = Struct(f"{_HEADER}{(places.bits + 7) // 8}s{codes}{lengths}")
        place = {column.name: _FIRST + i for i, column in enumerate(places.numbers)}
        # What is no number is filled in later. Two places more, so that none and one too are picked as a tuple.
        self._pick = itemgetter(_EVENT, _BITS, *[place.get(column.name, _BITS) for column in wanted.columns])
        self._lengths = itemgetter(slice(_FIRST + len(place), None)) if places.variable else None
        bits = {column.name: 1 << places.position[column.name] for column in wanted.columns}
        self._nulls = list(bits.values())
        self._null = sum(self._nulls)
        index = self.asked.index
        self._flags = [(index[name], 1 << bit) for name, bit in places.flag.items() if name in index]
        self._variable = [
            (index[c.name], bits[c.name], places.variable[c.name], reader(c.dtype)) for c in wanted.variable
        ]

    def read(self, row: bytes) -> Found | None:
        """What a row says; None where it is not whole."""
        at = self._record.size
        if len(row) < at:
            return None
        record = self._record.unpack_from(row)
        if crc32(row, record[_CRC] ^ SEED) != record[_CRC]:
            return None
        event, packed, *values = self._pick(record)
        bits = int.from_bytes(packed, "little")
        if self._lengths is not None:
            stops = list(accumulate(self._lengths(record), initial=at))
            at = stops[-1]
            try:
                for i, null, v, unpack in self._variable:
                    if not bits & null:
                        values[i] = unpack(row[stops[v] : stops[v + 1]])
            except ValueError:  # whatever its checksum says
                return None
        if len(row) != at:
            return None
        for i, bit in self._flags:
            values[i] = bits & bit != 0
        if bits & self._null:
            values = [None if bits & bit else value for bit, value in zip(self._nulls, values, strict=True)]
        return event, values


class FewRows(ViewRows):
    """N rows.

    Args:
        asked: the columns.
        view: its name, for errors.
        events, statuses: N.
        values: N times what a row says.
        slowly: reads the same rows as many are read.
    """

    def __init__(
        self,
        asked: Asked,
        view: str,
        events: list[int],
        statuses: list[int],
        values: list[Sequence[Any]],
        slowly: Callable[[], ManyRows],
    ) -> None:
        self._asked, self._view = asked, view
        self._events, self._statuses, self._values = events, statuses, values
        self._slowly = slowly

    @property
    def statuses(self) -> list[int]:
        return self._statuses

    @property
    def events(self) -> list[int]:
        return self._events

    @cached_property
    def status(self) -> npt.NDArray[np.uint8]:
        return np.array(self._statuses, dtype=np.uint8)

    @cached_property
    def event_us(self) -> npt.NDArray[np.int64]:
        return np.array(self._events, dtype=np.int64)

    @property
    def present(self) -> bool:
        return not any(self._statuses)

    @cached_property
    def columns(self) -> Mapping[str, Values]:
        return _Columns(self._asked, self._by_column)

    @cached_property
    def _by_column(self) -> list[tuple[Any, ...]]:
        return list(zip(*self._values, strict=True)) or [()] * len(self._asked.columns)

    def stored(self, name: str) -> list[Any]:
        return list(self._by_column[self._asked.index[name]])

    def python(self, name: str) -> list[Any]:
        held = self._by_column[self._asked.index[name]]
        unpack = self._asked.lists.get(name)
        return list(held) if unpack is None else [None if value is None else unpack(value) for value in held]

    def matrix(self, names: Sequence[str]) -> npt.NDArray[np.float32]:
        asked = self._asked
        if not asked.numbers.issuperset(names):
            raise no_number(next(name for name in names if name not in asked.numbers), self._view)
        if self._rounded_twice(names):
            return self._slowly().matrix(names)
        places = [asked.index[name] for name in names]
        held = [[values[i] for i in places] for values in self._values]
        with beyond_float32() if not asked.wide.isdisjoint(names) else NOTHING:
            return np.array(held, dtype=np.float32).reshape(len(held), len(places))

    def _rounded_twice(self, names: Sequence[str]) -> bool:
        """Whether a whole number is too large to go to float32 through a Python float."""
        places = [self._asked.index[name] for name in self._asked.whole.intersection(names)]
        return any(abs(values[i] or 0) > _EXACT for values in self._values for i in places)


class _Columns(Mapping[str, Values]):
    """A few rows' columns, each made when it is first asked for.

    Args:
        asked: the columns.
        held: each one's values.
    """

    def __init__(self, asked: Asked, held: Sequence[tuple[Any, ...]]) -> None:
        self._asked, self._held = asked, held
        self._made: dict[str, Values] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._asked.index)

    def __len__(self) -> int:
        return len(self._asked.index)

    def __getitem__(self, name: str) -> Values:
        found = self._made.get(name)
        if found is None:
            place = self._asked.index[name]
            found = self._made[name] = _values(self._asked.columns[place], self._held[place])
        return found


def _values(column: Column, held: Sequence[Any]) -> Values:
    n = len(held)
    if None in held:
        valid = np.array([value is not None for value in held], dtype=np.bool_)
        if column.fixed:
            held = [0 if value is None else value for value in held]
    else:
        valid = np.ones(n, dtype=np.bool_)
    if column.fixed:
        return Values(np.array(held, dtype=IN_MEMORY[column.dtype]), valid)
    if numeric(column.dtype):
        unpack = to_array(column.dtype)
        held = [None if value is None else unpack(value) for value in held]
    return Values(np.fromiter(held, dtype=object, count=n), valid)
