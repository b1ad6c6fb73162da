"""Delta and Iceberg tables, by their folder or their URL: all rows of the newest version."""

import re
from collections.abc import Iterator
from pathlib import Path

import deltalake
import deltalake.exceptions
import pyarrow as pa
import pyiceberg.exceptions
from pyiceberg.table import StaticTable

from feature_repo.warehouse.sources import cloud, rows
from feature_repo.warehouse.sources.parquet import first_line
from feature_repo.warehouse.sources.reading import Reading
from motherlode.errors import DataError


def read_delta(uri: str, name: str) -> Reading:
    """Open a Delta table; `how["version"]` is the one that is read.

    Raises:
        DataError: it is no Delta table, or cannot be read.
    """
    try:
        table = deltalake.DeltaTable(uri)
        answer = deltalake.QueryBuilder().register("rows", table).execute("SELECT * FROM rows")
        stream = pa.RecordBatchReader.from_stream(answer)
    except (deltalake.exceptions.DeltaError, OSError, pa.ArrowException) as error:
        raise _unusable("Delta", name, error) from error
    how = {"version": str(table.version())}
    return rows.reading(_tables("Delta", name, stream), stream.schema, how)


def read_iceberg(uri: str, name: str) -> Reading:
    """Open an Iceberg table, by its folder or by one `….metadata.json`; `how["version"]` is the snapshot's id.

    Raises:
        DataError: it is no Iceberg table, or cannot be read.
    """
    metadata = uri if uri.endswith(".metadata.json") else _newest(uri, name)
    try:
        table = StaticTable.from_metadata(metadata)
        snapshot = table.current_snapshot()
        stream = table.scan().to_arrow_batch_reader()
    except (OSError, ValueError, KeyError, pa.ArrowException, pyiceberg.exceptions.NoSuchTableError) as error:
        raise _unusable("Iceberg", name, error) from error
    how = {"version": "empty" if snapshot is None else str(snapshot.snapshot_id)}
    return rows.reading(_tables("Iceberg", name, stream), stream.schema, how)


def _newest(folder: str, name: str) -> str:
    """The newest metadata file of a table's folder, by the number that its name begins with."""
    if cloud.is_url(folder):
        found = [each.uri for each in cloud.entries(f"{folder.rstrip('/')}/metadata/*.metadata.json", name)]
    else:
        found = [str(each) for each in Path(folder, "metadata").glob("*.metadata.json")]
    if not found:
        raise DataError(f"{name} is no Iceberg table: it has no metadata/*.metadata.json.", "Name the table's folder.")
    return max(found, key=lambda each: (_number(each), each))


def _number(path: str) -> int:
    """00012-…metadata.json, or v12.metadata.json."""
    match = re.match(r"v?(\d+)", path.rpartition("/")[2])
    return int(match[1]) if match else -1


def _tables(kind: str, name: str, stream: pa.RecordBatchReader) -> Iterator[pa.Table]:
    try:
        for batch in stream:
            yield pa.Table.from_batches([batch])
    except (deltalake.exceptions.DeltaError, OSError, ValueError, pa.ArrowException) as error:
        raise _unusable(kind, name, error) from error


def _unusable(kind: str, name: str, error: Exception) -> DataError:
    return DataError(
        f"{name} cannot be read as {kind}: {first_line(error)}.",
        "Check the path and that all its files are there; a moved table may name files where they were before.",
    )
