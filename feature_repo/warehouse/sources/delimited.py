"""Delimited text, CSV and TSV: every row with its line, every line that is no row by name, block by block."""

import codecs
import csv
import io
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pc
from pyarrow import compute

from feature_repo.warehouse.mapping.model import Source
from feature_repo.warehouse.sources import records, text
from feature_repo.warehouse.sources.content import CHUNK, Content
from feature_repo.warehouse.sources.reading import Batch, Malformed, Reading, shortened, unique
from motherlode.errors import DataError

_SNIFFED: Final = 5_000
"""Rows that tell the delimiter and the decimal sign."""
_SNIFFED_BYTES: Final = 1 << 20
_EVEN: Final = 0.9
"""Share of the rows that a delimiter must divide like the header, to be held against a given one."""
_QUOTE: Final = '"'
_BLANK: Final = b"\x1a \r\n"
"""What a line without content may hold: DOS ended its files by 0x1a."""
_ZERO_BYTES: Final = ("bytes", "The line holds zero bytes: the file was damaged on its way; export it again.")
_MARK: Final = codecs.BOM_UTF8
_HEADER: Final = ("header", "The header once more: leave it out where files are put one behind the other.")
_QUOTE_IT: Final = "a field that holds the delimiter stands in quotes."
_UNCLOSED: Final = ("quotes", "A quoted field does not end by its quote: close it; double a quote that means itself.")


@dataclass(frozen=True)
class _Layout:
    """How the text is divided.

    Attributes:
        delimiter, quote: one byte each; no quote: b"".
        names: of the columns.
        nulls: texts that mean nothing.
    """

    delimiter: bytes
    quote: bytes
    names: list[str]
    nulls: list[str]
    encoding: str


def read(content: Content, source: Source, reserved: frozenset[str]) -> Reading:
    """Open a delimited text.

    Args:
        content: the file.
        source: what the mapping says about it.
        reserved: names that no column may have.

    Raises:
        DataError: it is empty, or cannot be divided as the mapping says.
    """
    encoding = text.encoding(content, source.encoding)
    how = {"encoding": encoding.name + (" with a byte order mark" if encoding.mark else "")}
    quote = _QUOTE if source.quote is None else source.quote
    sample = _sample(content, encoding, source, quote)
    delimiter = _delimiter(content, sample, source, quote, how)
    rows = _divided(sample, delimiter, quote)
    header = rows[0] if source.header else (source.columns or [f"column_{each}" for each in range(1, len(rows[0]) + 1)])
    if source.header and source.columns is not None:
        header = source.columns
    if len(header) != len(rows[0]):
        raise DataError(
            f"{content.name} has {len(rows[0])} fields in its first row, and `columns` names {len(header)}.",
            "Name every column, in order.",
        )
    names = unique(header, how, reserved)
    values = rows[1:] if source.header else rows
    found = text.decimal([[row[at] for row in values if len(row) == len(names)] for at in range(len(names))], delimiter)
    how |= {key: value for key, value in found.items() if getattr(source, key) is None}
    layout = _Layout(delimiter.encode(), quote.encode(), names, ["", *source.null_values], encoding.name)
    schema = pa.schema([(name, pa.string()) for name in names])
    return Reading(_batches(content, encoding, layout, source), how, schema)


def _sample(content: Content, encoding: text.Encoding, source: Source, quote: str) -> str:
    """The text's beginning, from the header on."""
    block = b""
    for piece in text.blocks(content, encoding, _SNIFFED_BYTES):
        block += piece
        if len(block) >= _SNIFFED_BYTES:
            break
    for _ in range(source.skip):
        block = block[_line_length(block) :]
    sample = block.decode(errors="replace")
    while sample and not (line := sample[: _line_length(sample.encode()[:_SNIFFED_BYTES])] or sample).strip(
        "\r\n \t\x1a"
    ):
        sample = sample[len(line) :]
    if not sample.strip("\r\n \t\x1a\0"):
        raise DataError(f"{content.name} is empty.", "Export it again, or leave it out.")
    return sample


