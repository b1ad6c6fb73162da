"""One table of types: Feast's, the packed row's and Polars'."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Final

import polars as pl
from feast import FeatureView, Field
from feast.feature_view import DUMMY_ENTITY_ID
from feast.types import Array, Bool, Bytes, FeastType, Float32, Float64, Int32, Int64, String, UnixTimestamp
from feast.value_type import ValueType

from motherlode.errors import StoreError
from motherlode.packed import Column


@dataclass(frozen=True, slots=True)
class Kind:
    """How a Feast value type is kept.

    Attributes:
        packed: its type in the packed row.
        proto: the field of Feast's `Value` that carries it.
        message: whether that field is a message that is kept as the bytes it has on the wire.
    """

    packed: str
    proto: str
    message: bool = False

    @property
    def collection(self) -> bool:
        """Whether the proto field is a message with a repeated `val`: a list or a set."""
        return self.packed.startswith("list<")


_SCALARS: Final = {
    ValueType.BYTES: Kind("bytes", "bytes_val"),
    ValueType.PDF_BYTES: Kind("bytes", "bytes_val"),
    ValueType.IMAGE_BYTES: Kind("bytes", "bytes_val"),
    ValueType.STRING: Kind("string", "string_val"),
    ValueType.JSON: Kind("string", "json_val"),
    ValueType.UUID: Kind("string", "uuid_val"),
    ValueType.TIME_UUID: Kind("string", "time_uuid_val"),
    ValueType.DECIMAL: Kind("string", "decimal_val"),
    ValueType.INT32: Kind("int32", "int32_val"),
    ValueType.INT64: Kind("int64", "int64_val"),
    ValueType.DOUBLE: Kind("float64", "double_val"),
    ValueType.FLOAT: Kind("float32", "float_val"),
    ValueType.BOOL: Kind("bool", "bool_val"),
    ValueType.UNIX_TIMESTAMP: Kind("timestamp", "unix_timestamp_val"),
}
_MESSAGES: Final = {
    ValueType.MAP: "map_val",
    ValueType.MAP_LIST: "map_list_val",
    ValueType.SCALAR_MAP: "scalar_map_val",
    ValueType.STRUCT: "struct_val",
    ValueType.STRUCT_LIST: "struct_list_val",
    ValueType.VALUE_LIST: "list_val",
    ValueType.VALUE_SET: "set_val",
    ValueType.ZONED_TIMESTAMP: "zoned_timestamp_val",
}
"""What nests, or carries more than a value."""
_COLLECTED: Final = ("BYTES", "STRING", "UUID", "TIME_UUID", "DECIMAL", "INT32", "INT64", "DOUBLE", "FLOAT", "BOOL")


def _kinds() -> dict[ValueType, Kind]:
    kinds = dict(_SCALARS)
    for name in (*_COLLECTED, "UNIX_TIMESTAMP"):
        scalar = _SCALARS[ValueType[name]]
        for shape in ("list", "set"):
            field = f"{scalar.proto.removesuffix('_val')}_{shape}_val"
            kinds[ValueType[f"{name}_{shape.upper()}"]] = Kind(f"list<{scalar.packed}>", field)
    kinds[ValueType.JSON_LIST] = Kind("list<string>", "json_list_val")
    kinds |= {value_type: Kind("bytes", field, message=True) for value_type, field in _MESSAGES.items()}
    return kinds


KINDS: Final[Mapping[ValueType, Kind]] = MappingProxyType(_kinds())
"""Every Feast value type that has a packed form. A set is kept as a list; maps, structs and whatever else nests, as
the bytes of Feast's proto."""

KEY_TYPES: Final = frozenset({ValueType.STRING, ValueType.INT32, ValueType.INT64, ValueType.UUID, ValueType.TIME_UUID})
"""What a join key may be: what has one text form, the same in Arrow and in Feast's protos."""

NO_ENTITY: Final = DUMMY_ENTITY_ID
"""Feast's join key of a view without entities."""

POLARS: Final[Mapping[str, pl.DataType]] = MappingProxyType(
    {
        "bool": pl.Boolean(),
        "int32": pl.Int32(),
        "int64": pl.Int64(),
        "float32": pl.Float32(),
        "float64": pl.Float64(),
        "timestamp": pl.Datetime("us", "UTC"),
        "string": pl.String(),
        "bytes": pl.Binary(),
    }
)
"""Packed scalar type → Polars type; a list's is `polars_type`."""

_FEAST: Final[Mapping[pl.DataType, FeastType]] = MappingProxyType(
    {
        pl.Boolean(): Bool,
        pl.Int32(): Int32,
        pl.Int64(): Int64,
        pl.Float32(): Float32,
        pl.Float64(): Float64,
        pl.String(): String,
        pl.Binary(): Bytes,
        pl.Datetime("us", "UTC"): UnixTimestamp,
    }
)


def polars_type(packed: str) -> pl.DataType:
    """The Polars type of a packed type."""
    if packed.startswith("list<"):
        return pl.List(POLARS[packed[5:-1]])
    return POLARS[packed]


def feast_type(dtype: pl.DataType) -> FeastType:
    """The Feast type of a feature's Polars type.

    Raises:
        StoreError: it has none.
    """
    inner = dtype.inner if isinstance(dtype, pl.List) else dtype
    found = _FEAST.get(inner if isinstance(inner, pl.DataType) else inner())
    if found is None:
        raise StoreError(f"A feature of type {dtype} cannot be stored.", f"Cast it to one of {list(map(str, _FEAST))}.")
    return Array(found) if isinstance(dtype, pl.List) else found


def kind(view: str, field: Field) -> Kind:
    """How a view's field is kept.

    Raises:
        StoreError: its type has no packed form, naming the field.
    """
    try:
        return KINDS[field.dtype.to_value_type()]
    except KeyError:  # Feast itself has no value type for some, such as a set of Json
        raise StoreError(
            f"Feature {field.name!r} of view {view!r} has type {field.dtype}, which the online store cannot keep.",
            "Use a scalar, a list or set of scalars, a map, a struct or Json.",
        ) from None


def columns(view: FeatureView) -> tuple[Column, ...]:
    """A view's features as packed columns, by name: their order in the definition changes nothing.

    Raises:
        StoreError: a feature has no packed form.
    """
    return tuple(sorted((Column(field.name, kind(view.name, field).packed) for field in view.features), key=_name))


def join_keys(view: FeatureView) -> tuple[str, ...]:
    """A view's join keys in their sorted order, as the online keys have them; none for a view without entities.

    Raises:
        StoreError: a join key's type has no single text form.
    """
    for field in view.entity_columns:
        if field.dtype.to_value_type() not in KEY_TYPES:
            raise StoreError(
                f"Join key {field.name!r} of view {view.name!r} has type {field.dtype}.",
                "Use String, Int32 or Int64.",
            )
    return tuple(sorted(field.name for field in view.entity_columns if field.name != NO_ENTITY))


def called(view: FeatureView) -> str:
    """What a view is called in the question: its alias, else its name."""
    return str(view.projection.name_to_use())  # type: ignore[no-untyped-call]


def ttl_us(view: FeatureView) -> int | None:
    """A view's time to live in microseconds; None where it has none or 0, which both mean forever."""
    ttl = getattr(view, "ttl", None)  # an on-demand view has none
    return None if not ttl else ttl // timedelta(microseconds=1)


def _name(column: Column) -> str:
    return column.name
