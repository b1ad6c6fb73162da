"""Where in a packed row of one form each column lies, and how several are read at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from motherlode.errors import SchemaError
from motherlode.packed.columns import FIXED, Column
from motherlode.packed.forms import Form

_KEPT: Final = 64
"""Ways of reading that are remembered; beyond, they are worked out anew."""
BOOL: Final = "bool"

_Made = TypeVar("_Made")

Indices = npt.NDArray[np.int64] | slice
"""Which of several; a slice where they lie side by side, which is faster."""


@dataclass(frozen=True)
class Run:
    """Columns of one type that lie side by side.

    Attributes:
        stored: the type each has in a row.
        dtype: the type each has in memory.
        offset: of the first, bytes from the row's start.
        start, stop: which columns of a block they are, in the order of the row.
    """

    stored: np.dtype[Any]
    dtype: np.dtype[Any]
    offset: int
    start: int
    stop: int


@dataclass(frozen=True)
class Block:
    """How some fixed-width columns are read side by side: first the runs, then the bools.

    Attributes:
        runs: in the order of the row.
        numbers: how many columns the runs are.
        flags: which bits the columns of bools are.
        positions: where each column stands in the schema, in the order that was asked for.
        order: which column of the runs and flags comes first, second, …; None: as they lie.
        wide: whether a value may lie beyond float32.
    """

    runs: tuple[Run, ...]
    numbers: int
    flags: Indices
    positions: Indices
    order: npt.NDArray[np.int64] | None
    wide: bool


@dataclass(frozen=True, eq=False)
class Wanted:
    """How the columns that a reader wants are read from rows of one schema and form.

    Attributes:
        places: where the columns lie.
        fixed: the names of those of fixed width, in the order of `block`.
        block: how these are read.
        variable: the others.
        columns: all of them, each once.
        positions: where each of `columns` stands in the schema.
    """

    places: "Places"
    fixed: tuple[str, ...]
    block: Block
    variable: tuple[Column, ...]
    columns: tuple[Column, ...]
    positions: npt.NDArray[np.int64]
    _blocks: dict[tuple[str, ...], Block] = field(default_factory=dict)
    _made: dict[Any, Any] = field(default_factory=dict)

    def once(self, make: Callable[["Wanted"], _Made]) -> _Made:
        """What `make` makes of this; made once, and kept as long as this is."""
        found: _Made | None = self._made.get(make)
        if found is None:
            found = self._made[make] = make(self)
        return found

    def side_by_side(self, names: tuple[str, ...]) -> Block:
        """How some of these columns are read side by side.

        Raises:
            SchemaError: one is of text, bytes or lists, or was not wanted.
        """
        known = self._blocks.get(names)
        if known is None:
            for name in names:
                if name not in self.fixed:
                    raise no_number(name, self.places.view)
            known = self.places.block(names)
            if len(self._blocks) < _KEPT:
                self._blocks[names] = known
        return known


class Places:
    """Where the columns of a schema lie in rows of one form.

    Args:
        view: its name, for errors.
        columns: its columns.
        form: the rows'.

    Attributes:
        view: as given.
        layout: the record of everything before the variable part; column i is the field `c<i>` where it is a number.
        size: bytes before the variable part.
        zeros: as many zeros.
        ones: shape (variable columns,): by these their lengths are added up in half the time that `sum` takes.
        head: a row's bytes before the variable part.
        position: name → which column of the schema, and which bit says that it is null.
        flag: name → which bit is the value, of a column of bools.
        numbers: the other columns of fixed width, as they lie.
        stored: the NumPy type that each of these has in a row.
        length: how many bytes each length takes.
        bits: how many bits of nulls and bools a row has.
        variable: name → which of the variable columns.
    """

    def __init__(self, view: str, columns: Sequence[Column], form: Form) -> None:
        self.view = view
        names = [column.name for column in columns]
        self.position = {name: i for i, name in enumerate(names)}
        bools = [column.name for column in columns if column.dtype == BOOL]
        self.flag = {name: len(names) + i for i, name in enumerate(bools)}
        self.numbers = tuple(column for column in columns if column.fixed and column.dtype != BOOL)
        self.variable = {name: v for v, name in enumerate(column.name for column in columns if not column.fixed)}
        self.bits = len(names) + len(bools)
        self.stored = tuple(form.stored(column.dtype, FIXED[column.dtype]) for column in self.numbers)
        self.length = form.length
        fields = [f"c{self.position[column.name]}" for column in self.numbers]
        self.layout: np.dtype[np.void] = np.dtype(
            [
                ("crc", "<u4"),
                ("form", "u1"),
                ("fingerprint", "<u4"),
                ("event", "<i8"),
                ("created", "<i8"),
                ("bits", "u1", ((self.bits + 7) // 8,)),
                *zip(fields, self.stored, strict=True),
                ("lengths", f"<u{form.length}", (len(self.variable),)),
            ]
        )
        self.size = self.layout.itemsize
        self.ones = np.ones(len(self.variable))
        self.zeros = bytes(self.size)
        self.head: Callable[[bytes], bytes] = itemgetter(slice(self.size))
        laid_out: Any = self.layout.fields
        self._number = {
            column.name: (*laid_out[name][:2], np.dtype(FIXED[column.dtype]))
            for column, name in zip(self.numbers, fields, strict=True)
        }
        self._columns = frozenset(columns)
        self._known: dict[int, tuple[Sequence[Column], Wanted | None]] = {}

    def serving(self, wanted: Sequence[Column]) -> Wanted | None:
        """How the wanted columns are read; None where one is missing or has another type."""
        known = self._known.get(id(wanted))  # a reader asks with the same columns again and again
        if known is not None:
            return known[1]
        found = self._serving(wanted) if self._columns.issuperset(wanted) else None
        if isinstance(wanted, tuple):  # what is kept here stays what it is
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[id(wanted)] = wanted, found
        return found

    def _serving(self, wanted: Sequence[Column]) -> Wanted:
        columns = tuple(dict.fromkeys(wanted))
        fixed = tuple(sorted((column.name for column in columns if column.fixed), key=self._lies))
        variable = tuple(column for column in columns if not column.fixed)
        positions = np.array([self.position[column.name] for column in columns], dtype=np.int64)
        return Wanted(self, fixed, self.block(fixed), variable, columns, positions)

    def block(self, names: tuple[str, ...]) -> Block:
        """How columns of fixed width are read side by side."""
        order = sorted(range(len(names)), key=lambda i: self._lies(names[i]))
        runs: list[Run] = []
        for at, name in enumerate(names[i] for i in order):
            if name in self.flag:
                break
            stored, offset, dtype = self._number[name]
            last = runs[-1] if runs else None
            if last is not None and (stored, dtype, offset) == (
                *(last.stored, last.dtype),
                last.offset + (at - last.start) * stored.itemsize,
            ):
                runs[-1] = Run(stored, dtype, last.offset, last.start, at + 1)
            else:
                runs.append(Run(stored, dtype, offset, at, at + 1))
        flags = indices([self.flag[names[i]] for i in order if names[i] in self.flag])
        positions = indices([self.position[name] for name in names])
        back = None if order == sorted(order) else np.argsort(np.array(order, dtype=np.int64))
        wide = any(run.stored == np.float64 for run in runs)
        return Block(tuple(runs), runs[-1].stop if runs else 0, flags, positions, back, wide)

    def _lies(self, name: str) -> tuple[bool, int]:
        """What sorts columns of fixed width as a block reads them: the bools last."""
        return (True, self.flag[name]) if name in self.flag else (False, self._number[name][1])


def indices(places: Sequence[int]) -> Indices:
    """Places as NumPy reads them fastest."""
    if places and list(places) == list(range(places[0], places[0] + len(places))):
        return slice(places[0], places[0] + len(places))
    return np.array(places, dtype=np.int64)


def no_number(name: str, view: str) -> SchemaError:
    """What is wrong with a matrix of that column; "" is a view that no row was there to tell."""
    where = f" of view {view!r}" if view else ""
    return SchemaError(f"Column {name!r}{where} is no number that was asked for.", "Leave it out of the matrix.")
