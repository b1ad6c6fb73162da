"""Where the rows of a delimited text begin and end, and on which line: found by the quotes, block by block."""

from collections.abc import Set
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

LONGEST_ROW: Final = 16 << 20
"""Bytes after which a quote that is still open counts as never closed."""

_LF: Final = 10
_CR: Final = 13
Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """The rows of a block of text.

    Attributes:
        bounds: each row's first byte, and last the byte after the last row; a row's line ending belongs to it.
        lines: each row's line in the block, from 0.
        unclosed: rows of one line each, in which a quote opens and does not close where a field ends.
        line_count: lines that the rows take up.
    """

    bounds: Positions
    lines: Positions
    unclosed: Set[int]
    line_count: int

    @property
    def used(self) -> int:
        """Bytes that belong to rows; what follows is part of a row that the next block completes."""
        return int(self.bounds[-1])

    def __len__(self) -> int:
        return len(self.lines)


def split(block: bytes, delimiter: bytes, quote: bytes, *, final: bool, refused: Set[int] = frozenset()) -> Rows:
    """Find the rows of a block that begins with a row.

    A quote counts where it opens a field, as in RFC 4180; doubled, it stands for itself. A quoted field may hold line
    endings. Where text follows the closing quote, the opening one was not closed, or one between stands for itself and
    is not doubled: that line is a row alone.

    Args:
        block: UTF-8.
        delimiter: one byte.
        quote: one byte, or none.
        final: whether the text ends here.
        refused: first bytes of rows that are one line each, whatever their quotes say.
    """
    data = np.frombuffer(block, np.uint8)
    ends = _line_ends(block, data, final=final)
    inner, unclosed, whole = (set[int](), set[int](), len(ends))
    if len(ends) and quote and quote in block:
        quotes = np.flatnonzero(data[: ends[-1] + 1] == quote[0])
        if refused or not _plain(data, quotes, ends, delimiter[0], quote[0]):
            inner, unclosed, whole = _walk(block, data, quotes, ends, delimiter, quote, final=final, refused=refused)
    elif not len(ends) and len(block) > LONGEST_ROW:
        unclosed, ends, whole = {0}, np.array([len(block) - 1]), 1
    last = np.ones(whole, np.bool_)
    if inner:
        last[np.fromiter(inner, np.int64)] = False
    kept = np.flatnonzero(last)
    bounds = np.concatenate([np.zeros(1, np.int64), ends[:whole][kept] + 1])
    lines = np.concatenate([np.zeros(1, np.int64), kept + 1])[: len(kept)]
    rows_unclosed = set(np.searchsorted(lines, sorted(unclosed)).tolist()) if unclosed else set()
    return Rows(bounds, lines, rows_unclosed, whole)


def _line_ends(block: bytes, data: npt.NDArray[np.uint8], *, final: bool) -> Positions:
    """The last byte of every line: LF, CR LF, or CR alone."""
    ends = np.flatnonzero(data == _LF)
    if b"\r" in block:
        returns = np.flatnonzero(data == _CR)
        if not final and returns[-1] == len(block) - 1:
            returns = returns[:-1]  # the next block tells whether a line feed follows
        following = data[np.minimum(returns + 1, len(block) - 1)]
        alone = returns[(following != _LF) | (returns == len(block) - 1)]
        if len(alone):
            ends = np.sort(np.concatenate([ends, alone]))
    if final and len(block) and (not len(ends) or ends[-1] != len(block) - 1):
        ends = np.append(ends, len(block) - 1)
    return ends


def _plain(data: npt.NDArray[np.uint8], quotes: Positions, ends: Positions, delimiter: int, quote: int) -> bool:
    """Whether every quote opens or closes a whole field, and no line ends between two: then lines are rows."""
    if len(quotes) % 2 or (np.searchsorted(quotes, ends) % 2).any():
        return False
    return bool((_opens(data, quotes[::2], delimiter, quote) & _closes(data, quotes[1::2], delimiter, quote)).all())


def _opens(data: npt.NDArray[np.uint8], at: Positions, delimiter: int, quote: int) -> npt.NDArray[np.bool_]:
    before = data[np.maximum(at - 1, 0)]
    fits: npt.NDArray[np.bool_] = (
        (at == 0) | (before == delimiter) | (before == _LF) | (before == _CR) | (before == quote)
    )
    return fits


def _closes(data: npt.NDArray[np.uint8], at: Positions, delimiter: int, quote: int) -> npt.NDArray[np.bool_]:
    last = len(data) - 1
    after = data[np.minimum(at + 1, last)]
    fits: npt.NDArray[np.bool_] = (
        (at == last) | (after == delimiter) | (after == _LF) | (after == _CR) | (after == quote)
    )
    return fits


def _doubtful(data: npt.NDArray[np.uint8], quotes: Positions, ends: Positions, delimiter: int, quote: int) -> Positions:
    """Lines whose quotes, taken alone, do not all open and close whole fields."""
    line = np.searchsorted(ends, quotes)
    first = np.flatnonzero(np.diff(line, prepend=-1))
    counts = np.diff(first, append=len(quotes))
    rank = np.arange(len(quotes)) - np.repeat(first, counts)
    opening = rank % 2 == 0
    fits = np.where(opening, _opens(data, quotes, delimiter, quote), _closes(data, quotes, delimiter, quote))
    odd = line[first[counts % 2 == 1]]
    return np.unique(np.concatenate([line[~fits], odd]))


def _walk(
    block: bytes,
    data: npt.NDArray[np.uint8],
    quotes: Positions,
    ends: Positions,
    delimiter: bytes,
    quote: bytes,
    *,
    final: bool,
    refused: Set[int],
) -> tuple[set[int], set[int], int]:
    """Walk the doubtful lines field by field.

    Returns:
        lines whose end lies within a row; lines with an unclosed quote; lines that belong to whole rows.
    """
    inner: set[int] = set()
    unclosed: set[int] = set()
    behind = 0
    for line in _doubtful(data, quotes, ends, delimiter[0], quote[0]).tolist():
        if line < behind:
            continue
        start = int(ends[line - 1]) + 1 if line else 0
        if start in refused:
            unclosed.add(line)
            continue
        closed = _row_end(block, start, ends, delimiter, quote, final=final)
        if closed is None and not final and len(block) - start <= LONGEST_ROW:
            return inner, unclosed, line
        if closed is None or closed < 0:
            unclosed.add(line)
            continue
        inner.update(range(line, closed))
        behind = closed + 1
    return inner, unclosed, len(ends)


def _row_end(block: bytes, start: int, ends: Positions, delimiter: bytes, quote: bytes, *, final: bool) -> int | None:
    """The line on which the row that begins at `start` ends; -1: a quote is not closed; None: the block ends before."""
    at = start
    while True:
        if block[at : at + 1] == quote:
            close = _closing(block, at, quote)
            if close is None:
                return None
            at = close + 1
            while block[at : at + 1] == b" ":
                at += 1
            if block[at : at + 1] not in (delimiter, b"\n", b"\r", b""):
                return -1
        line = int(np.searchsorted(ends, at))
        if line == len(ends):
            return line - 1 if final else None
        found = block.find(delimiter, at, int(ends[line]) + 1)
        if found < 0:
            return line
        at = found + 1


def _closing(block: bytes, opening: int, quote: bytes) -> int | None:
    at = opening
    while True:
        at = block.find(quote, at + 1)
        if at < 0:
            return None
        if block[at + 1 : at + 2] != quote:
            return at
        at += 1
