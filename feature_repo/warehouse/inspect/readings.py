"""What a name gives to inspect: a file, a workbook's sheets, a database's tables, the lists in JSON lines."""

import codecs
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo.warehouse import contract, raw
from feature_repo.warehouse.mapping.model import Mapping as Mapped
from feature_repo.warehouse.mapping.model import Source
from feature_repo.warehouse.mapping.read import FILE, Project
from feature_repo.warehouse.mapping.shape import Places
from feature_repo.warehouse.sources import cloud, excel
from feature_repo.warehouse.sources.content import Content
from feature_repo.warehouse.sources.find import PACKAGE, Found, find
from feature_repo.warehouse.state import Landed
from motherlode.errors import DataError
from motherlode.settings import Settings

ROWS: Final = 200_000
"""Rows of a source that are looked at."""
_TITLES: Final = 8
"""Lines above a header that are tried."""
_UNNAMED: Final = re.compile(r"column_\d+(_\d+)?")
_SHOWN: Final = ("encoding", "delimiter", "sheet", "version")
_TEXT: Final = ("csv", "tsv", "jsonl")
_PLAIN: Final = (".csv", ".tsv", ".tab", ".txt", ".jsonl", ".ndjson")
"""Endings of text files that can be cut at a line."""

_DATABASES: Final = frozenset(
    ("sqlite", "postgresql", "postgres", "mysql", "mssql", "oracle", "redshift", "clickhouse")
)
_LOCAL: Final = "sqlite"
_SQLITE: Final = b"SQLite format 3\x00"
_ARCHIVES: Final = (".zip", ".7z", ".rar", ".tar", ".tgz")
_TABLES: Final[Mapping[str, str]] = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%' ORDER BY 1",
    "oracle": "SELECT table_name AS name FROM user_tables ORDER BY table_name",
}
"""Database → the query for its tables; of all others, the SQL standard's."""
_STANDARD: Final = (
    "SELECT table_name AS name FROM information_schema.tables WHERE table_schema NOT IN"
    " ('information_schema', 'pg_catalog', 'mysql', 'performance_schema', 'sys') ORDER BY table_name"
)
_LIST: Final = re.compile(r"\[\s*\{")
_SECRET: Final = "${DATABASE_URL}"
"""What a proposal writes for a URL with a password."""


@dataclass(frozen=True)
class Read:
    """A reading of a file.

    Attributes:
        file: as it was named.
        part: the sheet, the table, or the list of the reading, where it is not the whole file.
        frame: the rows, raw columns alone.
        how: what was found out.
        options: what the source must state to be read so; with `database` it names no files.
        complete: whether these are all rows.
        malformed: lines that are no row.
        notes: what a person should know.
    """

    file: str
    part: str
    frame: pl.DataFrame
    how: dict[str, str]
    options: Mapping[str, object]
    complete: bool
    malformed: int
    notes: tuple[str, ...] = field(default=())

    @property
    def fits(self) -> bool:
        """Whether there are columns, most have a name of their own, and most lines are rows."""
        named = sum(1 for column in self.frame.columns if not _UNNAMED.fullmatch(column))
        return 2 * named > self.frame.width > 1 and self.malformed <= self.frame.height


class RefusedError(DataError):
    """A file that cannot be used at all."""


def of_name(settings: Settings, name: str, head: int) -> list[Read]:
    """What a file, a URL or a database gives; at least one reading.

    Args:
        settings: its home is a folder that is gone afterwards.
        name: as on the command line.
        head: bytes that are looked at.

    Raises:
        RefusedError: it cannot be used.
        DataError: it is not there.
    """
    path = Path(name)
    if path.is_file() and _begins(path, _SQLITE):
        return _of_database(settings, name, f"sqlite://{path.absolute()}")
    scheme, sign, _ = name.partition("://")
    if sign and scheme == _LOCAL:
        return _of_database(settings, name, _absolute(name))
    if sign and scheme.partition("+")[0] in _DATABASES:
        return _of_database(settings, cloud.shown(name), name)
    found = _found(name)
    if found.format == "excel" and found.local is not None:
        return _of_workbook(settings, name, found.local, head)
    first = _titled(settings, name, {}, head)
    return [first, *(_of_lists(settings, first, head) if found.format == "jsonl" else ())]


