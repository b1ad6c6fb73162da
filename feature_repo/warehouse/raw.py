"""The raw layer: files, tables and queries landed whole or not at all, and read back batch by batch.

A Parquet file is landed byte by byte (written anew where raw is encrypted). All else becomes Parquet: text formats as
text columns exactly as in the source, tables and queries with their own types, each row with its line, and among them,
marked, the lines that are no row.
"""

import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.warehouse import events, raw_file, vault
from feature_repo.warehouse.contract import LINE, ROW
from feature_repo.warehouse.mapping.model import Source
from feature_repo.warehouse.mapping.read import Project
from feature_repo.warehouse.raw_file import OWN, REMEDY, RESERVED, RULE, VALUE, RawError
from feature_repo.warehouse.sources import cloud, delimited, excel, jsonlines, lake, parquet, sql
from feature_repo.warehouse.sources.content import CHUNK, Content, unreadable
from feature_repo.warehouse.sources.find import FOLDERS, Found
from feature_repo.warehouse.sources.reading import Reading, unique
from feature_repo.warehouse.state import Landed, digest
from motherlode.bundle import sha256
from motherlode.errors import DataError
from motherlode.settings import Settings

MALFORMED: Final = pl.Schema({"line": pl.UInt32(), "value": pl.String(), "rule": pl.String(), "remedy": pl.String()})
"""A line that is no row each. `value` is the raw line: it may hold identifiers."""

_STEP: Final = 131_072
"""Rows that PyArrow decodes at once: text columns of a million take twice the time and memory."""
_NO_FILE: Final = (*FOLDERS, "sql")
_READ_AS: Final = "read_as"
_READING: Final = (
    "query", "format", "delimiter", "quote", "encoding", "header", "skip", "columns", "null_values", "sheet", "explode"
)  # fmt: skip
"""What a source says that changes what is landed from the same bytes."""
_CHANGED: Final = "It is taken at the next load, when it is finished."


Sift = Callable[[Landed], Landed]
"""Takes rows out of a file that has not got its place in raw yet; answers what it holds now."""


def land(
    settings: Settings, project: Project, found: Found, order: int, landed_at: datetime, sift: Sift | None = None
) -> Landed:
    """Land a file, a table or a query's answer: `raw/<source>/<file id>.<how it was read>.parquet`.

    What cannot be used comes back as `refused`. A file that changes while it is read is read once more. A file that
    `sift` took rows out of has eight digits of its own hash in its name besides.

    Raises:
        DataError: raw cannot be written.
    """
    source = project.mapping.sources[found.source]
    if found.problem:
        return _refused(found, source, DataError(found.problem, found.remedy), order, landed_at)
    folder = settings.raw / urllib.parse.quote(found.source, safe=" ")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        raw_file.clear(folder)
        for _ in range(2):
            landed = _landed(settings, source, found, folder, order, landed_at, sift)
            if landed is not None:
                return landed
        return _refused(
            found, source, DataError(f"{found.name} changed while it was read.", _CHANGED), order, landed_at
        )
    except RawError:
        raise
    except DataError as error:
        return _refused(found, source, error, order, landed_at)
    except OSError as error:  # reading turns its own into DataError: what is left is writing's
        raise raw_file.unwritable(folder, error) from error


def digest_of(found: Found) -> str:
    """SHA-256 of a file's content as it lies there.

    "" where only landing tells: tables, queries, files far away, and those that cannot be read.
    """
    path = found.local
    if path is None or found.format in _NO_FILE:
        return ""
    try:
        return sha256(path)
    except OSError:  # `land` says why
        return ""


def current(landed: Landed, project: Project) -> bool:
    """Whether a file was landed as its source would be read now; if not, the same content is to be landed again."""
    source = project.mapping.sources.get(landed.source)
    return source is not None and landed.how.get(_READ_AS, "") == _read_as(source)


def found_decimal(landed: Landed) -> str | None:
    """The decimal sign that was found in a text file; None where no value told, or the source states it."""
    return landed.how.get("decimal")


def found_thousands(landed: Landed) -> str | None:
    """The sign between thousands that was found in a text file; None where no value told, or the source states it."""
    return landed.how.get("thousands")


def schema(settings: Settings, landed: Landed) -> dict[str, pl.DataType]:
    """The raw columns of a landed file, by name, as `batches` gives them."""
    with vault.reader(settings.home / landed.path, settings) as file:
        return _schema(file.schema_arrow)


def tops(settings: Settings, landed: Landed) -> dict[str, str]:
    """The raw columns of a landed file, as `batches` gives them → the column of the Parquet file that each lies in."""
    with vault.reader(settings.home / landed.path, settings) as file:
        tops, names = _columns(file.schema_arrow)
    return {name: tops[plain] for name, plain in names.items()}


