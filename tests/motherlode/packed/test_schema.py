"""A schema's fingerprint, and what it serves."""

import numpy as np
import pytest

from motherlode.errors import SchemaError
from motherlode.packed import Column, Schema
from tests.motherlode.packed.tables import pack

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


def test_a_row_begins_with_its_schemas_mark() -> None:
    (row,) = pack(SCHEMA, [{"a": 1.0, "b": None}])
    assert row[4:16] == SCHEMA.mark
    assert np.frombuffer(row[: SCHEMA.layout.itemsize], SCHEMA.layout)["fingerprint"][0] == SCHEMA.fingerprint
