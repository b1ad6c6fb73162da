"""A few entities' rows without NumPy, which takes longer to set up a column than to read one row.

Only what is whole is read here: a row with anything wrong or out of the ordinary is left to `motherlode.packed.decode`,
which alone says what is wrong with it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from struct import Struct
from typing import Any, Final
from zlib import crc32

from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

from feature_repo.stores.dtypes import Kind
from feature_repo.stores.protos import python_of
from feature_repo.stores.wire import RUNS, encoder, few_vectors
from motherlode.packed import FIXED, Column, Schema

FEW: Final = 16
"""Entities up to which this is faster."""
_MARK: Final = slice(4, 16)
"""Where a row has its format version and the fingerprint of its schema."""
_FINGERPRINT: Final = slice(8, 16)
_CODES: Final = {"u1": "?", "<i4": "i", "<i8": "q", "<f4": "f", "<f8": "d"}
"""NumPy storage of a fixed-width column → its code in `struct`."""
_CRC, _EVENT, _NULLS, _FIRST = 0, 1, 2, 3
"""Places in a record: those of the header that matter, and the first column."""

Line = tuple[int, list[Any]]
"""A row's event time and its wanted values, None where null. Lists are the bytes that they have in the row."""


class Form:
    """How rows of one schema answer one question.

    Args:
        schema: theirs; it has all the columns.
        columns: those wanted, of kinds that are plain (`is_plain`).
    """

    def __init__(self, schema: Schema, columns: Sequence[Column]) -> None:
        variable = [column.name for column in schema.variable_columns]
        fixed = [column for column in schema.columns if column.fixed]
        nulls = (len(schema.columns) + 7) // 8
        codes = "".join(_CODES[FIXED[column.dtype]] for column in fixed)
        self._mark = schema.mark
        self._record = Struct(f"<I12xq8x{nulls}s{codes}{len(variable)}I")
        places = {column.name: _FIRST + i for i, column in enumerate(fixed)}
        places |= {name: _FIRST + len(fixed) + i for i, name in enumerate(variable)}
        self._ends = _FIRST + len(fixed)
        # A place twice, so that one column too is picked as a tuple.
        self._pick = itemgetter(*[places[column.name] for column in columns], _EVENT)
        self._variable = [
            (i, variable.index(column.name), _UNPACK.get(column.dtype, _whole))
            for i, column in enumerate(columns)
            if not column.fixed
        ]
        self._bits = [1 << schema.places.position[column.name] for column in columns]
        self._all = sum(set(self._bits))

    def line(self, row: bytes) -> Line | None:
        """What a row says; None where it is not whole."""
        size = self._record.size
        if len(row) < size or row[_MARK] != self._mark:
            return None
        record = self._record.unpack_from(row)
        if record[_CRC] != crc32(row[4:]):
            return None
        *values, event = self._pick(record)
        ends = (0, *record[self._ends :])
        if len(row) != size + ends[-1] or (len(ends) > 1 and sorted(ends) != list(ends)):
            return None
        try:
            for i, v, unpack in self._variable:
                values[i] = unpack(row[size + ends[v] : size + ends[v + 1]])
        except ValueError:
            return None
        if nulls := int.from_bytes(record[_NULLS], "little") & self._all:
            values = [None if nulls & bit else value for value, bit in zip(values, self._bits, strict=True)]
        return event, values


class Short:
    """The short way to answer one question.

    Args:
        columns: C wanted, at least one.
        kinds: theirs; `is_plain` holds.

    Attributes:
        encoders: C, what makes a value an entry of `FeatureVector.values`.
        converters: C, what makes a value the one that Feast hands to its users; None: it is that.
    """

    def __init__(self, columns: Sequence[Column], kinds: Sequence[Kind]) -> None:
        self._columns = columns
        self._forms: dict[bytes, Form] = {}
        self.encoders = [encoder(kind) for kind in kinds]
        self.converters = [python_of(kind) for kind in kinds]

    def read(self, rows: Sequence[bytes | None], schemas: Mapping[int, Schema], oldest_us: int | None) -> "Few | None":
        """What a few rows say; None where one of them is not whole, or lacks a column.

        Args:
            rows: N values as `MGET` answers them.
            schemas: fingerprint → schema.
            oldest_us: rows of before are stale, and none of their values shows; None: no row is.
        """
        nothing = [None] * len(self._columns)
        lines: list[Line] = []
        statuses: list[int] = []
        for row in rows:
            if row is None:
                lines.append((0, nothing))
                statuses.append(FieldStatus.NOT_FOUND)
                continue
            form = self._forms.get(row[_FINGERPRINT]) or self._form(row[_FINGERPRINT], schemas)
            line = None if form is None else form.line(row)
            if line is None:
                return None
            stale = oldest_us is not None and line[0] < oldest_us
            lines.append((line[0], nothing) if stale else line)
            statuses.append(FieldStatus.OUTSIDE_MAX_AGE if stale else FieldStatus.PRESENT)
        return Few(self, lines, statuses)

    def _form(self, fingerprint: bytes, schemas: Mapping[int, Schema]) -> Form | None:
        schema = schemas.get(int.from_bytes(fingerprint, "little"))
        if schema is None or schema.places.serving(self._columns) is None:
            return None
        form = self._forms[fingerprint] = Form(schema, self._columns)
        return form


@dataclass(frozen=True)
class Few:
    """One view's values of a few entities.

    Attributes:
        short: the way that they were read.
        lines: N rows' event times (0: no row) and C values.
        statuses: N, of `FieldStatus`, of the rows.
    """

    short: Short
    lines: Sequence[Line]
    statuses: Sequence[int]

    def columns(self) -> Iterator[tuple[Any, ...]]:
        """C columns of N values; None where null."""
        return zip(*[values for _, values in self.lines], strict=True)

    def python(self) -> list[list[Any]]:
        """C columns of N values as Feast hands them to its users in a dictionary."""
        return [
            list(column) if form is None else [None if value is None else form(value) for value in column]
            for column, form in zip(self.columns(), self.short.converters, strict=True)
        ]

    def wire(self) -> bytes:
        """C entries of `GetOnlineFeaturesResponse.results`."""
        return few_vectors(self.short.encoders, self.columns(), self.statuses, [event for event, _ in self.lines])

    def seconds(self) -> list[int]:
        """Event times, seconds since 1970 UTC; 0 where there is no row."""
        return [event // 1_000_000 for event, _ in self.lines]


def is_plain(kinds: Sequence[Kind]) -> bool:
    """Whether all are kinds that are read here: scalars, and lists of floats."""
    return all(not kind.message and (not kind.collection or kind.packed in RUNS) for kind in kinds)


def _whole(part: bytes) -> bytes:
    return part


def _aligned(width: int) -> Callable[[bytes], bytes]:
    """Checks that bytes are elements of a width."""

    def check(part: bytes) -> bytes:
        if len(part) % width:
            raise ValueError(f"Not all elements have {width} bytes.")
        return part

    return check


_UNPACK: Final[Mapping[str, Callable[[bytes], Any]]] = {
    "string": bytes.decode,
    "list<float32>": _aligned(4),
    "list<float64>": _aligned(8),
}
"""Type of a variable column → from its bytes in a row to its value."""
