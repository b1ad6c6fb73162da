"""JSON lines, or one JSON list of objects: a row an object, every value as it is written."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
import pyarrow as pa

from feature_repo.warehouse.mapping.model import Source
from feature_repo.warehouse.sources import text
from feature_repo.warehouse.sources.content import CHUNK, Content
from feature_repo.warehouse.sources.reading import Batch, Malformed, Reading, shortened, unique
from motherlode.errors import DataError

_JSON: Final = ("json", "Correct the line: one JSON object a line, {…}.")
_ROWS: Final = 50_000
_BLANK: Final = b" \t\r\n\x1a"
_DEEPEST: Final = 50
_LONGEST: Final = 64 << 20
"""Bytes of one object of a list."""
_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST: Final = msgspec.json.Decoder(list[msgspec.Raw])
_STRING: Final = msgspec.json.Decoder(str)
_STRUCTURE: Final = re.compile(rb'["\[\]{}]|\\.', re.DOTALL)
_INSIDE: Final = 2
"""Brackets that are open within an element of the list."""
_ESCAPE: Final = ord("\\")
_AS_TEXT: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|(?P<constant>-?(?:NaN|Infinity))')
_MOST_COLUMNS: Final = 4_000
_CELLS: Final = 2_000_000
"""Values of a batch, nulls included."""
_NO_NUMBER: Final = re.compile(rb"NaN|Infinity")


def read(content: Content, source: Source, reserved: frozenset[str]) -> Reading:
    """Open JSON lines.

    Objects within objects are columns of their own, `<field>.<field>`; lists are kept as JSON text, but for the field
    of `explode`, each element of which makes a row.

    Raises:
        DataError: the file is empty.
    """
    encoding = text.encoding(content, source.encoding)
    first = next((block.strip(_BLANK) for block in text.blocks(content, encoding, CHUNK) if block.strip(_BLANK)), b"")
    if not first:
        raise DataError(f"{content.name} is empty.", "Export it again, or leave it out.")
    blocks = text.blocks(content, encoding, CHUNK)
    listed = first.startswith(b"[")
    if first.split(b"\n")[0].strip(_BLANK) == b"{":
        raise DataError(
            f"{content.name} holds an object that goes over several lines.",
            "Write one object a line, or one list of all of them: [{…}, {…}].",
        )
    objects = _elements(blocks, content.name) if listed else _lines(blocks)
    how = {"encoding": encoding.name, "layout": "one list" if listed else "lines"}
    batches = _batches(objects, _Columns(source, reserved, how), content.name, encoding.name)
    return Reading(batches, how, pa.schema([]))


def _lines(blocks: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    """Every line that is not blank, with its number."""
    rest, number = b"", 1
    for block in blocks:
        *whole, rest = (rest + block).split(b"\n")
        for each in whole:
            if stripped := each.strip(_BLANK):
                yield number, stripped
            number += 1
    if stripped := rest.strip(_BLANK):
        yield number, stripped


def _elements(blocks: Iterator[bytes], name: str) -> Iterator[tuple[int, bytes]]:
    """Every element of a list, with the line on which it begins; what is neither object nor list comes as it stands."""
    rest, line, scanned, behind, depth, quoted = b"", 1, 0, 0, 0, False
    for block in blocks:
        rest += block
        for match in _STRUCTURE.finditer(rest, scanned):
            sign, scanned = match.group(), match.end()
            if sign == b'"':
                quoted = not quoted
            elif quoted or sign[0] == _ESCAPE:
                continue
            elif sign in b"[{":
                depth += 1
                if depth <= _INSIDE:
                    yield from _between(rest, behind, match.start(), line)
                    behind = match.start() if depth == _INSIDE else scanned
            else:
                depth -= 1
                if depth == 1:
                    yield line + rest.count(b"\n", 0, behind), rest[behind:scanned]
                elif depth < 1:
                    yield from _between(rest, behind, match.start(), line)
                behind = scanned if depth <= 1 else behind
        # Nothing stands between here and the end but, perhaps, half of an escape.
        scanned = len(rest) - (rest.endswith(b"\\") and scanned < len(rest))
        line += rest.count(b"\n", 0, behind)
        rest, scanned, behind = rest[behind:], scanned - behind, 0
        if len(rest) > _LONGEST:
            raise DataError(f"{name} is no list of JSON objects: line {line} begins one without an end.", _JSON[1])
    if depth >= _INSIDE:
        yield line, rest.strip(_BLANK)
    else:
        yield from _between(rest, 0, len(rest), line)


def _between(rest: bytes, start: int, stop: int, line: int) -> Iterator[tuple[int, bytes]]:
    """What stands between two elements besides the comma."""
    line += rest.count(b"\n", 0, start)
    for part in rest[start:stop].split(b","):
        if part.strip(_BLANK):
            yield line + part[: len(part) - len(part.lstrip())].count(b"\n"), part.strip(_BLANK)
        line += part.count(b"\n")


class _Columns:
    """The columns of the objects so far, and how one becomes a row of them."""

    def __init__(self, source: Source, reserved: frozenset[str], how: dict[str, str]) -> None:
        self._explode = source.explode
        self._nulls = frozenset(["", *source.null_values])
        self._taken, self._how = set(reserved), how
        self._names: dict[str, str] = {}

    def rows(self, found: bytes) -> list[dict[str, str | None]]:
        """The rows that an object makes, by path: one, or one for each element of the exploded list.

        Raises:
            msgspec.DecodeError, UnicodeDecodeError: it is no JSON object.
        """
        row: dict[str, str | None] = {}
        elements: list[Any] | None = None
        for path, value in self._flat("", _object(found), 0):
            if path == self._explode and value[:1] == b"[":
                elements = _LIST.decode(value)
            else:
                row[path] = self._scalar(value)
        if not elements or self._explode is None:
            return [row]
        return [row | self._element(self._explode, bytes(each)) for each in elements]

    def name(self, path: str) -> str:
        """A path's column name."""
        if path not in self._names:
            (self._names[path],) = unique([path], self._how, self._taken)
            self._taken.add(self._names[path])
        return self._names[path]

    def __len__(self) -> int:
        return len(self._names)

    def _element(self, field: str, value: bytes) -> dict[str, str | None]:
        if value[:1] == b"{":
            return {path: self._scalar(each) for path, each in self._flat(f"{field}.", _OBJECT.decode(value), 0)}
        return {field: self._scalar(value)}

    def _flat(self, before: str, fields: Mapping[str, msgspec.Raw], depth: int) -> Iterator[tuple[str, bytes]]:
        for name, raw in fields.items():
            value = bytes(raw)
            if value[:1] == b"{" and depth < _DEEPEST:
                yield from self._flat(f"{before}{name}.", _OBJECT.decode(value), depth + 1)
            else:
                yield before + name, value

    def _scalar(self, value: bytes) -> str | None:
        """A value as it is written; a text without its quotes."""
        if value == b"null":
            return None
        made = _STRING.decode(value) if value[:1] == b'"' else value.decode()
        return None if made in self._nulls else made