def _line_length(block: bytes) -> int:
    """Bytes of the first line, its ending included."""
    found = [at for at in (block.find(b"\n"), block.find(b"\r")) if at >= 0]
    if not found:
        return len(block)
    return min(found) + (2 if block[min(found) : min(found) + 2] == b"\r\n" else 1)


def _divided(sample: str, delimiter: str, quote: str) -> list[list[str]]:
    """The fields of the first rows."""
    settings: dict[str, Any] = {"quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE}
    reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter, **settings)
    rows: list[list[str]] = []
    with suppress(csv.Error):  # a field beyond the module's limit: what was read until there tells enough
        rows.extend(row for row in islice(reader, _SNIFFED) if row)
    if len(rows) > 1 and len(sample) >= _SNIFFED_BYTES // 4 and len(rows) < _SNIFFED:
        rows.pop()  # cut short by the sample's end
    return rows or [[sample]]


def _delimiter(content: Content, sample: str, source: Source, quote: str, how: dict[str, str]) -> str:
    found, shares = text.delimiter(lambda each: _divided(sample, each, quote))
    given = source.delimiter or ("\t" if source.format == "tsv" else None)
    if given is None:
        how["delimiter"] = found or next((each for each in text.DELIMITERS if each not in sample), text.DELIMITERS[0])
        return how["delimiter"]
    if len(given.encode()) != 1:
        raise DataError(
            f"The delimiter {given!r} of {content.name} is not one ASCII character.",
            "Export with one of comma, semicolon, tab or bar.",
        )
    divided = len(_divided(sample, given, quote)[0])
    if divided == 1 and found is not None and found != given and shares[found] >= _EVEN:
        name = text.NAMES[found]
        raise DataError(
            f"{content.name} has one column when divided by {given!r}, and {name}s divide its rows evenly.",
            f"Say `delimiter: {found!r}`, or leave it out.",
        )
    how["delimiter"] = given
    return given


def _batches(content: Content, encoding: text.Encoding, layout: _Layout, source: Source) -> Iterator[Batch]:
    """Rows in blocks of about `CHUNK` bytes."""
    rest, line, skipped, header = b"", 1, 0, source.header
    for block, final in _marked(text.blocks(content, encoding, CHUNK)):
        rest = rest + block if rest else block
        while skipped < source.skip and rest:
            length = _line_length(rest)
            if length >= len(rest) - 1 and not final:
                break
            rest, skipped, line = rest[length:], skipped + 1, line + 1
        if skipped < source.skip:
            continue
        part = _Part(content.name, rest, line, layout, header, final)
        rows, batch = part.parsed()
        header = header and not len(part.filled(rows))
        rest, line = rest[rows.used :], line + rows.line_count
        if batch is not None:
            yield batch