def batches(
    settings: Settings, landed: Landed, columns: Sequence[str] | None = None, size: int = 1_000_000
) -> Iterator[pl.DataFrame]:
    """The rows of a landed file, at most `size` at once: `_row`, `_line`, then the raw columns.

    Args:
        columns: which raw columns; None: all.

    Raises:
        DataError: a column is not there, or the raw file cannot be read: it is missing or damaged, and named.
    """
    path = settings.home / landed.path
    with vault.reader(path, settings) as file:
        tops, names = _columns(file.schema_arrow)
        wanted = list(names) if columns is None else list(dict.fromkeys(columns))
        for each in wanted:
            if each not in names:
                raise DataError(f"{landed.name} has no column {each!r}.", f"It has: {', '.join(names)}.")
        own = _own(file.schema_arrow, landed)
        read = [*own, *(tops[names[each]] for each in wanted)]
        plain = {names[each]: each for each in wanted}
        columns_read = list(dict.fromkeys(read)) or file.schema_arrow.names[:1]
        step, before, parts = min(size, _STEP), 0, list[pl.DataFrame]()
        for batch in vault.batches(file, path, step, columns_read):
            try:
                parquet.check_texts(batch)
            except pa.ArrowInvalid as error:
                raise vault.unreadable(path, error) from error
            parts.append(_rows(batch, before, own, plain))
            before += batch.num_rows
            if sum(part.height for part in parts) + step > size:
                yield pl.concat(parts, rechunk=False)
                parts = []
        if parts:
            yield pl.concat(parts, rechunk=False)


def malformed(settings: Settings, landed: Landed) -> pl.DataFrame:
    """The lines of a landed file that are no row, of `MALFORMED`.

    Raises:
        DataError: the file cannot be read.
    """
    if not landed.malformed:
        return MALFORMED.to_frame()
    with vault.reader(settings.home / landed.path, settings) as file:
        read = vault.batches(file, settings.home / landed.path, _STEP, list(OWN))
        parts = [_marked(batch) for batch in read]
    return pl.concat([MALFORMED.to_frame(), *parts])


def _marked(batch: pa.RecordBatch) -> pl.DataFrame:
    kept = batch.filter(pc.is_valid(batch.column(RULE)))
    frame = pl.DataFrame(pl.from_arrow(kept))
    return frame.select(line=LINE, value=VALUE, rule=RULE, remedy=REMEDY)


def _columns(arrow: pa.Schema) -> tuple[dict[str, str], dict[str, str]]:
    """The raw columns in a Parquet file: plain name → column it lies in; name as `batches` gives it → plain name."""
    tops = parquet.leaves(arrow)
    plain = [each for each in tops if RULE not in arrow.names or each not in OWN]
    return tops, dict(zip(unique(plain, {}, RESERVED), plain, strict=True))


def _own(arrow: pa.Schema, landed: Landed) -> list[str]:
    """The columns of ours that reading needs."""
    if RULE not in arrow.names:
        return []
    return [LINE, RULE] if landed.malformed else [LINE]


def _rows(batch: pa.RecordBatch, before: int, own: list[str], names: Mapping[str, str]) -> pl.DataFrame:
    """A batch of a Parquet file as rows; `before` of its rows were read before."""
    frame = parquet.plain(pa.Table.from_batches([batch]))
    number = pl.int_range(before + 1, before + batch.num_rows + 1, dtype=pl.UInt32).alias(ROW)
    line = pl.col(LINE) if own else number.alias(LINE)
    if RULE not in own:
        return frame.select(number, line, *(pl.col(plain).alias(name) for plain, name in names.items()))
    return (
        frame.with_columns(number)
        .filter(pl.col(RULE).is_null())
        .select(ROW, line, *(pl.col(plain).alias(name) for plain, name in names.items()))
    )


def _schema(arrow: pa.Schema) -> dict[str, pl.DataType]:
    _, names = _columns(arrow)
    dtypes = parquet.plain(arrow.empty_table()).schema
    return {name: dtypes[plain] for name, plain in names.items()}


