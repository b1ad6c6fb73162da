"""What the mapping leaves out comes from the source, then from the file, then from the contract."""

from pathlib import Path

import pytest

from feature_repo.warehouse.contract import MAPPED, TABLES
from feature_repo.warehouse.mapping import casts, columns, model
from feature_repo.warehouse.mapping.model import ColumnMap
from feature_repo.warehouse.mapping.read import parse


@pytest.mark.parametrize(
    ("source", "column", "found", "decimal", "thousands"),
    [
        ("", {}, {}, ".", None),
        ("decimal: ','", {}, {}, ",", None),
        ("thousands: '.'", {}, {}, ",", "."),
        ("thousands: ','", {}, {"decimal": ","}, ".", ","),
        ("decimal: ','", {"decimal": "."}, {"decimal": ","}, ".", None),
        ("", {}, {"decimal": ",", "thousands": "."}, ",", "."),
        ("decimal: '.'", {}, {"decimal": ",", "thousands": "."}, ".", None),
        ('thousands: "\'"', {}, {"decimal": ","}, ",", "'"),
    ],
)
def test_signs_are_the_columns_the_sources_or_the_files(
    source: str, column: dict[str, str], found: dict[str, str], decimal: str, thousands: str | None
) -> None:
    text = (
        f"company: C\nsources:\n  s: {{files: f.csv, {source}}}\n"
        "tables: {items: {from: s, columns: {item_id: i}}}\n"
    )
    mapping = parse(text.encode(), Path("m.yaml")).mapping
    reading = columns.reading(mapping, "s", ColumnMap(from_="x", **column), found)  # type: ignore[arg-type]
    assert (reading.decimal, reading.thousands) == (decimal, thousands)


def test_every_canonical_column_has_a_kind_of_its_own_type() -> None:
    for table in MAPPED:
        for name, column in TABLES[table].columns.items():
            if not column.derived:
                assert casts.DTYPES[columns.kind(table, name, ColumnMap())] == column.dtype


def test_a_lookups_keys_are_written_in_three_ways() -> None:
    for on in ("a", ["a"], {"a": "a"}):
        assert columns.joined(model.Join(source="s", on=on)) == {"a": "a"}
    assert columns.joined(model.Join(source="s", on={"a": "b"})) == {"a": "b"}
