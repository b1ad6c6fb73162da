"""A catalogue entry as a Feast feature view."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Protocol

import polars as pl
from feast import Entity, FeatureView, Field, FileSource

from feature_repo.stores.dtypes import feast_type
from motherlode import names


class Meaning(Protocol):
    """What a field is declared from; `feature_repo.features.view.Feature` is one."""

    @property
    def dtype(self) -> pl.DataType: ...
    @property
    def unit(self) -> str: ...
    @property
    def doc(self) -> str: ...


class Entry(Protocol):
    """What a view is declared from; `feature_repo.features.view.View` is one."""

    @property
    def name(self) -> str: ...
    @property
    def meanings(self) -> Mapping[str, Meaning]: ...
    @property
    def ttl(self) -> timedelta: ...
    @property
    def doc(self) -> str: ...


def feature_view(entry: Entry, entity: Entity) -> FeatureView:
    """The feature view of an entry, over `<name>.parquet` in the mart.

    Args:
        entry: its name, features with their types, time to live and description.
        entity: whose features they are.

    Raises:
        StoreError: a feature has a type that cannot be stored.
    """
    source = FileSource(
        name=f"{entry.name}_snapshots",
        path=f"{entry.name}.parquet",
        timestamp_field=names.EVENT_TIMESTAMP,
        created_timestamp_column=names.CREATED_TIMESTAMP,
        description=f"Snapshots of {entry.name} in the mart.",
    )
    return FeatureView(
        name=entry.name,
        entities=[entity],
        ttl=entry.ttl,
        schema=[
            Field(name=name, dtype=feast_type(it.dtype), description=it.doc, tags={"unit": it.unit} if it.unit else {})
            for name, it in entry.meanings.items()
        ],
        source=source,
        description=entry.doc,
    )
