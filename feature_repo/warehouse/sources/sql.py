"""A query's answer from any database by its URL: SQLite by the standard library, all others by connectorx."""

import sqlite3
import urllib.parse
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import connectorx
import pyarrow as pa

from feature_repo.warehouse.sources import rows
from feature_repo.warehouse.sources.parquet import first_line
from feature_repo.warehouse.sources.reading import Reading, unique
from motherlode.errors import DataError

_ROWS: Final = 100_000
_SQLITE: Final = "sqlite://"
_PANIC: Final = "PanicException"


def read(url: str, query: str, name: str, reserved: frozenset[str]) -> Reading:
    """Run a query. Columns of SQLite, which has no types, are text; others keep the database's.

    Args:
        url: `sqlite:///absolute/path`, `postgresql://…`, `mysql://…`, `mssql://…`, `oracle://…`; never shown.
        name: the source's.

    Raises:
        DataError: the database cannot be reached, or refuses the query.
    """
    how = {"database": url.partition("://")[0].partition("+")[0]}
    if url.startswith(_SQLITE):
        return _sqlite(Path(url.removeprefix(_SQLITE)), query, name, how, reserved)
    return _other(url, query, name, how)


def _sqlite(path: Path, query: str, name: str, how: dict[str, str], reserved: frozenset[str]) -> Reading:
    if not path.is_file():
        raise DataError(f"The source {name} names a database that is not there.", "Check the path after sqlite:///.")
    with closing(_connected(path)) as connection:
        try:
            described = connection.execute(query).description
        except sqlite3.Error as error:
            raise _refused(name, str(error)) from error
    if described is None:
        raise _refused(name, "it gives no rows")
    schema = pa.schema([(each, pa.string()) for each in unique([each[0] for each in described], how, reserved)])
    return rows.reading(_sqlite_tables(path, query, name, schema), schema, how)


def _connected(path: Path) -> sqlite3.Connection:
    """A connection that cannot write."""
    return sqlite3.connect(f"file:{urllib.parse.quote(str(path.absolute()))}?mode=ro", uri=True)


def _sqlite_tables(path: Path, query: str, name: str, schema: pa.Schema) -> Iterator[pa.Table]:
    with closing(_connected(path)) as connection:
        connection.text_factory = lambda value: value.decode(errors="backslashreplace")
        try:
            cursor = connection.execute(query)
            while part := cursor.fetchmany(_ROWS):
                columns = [
                    pa.array([_text(each) for each in column], pa.string()) for column in zip(*part, strict=True)
                ]
                yield pa.table(columns, schema=schema)
        except sqlite3.Error as error:
            raise _refused(name, str(error)) from error


def _text(value: object) -> str | None:
    if value is None or value == "":
        return None
    return f"\\x{value.hex()}" if isinstance(value, bytes) else str(value)


def _other(url: str, query: str, name: str, how: dict[str, str]) -> Reading:
    try:
        stream = connectorx.read_sql(url, query, return_type="arrow_stream", batch_size=_ROWS)
    except BaseException as error:  # noqa: BLE001 - it panics at unknown types, which is no Exception
        raise _translated(error, url, name) from None
    return rows.reading(_tables(stream, url, name), stream.schema, how)


def _tables(stream: pa.RecordBatchReader, url: str, name: str) -> Iterator[pa.Table]:
    batches = iter(stream)
    while True:
        try:
            batch = next(batches, None)
        except BaseException as error:  # noqa: BLE001 - as above
            raise _translated(error, url, name) from None
        if batch is None:
            return
        yield pa.Table.from_batches([batch])


def _translated(error: BaseException, url: str, name: str) -> BaseException:
    """The error to raise: without the URL and its password; what is no answer of the database as it is."""
    if not isinstance(error, (RuntimeError, ValueError, OSError)) and type(error).__name__ != _PANIC:
        return error
    text = first_line(error).replace(url, "the database")
    secret = urllib.parse.urlsplit(url).password
    for each in (secret, urllib.parse.unquote(secret)) if secret else ():
        text = text.replace(each, "…")
    return _refused(name, text)


def _refused(name: str, why: str) -> DataError:
    return DataError(
        f"The query of the source {name} gives no answer: {why}.",
        "Check `database`, the user's rights, and `query` by running it in the database's own shell.",
    )
