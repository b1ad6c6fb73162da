"""Excel sheets: every cell as text, dates by ISO 8601, rows by their number in the sheet."""

from collections.abc import Iterator
from typing import Final

import fastexcel
import polars as pl
import pyarrow as pa

from feature_repo.warehouse.mapping.model import Source
from feature_repo.warehouse.sources.content import Content
from feature_repo.warehouse.sources.parquet import first_line
from feature_repo.warehouse.sources.reading import Batch, Reading, unique
from motherlode.errors import DataError

_MIDNIGHT: Final = " 00:00:00"
_TIME: Final = r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}"


def read(content: Content, source: Source, reserved: frozenset[str]) -> Reading:
    """Open a sheet: the one that `sheet` names, or the first.

    A cell with an error (#N/A, #REF!) holds nothing.

    Raises:
        DataError: it is no workbook, has no such sheet, or the sheet is empty.
    """
    data = b"".join(content.chunks())
    if not data:
        raise DataError(f"{content.name} is empty.", "Export it again, or leave it out.")
    frame, sheet = _sheet(content.name, data, source.sheet)
    frame = frame.with_row_index("_number", offset=1)[source.skip :]
    frame = frame.filter(pl.any_horizontal(pl.exclude("_number").is_not_null()))
    if frame.is_empty():
        raise DataError(
            f"The sheet {sheet!r} of {content.name} is empty.", "State another `sheet`, or a smaller `skip`."
        )
    how = {"sheet": sheet}
    numbers, cells = frame["_number"], frame.drop("_number")
    header = [value or "" for value in cells.row(0)] if source.header else []
    cells, numbers = (cells[1:], numbers[1:]) if source.header else (cells, numbers)
    names = unique(_names(content.name, header, source, cells), how, reserved)
    cells = cells[:, : len(names)]
    cells.columns = names
    cells = cells.with_columns(_cleaned(cells[name], source.null_values) for name in names)
    table = pa.table({name: cells[name].to_arrow().cast(pa.string()) for name in names})
    return Reading(_once(Batch(table, numbers.to_arrow().cast(pa.uint32()))), how, table.schema)


def sheets(content: Content) -> list[str]:
    """The names of a workbook's sheets, in their order.

    Raises:
        DataError: it is no workbook.
    """
    return list(_book(content.name, b"".join(content.chunks())).sheet_names)


def _once(batch: Batch) -> Iterator[Batch]:
    yield batch


def _sheet(name: str, data: bytes, wanted: str | int | None) -> tuple[pl.DataFrame, str]:
    """All cells of a sheet as text, from its first row on, and the sheet's name."""
    book = _book(name, data)
    try:
        at = wanted if isinstance(wanted, str) else (wanted or 1) - 1
        if isinstance(at, int) and not 0 <= at < len(book.sheet_names):
            raise _no_sheet(name, wanted, book.sheet_names)
        if isinstance(at, str) and at not in book.sheet_names:
            raise _no_sheet(name, wanted, book.sheet_names)
        sheet = book.load_sheet(at, header_row=None, skip_rows=0, dtypes="string")
        return pl.DataFrame(sheet.to_polars()), str(sheet.name)
    except fastexcel.FastExcelError as error:
        raise _damaged(name, error) from error


def _book(name: str, data: bytes) -> fastexcel.ExcelReader:
    try:
        return fastexcel.read_excel(data)
    except fastexcel.FastExcelError as error:
        raise _damaged(name, error) from error


def _damaged(name: str, error: Exception) -> DataError:
    return DataError(
        f"{name} cannot be read as Excel: {first_line(error)}.", "Save it again as .xlsx, without a password."
    )


def _no_sheet(name: str, wanted: str | int | None, sheets: list[str]) -> DataError:
    return DataError(f"{name} has no sheet {wanted!r}.", f"It has: {', '.join(sheets)}; numbers count from 1.")


def _names(name: str, header: list[str], source: Source, cells: pl.DataFrame) -> list[str]:
    """The columns' names; what stands right of the last named column is cut off where it is empty."""
    if source.columns is not None:
        header = source.columns
    if not header:
        return [f"column_{number}" for number in range(1, cells.width + 1)]
    used = max((at for at in range(cells.width) if cells[:, at].null_count() < cells.height), default=-1) + 1
    named = max((at for at, each in enumerate(header) if each.strip()), default=-1) + 1
    if source.columns is not None and used > len(header):
        raise DataError(
            f"{name} has {used} columns, and `columns` names {len(header)}.", "Name every column, in order."
        )
    width = min(max(used, named), cells.width)
    return (header + [""] * width)[:width]


def _cleaned(column: pl.Series, null_values: list[str]) -> pl.Series:
    """A column of text; dates without the midnight that the format keeps for them."""
    column = column.cast(pl.String)
    column = column.set(column.is_in(["", *null_values]), None)
    times = column.drop_nulls().filter(column.drop_nulls().str.contains(_TIME))
    if len(times) and bool(times.str.ends_with(_MIDNIGHT).all()):
        return column.str.strip_suffix(_MIDNIGHT)
    return column
