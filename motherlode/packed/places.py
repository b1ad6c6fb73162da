"""Where in a packed row each column lies, and how several are read at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from motherlode.errors import SchemaError
from motherlode.packed.columns import Column

_KEPT: Final = 64
"""Blocks whose way is remembered; beyond, they are worked out anew."""


@dataclass(frozen=True)
class Run:
    """Columns of one type that lie side by side.

    Attributes:
        dtype: of each.
        offset: of the first, bytes from the row's start.
        start, stop: which columns of a block they are, in the order of the row.
    """

    dtype: np.dtype[Any]
    offset: int
    start: int
    stop: int


@dataclass(frozen=True)
class Block:
    """How some fixed-width columns are read side by side.

    Attributes:
        runs: in the order of the row.
        positions: where each column stands in the schema, in the order that was asked for; a slice where it is one.
        order: which column of the runs comes first, second, …; None: as they lie.
        wide: whether a value may lie beyond float32.
    """

    runs: tuple[Run, ...]
    positions: npt.NDArray[np.int64] | slice
    order: npt.NDArray[np.int64] | None
    wide: bool


@dataclass(frozen=True)
class Wanted:
    """How the columns that a reader wants are read.

    Attributes:
        fixed: the names of those of fixed width, in the order of the row.
        block: how these are read.
        variable: the others.
        names: all of them.
        positions: where each of `names` stands in the schema.
    """

    fixed: tuple[str, ...]
    block: Block
    variable: tuple[Column, ...]
    names: tuple[str, ...]
    positions: npt.NDArray[np.int64]


class Places:
    """Where the columns of a schema lie.

    Args:
        view: its name, for errors.
        columns: its columns.
        layout: the record of everything before the variable part; column i is the field `c<i>` where it is fixed.

    Attributes:
        size: bytes before the variable part.
        zeros: as many zeros.
        head: a row's bytes before the variable part.
        position: name → which column of the schema.
        variable: name → which of the variable columns.
    """

    def __init__(self, view: str, columns: Sequence[Column], layout: np.dtype[np.void]) -> None:
        names = [column.name for column in columns]
        self.size = layout.itemsize
        self.zeros = bytes(self.size)
        self.head: Callable[[bytes], bytes] = itemgetter(slice(self.size))
        self.position = {name: i for i, name in enumerate(names)}
        fields: Any = layout.fields
        self._fixed = {name: fields[f"c{i}"] for i, name in enumerate(names) if f"c{i}" in fields}
        self.variable = {name: v for v, name in enumerate(name for name in names if name not in self._fixed)}
        self._view = view
        self._columns = frozenset(columns)
        self._known: tuple[Sequence[Column] | None, Wanted | None] = (None, None)
        self._blocks: dict[tuple[str, ...], Block] = {}

    def serving(self, wanted: Sequence[Column]) -> Wanted | None:
        """How the wanted columns are read; None where one is missing or has another type."""
        known, found = self._known
        if known is not wanted:  # a reader asks with the same columns again and again
            found = self._serving(wanted) if self._columns.issuperset(wanted) else None
            self._known = wanted, found
        return found

    def _serving(self, wanted: Sequence[Column]) -> Wanted:
        names = tuple(dict.fromkeys(column.name for column in wanted))
        fixed = tuple(sorted((name for name in names if name in self._fixed), key=self.position.__getitem__))
        variable = tuple(dict.fromkeys(column for column in wanted if not column.fixed))
        positions = np.array([self.position[name] for name in names], dtype=np.int64)
        return Wanted(fixed, self._block(fixed), variable, names, positions)

    def block(self, names: tuple[str, ...]) -> Block:
        """How these columns are read side by side.

        Raises:
            SchemaError: one is of text, bytes or lists.
        """
        known = self._blocks.get(names)
        if known is None:
            known = self._block(names)
            if len(self._blocks) < _KEPT:
                self._blocks[names] = known
        return known

    def _block(self, names: tuple[str, ...]) -> Block:
        for name in names:
            if name not in self._fixed:
                raise SchemaError(
                    f"Column {name!r} of view {self._view!r} is no number.", "Leave it out of the matrix."
                )
        order = sorted(range(len(names)), key=lambda i: self._fixed[names[i]][1])
        runs: list[Run] = []
        for at, i in enumerate(order):
            dtype, offset = self._fixed[names[i]][:2]
            last = runs[-1] if runs else None
            if last is not None and (dtype, offset) == (last.dtype, last.offset + (at - last.start) * dtype.itemsize):
                runs[-1] = Run(dtype, last.offset, last.start, at + 1)
            else:
                runs.append(Run(dtype, offset, at, at + 1))
        stand = [self.position[name] for name in names]
        beside = bool(stand) and stand == list(range(stand[0], stand[0] + len(stand)))
        positions = slice(stand[0], stand[0] + len(stand)) if beside else np.array(stand, dtype=np.int64)
        back = None if order == sorted(order) else np.argsort(np.array(order, dtype=np.int64))
        wide = any(run.dtype == np.float64 for run in runs)
        return Block(tuple(runs), positions, back, wide)
