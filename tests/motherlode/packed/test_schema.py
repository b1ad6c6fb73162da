"""A schema's fingerprint, and what it serves."""

import pytest

from motherlode.errors import SchemaError
from motherlode.packed import Column, Schema

SCHEMA = Schema("v", (Column("a", "float32"), Column("b", "list<string>")))


def test_the_fingerprint_tells_names_types_and_order_apart() -> None:
    schemas = [
        SCHEMA,
        Schema("w", SCHEMA.columns),
        Schema("v", SCHEMA.columns[::-1]),
        Schema("v", (Column("a", "float64"), Column("b", "list<string>"))),
    ]
    assert len({schema.fingerprint for schema in schemas}) == len(schemas)
    assert Schema.from_json(SCHEMA.to_json()).fingerprint == SCHEMA.fingerprint


def test_a_lost_or_retyped_column_is_named() -> None:
    retyped = Schema("v", (Column("a", "float64"), Column("b", "list<string>")))
    with pytest.raises(SchemaError, match="'a' of view 'v' is float64, not float32"):
        retyped.require(SCHEMA.columns)
    with pytest.raises(SchemaError, match="no longer has the column 'a'"):
        Schema("v", (Column("b", "list<string>"),)).require(SCHEMA.columns)
    SCHEMA.require(SCHEMA.columns[1:])


def test_a_type_that_is_none_is_refused() -> None:
    with pytest.raises(SchemaError, match="type 'decimal'"):
        Column("x", "decimal")


def test_the_mark_tells_formats_and_columns_apart() -> None:
    assert SCHEMA.mark == f"2-{SCHEMA.fingerprint:08x}"
    assert SCHEMA.mark != Schema("w", SCHEMA.columns).mark


def test_a_schema_serves_the_columns_that_it_has_with_their_types() -> None:
    assert SCHEMA.serves(SCHEMA.columns[1:])
    assert not SCHEMA.serves([Column("a", "float64")])
    assert not SCHEMA.serves([*SCHEMA.columns, Column("c", "bool")])
