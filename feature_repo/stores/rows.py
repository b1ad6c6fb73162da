"""A feature view's rows on their way to Redis: which key, which bytes, and when they may be forgotten."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
from feast import FeatureView
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from feature_repo.stores import dtypes
from feature_repo.stores.join import CREATED, EVENT
from feature_repo.stores.protos import from_protos
from feature_repo.stores.values import from_series
from motherlode import names
from motherlode.errors import DataError, StoreError
from motherlode.online.keys import ESCAPES, entity_text, ordered
from motherlode.online.writer import Target
from motherlode.packed import Ragged, Schema, Values, encode

GRACE: Final = timedelta(days=30)
"""How long a row outlives its time to live, so that *stale* and *unknown* stay two answers."""

_WHOLE: Final = 2**53
"""Up to here floats tell whole numbers apart."""
_MICROSECOND: Final = timedelta(microseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

FeastRow = tuple[EntityKey, dict[str, Value], datetime, datetime | None]
"""What Feast hands to an online store: key, values, event time, created time."""


@dataclass(frozen=True)
class Packed:
    """N rows, ready to write.

    Attributes:
        entities: N entity texts.
        rows: N packed rows.
        forget_at_ms: shape (N,), when Redis may free them, milliseconds since 1970; None: never.
    """

    entities: list[str]
    rows: list[bytes]
    forget_at_ms: npt.NDArray[np.int64] | None


class Packer:
    """Packs the rows of one feature view.

    Args:
        view: the feature view, as the registry has it.

    Attributes:
        keys: its join keys in the order of an entity text; none for a view without entities.
        schema: its packed columns.
        target: its rows in Redis.

    Raises:
        StoreError: one of its features or join keys cannot be kept, naming it.
    """

    def __init__(self, view: FeatureView) -> None:
        self.keys = ordered(dtypes.join_keys(view), names.CUSTOMER_ID)
        self.schema = Schema(view.name, dtypes.columns(view))
        owned = names.CUSTOMER_ID in self.keys
        self.target = Target(view.name, owned=owned, indexed=owned and len(self.keys) > 1)
        self._kinds = {field.name: dtypes.kind(view.name, field) for field in view.features}
        ttl = dtypes.ttl_us(view)
        self._keep_us = None if ttl is None else ttl + GRACE // _MICROSECOND

    @property
    def mark(self) -> str:
        """What a view as a whole was written as: with other columns, or to be kept for longer or shorter, another."""
        return self.schema.mark + ("" if self._keep_us is None else f" {self._keep_us}")

    def horizon_us(self, now_us: int) -> int | None:
        """Rows with an event time up to here would be forgotten at once; None: none would."""
        return None if self._keep_us is None else now_us - self._keep_us

    def from_frame(self, frame: pl.DataFrame) -> Packed:
        """Pack a frame of the keys, the features in the types of `dtypes.polars_type`, EVENT and CREATED."""
        event = frame[EVENT].to_numpy()
        columns = {column.name: from_series(frame[column.name], column) for column in self.schema.columns}
        return self._pack(_texts(frame, self.keys), columns, event, frame[CREATED].fill_null(frame[EVENT]).to_numpy())

    def from_feast(self, data: Sequence[FeastRow], now_us: int) -> Packed:
        """Pack what Feast hands to `online_write_batch`; rows that would be forgotten at once are left out.

        Raises:
            DataError: a row has no event time, or a value of another type than its view declares.
        """
        for number, row in enumerate(data):
            if row[2] is None or row[2] != row[2]:  # pandas' NaT is not itself
                raise DataError(
                    f"Row {number} of {len(data)} for view {self.schema.view!r} has no event time.",
                    "Give each row its event time; nothing of the batch was written.",
                )
        horizon = self.horizon_us(now_us)
        kept = [row for row in data if horizon is None or micros(row[2]) > horizon]
        event = np.array([micros(row[2]) for row in kept], dtype=np.int64)
        # Without a created time the event's stands for it: of two such rows the later written wins.
        created = np.array([micros(row[3] or row[2]) for row in kept], dtype=np.int64)
        columns = {
            column.name: from_protos([row[1].get(column.name) for row in kept], column, self._kinds[column.name])
            for column in self.schema.columns
        }
        return self._pack([entity_of(row[0]) for row in kept], columns, event, created)

    def _pack(
        self,
        entities: list[str],
        columns: Mapping[str, Values | Ragged],
        event: npt.NDArray[np.int64],
        created: npt.NDArray[np.int64],
    ) -> Packed:
        forget = None if self._keep_us is None else (event + self._keep_us) // 1000
        return Packed(entities, encode(self.schema, columns, event, created), forget)


def entity_of(key: EntityKey) -> str:
    """The entity text of Feast's entity key.

    Raises:
        StoreError: a join key has no value, or one without a single text form.
    """
    values = dict(zip(key.join_keys, key.entity_values, strict=True))
    return entity_text([_key_value(name, values[name]) for name in ordered(list(values), names.CUSTOMER_ID)])


def _key_value(name: str, value: Value) -> int | str:
    field = value.WhichOneof("val")
    found = None if field is None else getattr(value, field)
    if not isinstance(found, int | str) or isinstance(found, bool):
        raise StoreError(f"Join key {name!r} is {found!r}.", "Give a string or an integer.")
    return found


def micros(time: datetime) -> int:
    """A time as microseconds since 1970 UTC; a naive one is UTC."""
    aware = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
    return (aware - _EPOCH) // _MICROSECOND


def _texts(frame: pl.DataFrame, keys: Sequence[str]) -> list[str]:
    """`entity_text` of every row.

    Raises:
        StoreError: a join key is null, naming it.
    """
    if not keys:
        return [entity_text([""])] * frame.height
    for name in keys:
        if frame[name].null_count():
            raise StoreError(f"Join key {name!r} is None.", "Give a string or an integer.")
    texts = (_text(frame[name]).str.replace_many(list(ESCAPES), list(ESCAPES.values())) for name in keys)
    return pl.select(pl.concat_str(list(texts), separator="|")).to_series().to_list()


def _text(key: pl.Series) -> pl.Series:
    """A join key as text: of whole numbers that came as floats, as pandas has it beside a null, the whole numbers'.

    Raises:
        DataError: a float is no whole number that a float can tell from its neighbours.
    """
    if key.dtype.is_float():
        wrong = key.filter(~((key == key.round()) & (key.abs() <= _WHOLE)))
        if len(wrong):
            raise DataError(
                f"Join key {key.name!r} is {wrong[0]!r}, a float.", "Write it as an integer or a string column."
            )
        key = key.cast(pl.Int64)
    return key.cast(pl.String)