def _absolute(url: str) -> str:
    """An SQLite file's URL; a relative one's is `sqlite:///data.db`."""
    path = url.partition("://")[2].lstrip("/")
    near = Path(path).absolute()
    return f"{_LOCAL}://{near if near.is_file() else '/' + path}"


def _found(name: str) -> Found:
    """A name's one file; what is there and has no format is refused, what is not there ends all."""
    try:
        return find(_project(name, {}), "file")[0]
    except DataError as error:
        path = Path(name)
        if not (path.exists() or cloud.is_url(name)):
            raise
        if path.is_file() and path.suffix.lower() in _ARCHIVES:
            raise RefusedError(f"{path.suffix} is an archive.", "Unpack it, and name the files within.") from error
        if path.is_file():
            problem = f"its ending {path.suffix!r} tells no format."
            remedy = "If it is a table, name it .csv, .tsv, .jsonl, .parquet or .xlsx, or write its source by hand."
            raise RefusedError(problem, remedy) from error
        raise RefusedError(error.problem, error.remedy) from error


def _of_database(settings: Settings, name: str, url: str) -> list[Read]:
    """Every table of a database; the password of its URL is not written down."""
    scheme = url.partition("://")[0].partition("+")[0]
    plan = {"database": url, "query": _TABLES.get(scheme, _STANDARD)}
    listed = _land(settings, name, plan, 0).frame
    tables = [str(table) for table in listed.to_series(0)] if listed.width else []
    if not tables:
        raise RefusedError("the database has no tables.", "Check its URL and the user's rights.")
    secret = urllib.parse.urlsplit(url).password is not None
    notes = ("set DATABASE_URL: its password is not written down",) if secret else ()
    made = []
    for table in tables:
        query = f"SELECT * FROM {_quoted(table, scheme)}"
        one = _land(settings, name, {"database": url, "query": _first(query, scheme)}, 0)
        options = {"database": _SECRET if secret else url, "query": query}
        complete = one.frame.height < ROWS
        made.append(replace(one, part=table, options=options, complete=complete, notes=notes))
    return [one for one in made if one.frame.width > 0]


def _quoted(table: str, scheme: str) -> str:
    if table.isidentifier() and table.isascii() and (table.islower() or scheme == "sqlite"):
        return table
    return f"`{table}`" if scheme == "mysql" else f"[{table}]" if scheme == "mssql" else f'"{table}"'


def _first(query: str, scheme: str) -> str:
    """The query's first rows."""
    if scheme == "mssql":
        return query.replace("SELECT *", f"SELECT TOP {ROWS} *", 1)
    return f"{query} FETCH FIRST {ROWS} ROWS ONLY" if scheme == "oracle" else f"{query} LIMIT {ROWS}"


def _of_workbook(settings: Settings, name: str, path: Path, head: int) -> list[Read]:
    """The sheets that hold a table; the first one where none does."""
    try:
        sheets = excel.sheets(Content(path, path.name))
    except DataError as error:
        raise RefusedError(error.problem, error.remedy) from error
    if len(sheets) == 1:
        return [_titled(settings, name, {}, head)]
    made, refused = [], []
    for sheet in sheets:
        try:
            one = _titled(settings, name, {"sheet": sheet}, head)
        except RefusedError as error:
            refused.append(error)
            continue
        made.append(replace(one, part=sheet))
    if not made:
        raise refused[0]
    fitting = [one for one in made if one.fits and one.frame.height]
    kept = fitting or made[:1]
    others = [sheet for sheet in sheets if sheet not in {one.part for one in kept}]
    notes = (f"its other sheets hold no table: {', '.join(others)}",) if others else ()
    return [replace(one, part=one.part if len(kept) > 1 else "", notes=notes) for one in kept]