def _landed(
    settings: Settings, source: Source, found: Found, folder: Path, order: int, landed_at: datetime, sift: Sift | None
) -> Landed | None:
    """Land once; None: the file changed meanwhile."""
    before = _seen(found)
    with raw_file.temporary(folder, ".source") as fetched, raw_file.temporary(folder, ".parquet") as path:
        content = _content(found, fetched)
        made = _made(settings, source, found, content, path)
        if _seen(found) != before:
            return None
        read_as = _read_as(source)
        with vault.reader(path, settings) as file:
            columns = _schema(file.schema_arrow)
        landed = Landed(
            source=found.source,
            name=found.name,
            file_id=made.sha256[:16],
            path=path.relative_to(settings.home).as_posix(),
            sha256=made.sha256,
            size=made.size,
            rows=made.rows,
            malformed=made.malformed,
            columns={name: str(dtype) for name, dtype in columns.items()},
            landed_at=landed_at,
            order=order,
            how={_READ_AS: read_as, "format": found.format, **made.how},
        )
        if sift is not None:
            landed = sift(landed)
        target = folder / name_of(landed, sha256(path) if landed.erased else "")
        raw_file.place(settings, path, target)
    told = target.relative_to(settings.home).as_posix()
    return msgspec.structs.replace(landed, path=told, sha256_raw=sha256(target))


def name_of(landed: Landed, sha256_raw: str = "") -> str:
    """The name of a landed file in raw; one that rows were taken out of is told apart by its own hash."""
    if events.live(landed):
        return Path(landed.path).name  # it says how far landing has come
    told = [landed.file_id, landed.how.get(_READ_AS, ""), sha256_raw[:8], "parquet"]
    return ".".join(each for each in told if each)


@dataclass(frozen=True)
class _Made:
    """What was written into raw.

    Attributes:
        rows: malformed ones included.
        malformed: lines that are no row.
        how: what was found out.
        sha256: of the content as it came; of the rows, where there is no file.
        size: bytes, as it came.
    """

    rows: int
    malformed: int
    how: Mapping[str, str]
    sha256: str
    size: int = 0


def _made(settings: Settings, source: Source, found: Found, content: Content | None, path: Path) -> _Made:
    """Write the raw file."""
    if content is not None and found.format == "parquet":
        return _copied(settings, content, path)
    reading = _reading(found, source, content)
    with raw_file.Writer(settings, path, reading.columns) as writer:
        for batch in reading.batches:
            writer.write(batch)
    if content is None:
        return _Made(writer.rows, writer.malformed, reading.how, reading.digest)
    return _Made(writer.rows, writer.malformed, reading.how, content.sha256, content.size)


def _copied(settings: Settings, content: Content, path: Path) -> _Made:
    """A Parquet file, byte by byte; where raw is encrypted, its rows."""
    with path.open("wb") as file:
        for chunk in content.chunks():
            file.write(chunk)
    rows = parquet.check(path, content.name)
    if settings.raw_key is not None:
        raw_file.encrypt(settings, path)
    return _Made(rows, 0, {}, content.sha256, content.size)


def _content(found: Found, fetched: Path) -> Content | None:
    """The file's bytes, fetched first where it is far away; None for what is no file."""
    if found.format in _NO_FILE:
        return None
    if found.local is not None:
        return Content(found.local, found.name)
    with fetched.open("wb") as near:
        for chunk in cloud.chunks(found.uri, CHUNK):
            near.write(chunk)
    return Content(fetched, found.name)


def _reading(found: Found, source: Source, content: Content | None) -> Reading:
    if content is None:
        if found.format == "sql":
            return sql.read(found.uri, source.query or "", found.name, RESERVED)
        open_table = lake.read_delta if found.format == "delta" else lake.read_iceberg
        return open_table(found.uri, found.name)
    if found.format == "excel":
        return excel.read(content, source, RESERVED)
    if found.format == "jsonl":
        return jsonlines.read(content, source, RESERVED)
    return delimited.read(content, msgspec.structs.replace(source, format=found.format), RESERVED)


def _seen(found: Found) -> tuple[object, ...]:
    """What tells that a file changed; of tables and queries, which are read at one version, nothing."""
    if found.format in _NO_FILE:
        return ()
    path = found.local
    if path is None:
        return tuple((each.size, each.modified) for each in cloud.entries(found.uri, found.source))
    try:
        stat = path.stat()
    except OSError as error:
        raise unreadable(found.name, error) from error
    return (stat.st_size, stat.st_mtime_ns, stat.st_ino)


def _read_as(source: Source) -> str:
    """Eight digits that tell one way to read a source from another."""
    said = {name: getattr(source, name) for name in _READING}
    return digest(msgspec.json.encode(said))[:8]


def _refused(found: Found, source: Source, error: DataError, order: int, landed_at: datetime) -> Landed:
    total = digest_of(found)
    return Landed(
        source=found.source,
        name=found.name,
        file_id=total[:16],
        path="",
        sha256=total,
        size=found.size,
        landed_at=landed_at,
        order=order,
        how={_READ_AS: _read_as(source)} | ({} if found.problem else {"format": found.format}),
        status="refused",
        problem=error.problem,
        remedy=error.remedy,
    )