def _marked(blocks: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Blocks, each with whether it is the last."""
    last: bytes | None = None
    for block in blocks:
        if last is not None:
            yield last, False
        last = block
    yield last or b"", True


@dataclass(frozen=True)
class _Part:
    """A part of the text that begins with a row.

    Attributes:
        name: the file's.
        block: UTF-8.
        line: the line on which it begins.
        layout: how it is divided.
        header: whether its first row names the columns.
        final: whether the text ends with it.
    """

    name: str
    block: bytes
    line: int
    layout: _Layout
    header: bool
    final: bool

    def parsed(self) -> tuple[records.Rows, Batch | None]:
        """Its rows' bounds, and what they hold; None where it holds none."""
        refused: set[int] = set()
        while True:
            rows = records.split(
                self.block, self.layout.delimiter, self.layout.quote, final=self.final, refused=refused
            )
            filled = self.filled(rows)
            unreadable = self._unreadable(rows, filled)
            if self.header and len(filled):
                self._check_header(rows, int(filled[0]), unreadable)
                filled = filled[1:]
            if not len(filled):
                return rows, None
            kept = np.setdiff1d(filled, np.fromiter(unreadable, np.int64), assume_unique=True)
            table, miscounted = self._table(rows, kept)
            again = {int(rows.bounds[row]) for row in miscounted if self._swallowed(rows, row)} - refused
            if not again:
                break
            refused |= again
        malformed = [*self._named(rows, unreadable), *self._miscounted(rows, miscounted)]
        good = np.setdiff1d(kept, np.fromiter(miscounted, np.int64), assume_unique=True) if miscounted else kept
        repeated = _repeated_header(table)
        if repeated is not None and len(repeated) == len(good):
            malformed += self._named(rows, dict.fromkeys(good[repeated].tolist(), _HEADER))
            table, good = table.filter(pa.array(~repeated)), good[~repeated]
        if table.num_rows != len(good):
            raise DataError(
                f"Of {len(good)} rows of {self.name} from line {self.line} on {table.num_rows} were read.",
                "State `delimiter` and `quote`; if that does not help, report the file's layout as a defect.",
            )
        lines = pa.array((rows.lines[good] + self.line).astype(np.uint32))
        return rows, Batch(table, lines, sorted(malformed, key=lambda each: each.line))

    def filled(self, rows: records.Rows) -> npt.NDArray[np.int64]:
        """The rows that are no blank lines."""
        lengths = np.diff(rows.bounds)
        filled = lengths > 2
        for row in np.flatnonzero(~filled).tolist():
            filled[row] = bool(self._row(rows, row).strip(_BLANK))
        return np.flatnonzero(filled)

    def _row(self, rows: records.Rows, row: int) -> bytes:
        return self.block[int(rows.bounds[row]) : int(rows.bounds[row + 1])].rstrip(b"\r\n")

    def _unreadable(self, rows: records.Rows, filled: npt.NDArray[np.int64]) -> dict[int, tuple[str, str]]:
        """Rows that are no text at all: row → rule and remedy."""
        unreadable: dict[int, tuple[str, str]] = {}
        if b"\0" in self.block:
            zeros = np.flatnonzero(np.frombuffer(self.block, np.uint8)[: rows.used] == 0)
            unreadable |= dict.fromkeys((np.searchsorted(rows.bounds, zeros, "right") - 1).tolist(), _ZERO_BYTES)
        undecodable = self._undecodable(rows)
        if undecodable:
            rule = ("encoding", text.UNDECODABLE.format(self.layout.encoding))
            unreadable |= dict.fromkeys(undecodable, rule)
        unreadable |= dict.fromkeys(rows.unclosed, _UNCLOSED)
        return {row: unreadable[row] for row in np.intersect1d(filled, list(unreadable)).tolist()} if unreadable else {}

    def _undecodable(self, rows: records.Rows) -> list[int]:
        if self.layout.encoding != text.UTF8:
            if text.REPLACEMENT not in self.block:
                return []
            return [row for row in range(len(rows)) if text.REPLACEMENT in self._row(rows, row)]
        if _is_utf8(self.block):
            return []
        return [row for row in range(len(rows)) if not _is_utf8(self._row(rows, row), whole=True)]

    def _check_header(self, rows: records.Rows, row: int, unreadable: dict[int, tuple[str, str]]) -> None:
        if row in unreadable:
            rule, remedy = unreadable[row]
            raise DataError(
                f"The header of {self.name}, line {self.line + int(rows.lines[row])}, cannot be read ({rule}): "
                f"{_shown(self._row(rows, row))}.",
                remedy,
            )

    def _table(self, rows: records.Rows, kept: npt.NDArray[np.int64]) -> tuple[pa.Table, dict[int, int]]:
        """The fields of rows, as text; and the rows that have another number of them: row → fields."""
        names = self.layout.names
        types = dict.fromkeys(names, pa.string())
        miscounted: dict[int, int] = {}

        def on_invalid(invalid: Any) -> str:
            miscounted[int(kept[invalid.number - 1])] = invalid.actual_columns
            return "skip"

        block = self._joined(rows, kept)
        if not block:
            return pa.schema(list(types.items())).empty_table(), {}
        if bytes(block[: len(_MARK)]) == _MARK:
            block = _MARK + bytes(block)  # PyArrow takes one off: here it is part of a value
        table = pc.read_csv(
            pa.BufferReader(block),
            pc.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=names),
            pc.ParseOptions(
                delimiter=self.layout.delimiter.decode(),
                quote_char=self.layout.quote.decode() or False,
                newlines_in_values=bool(self.layout.quote),
                invalid_row_handler=on_invalid,
            ),
            pc.ConvertOptions(
                column_types=types, strings_can_be_null=True, null_values=self.layout.nulls, check_utf8=False
            ),
        )
        return (table if table.num_columns else pa.schema(list(types.items())).empty_table()), miscounted

    def _joined(self, rows: records.Rows, kept: npt.NDArray[np.int64]) -> memoryview | bytes:
        """The bytes of rows."""
        if not len(kept):
            return b""
        if int(kept[-1]) - int(kept[0]) + 1 == len(kept):
            return memoryview(self.block)[int(rows.bounds[kept[0]]) : int(rows.bounds[kept[-1] + 1])]
        breaks = np.flatnonzero(np.diff(kept) > 1)
        firsts, lasts = kept[np.append(0, breaks + 1)], kept[np.append(breaks, len(kept) - 1)]
        spans = zip(rows.bounds[firsts].tolist(), rows.bounds[lasts + 1].tolist(), strict=True)
        return b"".join(self.block[start:stop] for start, stop in spans)

    def _swallowed(self, rows: records.Rows, row: int) -> bool:
        """Whether a row of too many or too few fields goes over several lines, the second of which is a whole row."""
        lines = self._row(rows, row).decode(errors="replace").splitlines()
        if len(lines) < 2:
            return False
        quote = self.layout.quote.decode()
        return len(_divided(lines[1], self.layout.delimiter.decode(), quote)[0]) == len(self.layout.names)

    def _named(self, rows: records.Rows, unreadable: dict[int, tuple[str, str]]) -> list[Malformed]:
        return [
            Malformed(self.line + int(rows.lines[row]), _shown(self._row(rows, row)), rule, remedy)
            for row, (rule, remedy) in unreadable.items()
        ]

    def _miscounted(self, rows: records.Rows, miscounted: dict[int, int]) -> list[Malformed]:
        expected = len(self.layout.names)
        malformed: list[Malformed] = []
        for row, count in miscounted.items():
            found = self._row(rows, row)
            if found.strip(_BLANK):
                problem = f"{count} field{'s' * (count != 1)}, {expected} expected: correct the line; {_QUOTE_IT}"
                malformed.append(Malformed(self.line + int(rows.lines[row]), _shown(found), "fields", problem))
        return malformed


def _repeated_header(table: pa.Table) -> npt.NDArray[np.bool_] | None:
    """Which rows are the header once more, as where files were put one behind the other; None: none."""
    alike: Any = None
    for name in table.column_names:
        same = compute.is_in(table.column(name), pa.array([name, _MARK.decode() + name]))
        alike = same if alike is None else compute.and_(alike, same)
        if not compute.any(alike).as_py():
            return None
    return None if alike is None else np.asarray(alike.to_numpy(), np.bool_)


def _is_utf8(block: bytes, *, whole: bool = False) -> bool:
    if block.isascii():
        return True
    try:
        block.decode()
    except UnicodeDecodeError as error:
        # A character that the next block completes is no error of this one.
        return not whole and error.reason == "unexpected end of data" and error.start >= len(block) - 3
    return True


def _shown(row: bytes) -> str:
    return shortened(row.decode(errors="backslashreplace").replace("\0", "\\x00"))