def _of_lists(settings: Settings, plain: Read, head: int) -> Iterator[Read]:
    """A reading for every list of objects: each of them a row."""
    for column in plain.frame.columns:
        texts = plain.frame[column].drop_nulls()
        full = texts.filter(texts != "[]").head(1000)
        if not len(full) or not bool(full.str.contains(f"^{_LIST.pattern}").all()):
            continue
        try:
            one = _land(settings, plain.file, {**plain.options, "explode": column}, head)
        except RefusedError:
            continue
        yield replace(one, part=column)


def _titled(settings: Settings, name: str, options: Mapping[str, object], head: int) -> Read:
    """One file's first rows; lines above the header show by names that are missing, or by rows that do not fit."""
    first = _land(settings, name, options, head)
    for skip in range(1, _TITLES):
        if first.fits:
            break
        try:
            again = _land(settings, name, {**options, "skip": skip}, head)
        except RefusedError:
            break
        if again.fits:
            return again
    return first


def _land(settings: Settings, name: str, options: Mapping[str, object], head: int) -> Read:
    """Land a file, or the head of a large one, and read its rows."""
    project = _project(name, options)
    found, complete = _near(settings.home, find(project, "file")[0], head)
    landed = raw.land(settings, project, found, 1, datetime.now(UTC))
    if landed.status == "refused":
        raise RefusedError(landed.problem, landed.remedy)
    parts: list[pl.DataFrame] = []
    try:
        for batch in raw.batches(settings, landed, size=ROWS):
            parts.append(batch)
            if sum(part.height for part in parts) >= ROWS:
                break
    except DataError as error:  # damaged where landing does not look
        raise RefusedError(error.problem, error.remedy) from error
    frame = pl.concat(parts).head(ROWS) if parts else pl.DataFrame(schema=raw.schema(settings, landed))
    frame = frame.drop(contract.ROW, contract.LINE, strict=False)
    complete = complete and landed.rows - landed.malformed <= ROWS
    return Read(name, "", frame, _how(landed), options, complete, landed.malformed)


def _project(name: str, options: Mapping[str, object]) -> Project:
    """A mapping of one source, and no tables yet."""
    path = name if name.startswith(PACKAGE) or "://" in name else str(Path(name).absolute())
    stated = options if "database" in options else {"files": path, **options}
    source = msgspec.convert(stated, Source)
    file = Path.cwd() / FILE
    return Project(Mapped(company="", sources={"file": source}, tables={}), file.parent, file, b"", "", Places(file))


def _near(home: Path, found: Found, head: int) -> tuple[Found, bool]:
    """The file itself, or a copy of a large one's first rows; and whether that is all of it."""
    path = found.local
    if path is None or not path.is_file() or found.size <= head:
        return found, True
    copy = home / f"head{path.suffix}"
    if found.format in _TEXT and path.suffix in _PLAIN:
        with path.open("rb") as file:
            content = file.read(head)
        end = b"\n\x00" if content.startswith(codecs.BOM_UTF16_LE) else b"\n"
        copy.write_bytes(content[: content.rfind(end) + len(end)])
    elif found.format == "parquet":
        try:
            _first_rows(path, copy)
        except (pa.ArrowException, OSError) as error:
            raise RefusedError(f"the file is damaged: {error}", "Copy or export it again.") from error
    else:
        return found, True
    return replace(found, uri=str(copy), size=copy.stat().st_size), False


def _first_rows(path: Path, copy: Path) -> None:
    with pq.ParquetFile(path) as source, pq.ParquetWriter(copy, source.schema_arrow) as target:
        rows = 0
        for batch in source.iter_batches():
            target.write_batch(batch)
            rows += batch.num_rows
            if rows >= ROWS:
                return


def _begins(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


def _how(landed: Landed) -> dict[str, str]:
    found = {name: landed.how[name] for name in _SHOWN if name in landed.how}
    return found | ({"malformed lines": f"{landed.malformed:,}"} if landed.malformed else {})