def _object(found: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _OBJECT.decode(found)
    except msgspec.DecodeError:
        if _NO_NUMBER.search(found) is None:
            raise
        # Python's own writer puts NaN and Infinity, which JSON has not: they stay as text, for the rules to see.
        return _OBJECT.decode(_AS_TEXT.sub(_quoted_constant, found))


def _quoted_constant(match: re.Match[bytes]) -> bytes:
    return match.group() if match["constant"] is None else b'"' + match["constant"] + b'"'


class _Growing:
    """Rows on their way to become a batch."""

    def __init__(self) -> None:
        self.lines: list[int] = []
        self.malformed: list[Malformed] = []
        self._values: dict[str, list[str | None]] = {}

    @property
    def columns(self) -> int:
        return len(self._values)

    @property
    def full(self) -> bool:
        return len(self.lines) + len(self.malformed) >= _ROWS or len(self.lines) * self.columns >= _CELLS

    def add(self, line: int, row: Mapping[str, str | None]) -> None:
        """Take a row."""
        for path, value in row.items():
            column = self._values.setdefault(path, [])
            column.extend([None] * (len(self.lines) - len(column)))
            column.append(value)
        self.lines.append(line)

    def batch(self, columns: _Columns) -> Batch:
        """All rows so far; null where a row has not a column."""
        count = len(self.lines)
        made = {
            columns.name(path): pa.array(column + [None] * (count - len(column)), pa.string())
            for path, column in self._values.items()
        }
        table = pa.table(made) if made else pa.table({"": pa.nulls(count)}).select([])
        return Batch(table, pa.array(self.lines, pa.uint32()), self.malformed)


def _batches(objects: Iterator[tuple[int, bytes]], columns: _Columns, name: str, encoding: str) -> Iterator[Batch]:
    growing = _Growing()
    for line, found in objects:
        try:
            for row in columns.rows(found):
                growing.add(line, row)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            growing.malformed.append(_malformed(line, found, error, encoding))
        if len(columns) + growing.columns > _MOST_COLUMNS:
            raise DataError(
                f"{name} has more than {_MOST_COLUMNS:,} different fields: names seem to be data.",
                "Export objects whose names are the same in every line.",
            )
        if growing.full:
            yield growing.batch(columns)
            growing = _Growing()
    yield growing.batch(columns)


def _malformed(line: int, found: bytes, error: Exception, encoding: str) -> Malformed:
    value = shortened(found.decode(errors="backslashreplace").replace("\0", "\\x00"))
    if isinstance(error, UnicodeDecodeError) or text.REPLACEMENT in found:
        return Malformed(line, value, "encoding", text.UNDECODABLE.format(encoding))
    return Malformed(line, value, *_JSON)
