"""Feast's retrieval job: an answer that is computed when it is asked for."""

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.repo_config import RepoConfig
from feast.saved_dataset import SavedDatasetStorage

from feature_repo.stores.state import place
from motherlode.errors import StoreError

_NULLABLE = {
    "int8": pd.Int8Dtype(),
    "int16": pd.Int16Dtype(),
    "int32": pd.Int32Dtype(),
    "int64": pd.Int64Dtype(),
    "uint8": pd.UInt8Dtype(),
    "uint16": pd.UInt16Dtype(),
    "uint32": pd.UInt32Dtype(),
    "uint64": pd.UInt64Dtype(),
}


class MotherlodeRetrievalJob(RetrievalJob):
    """An answer to come.

    Args:
        config: where a saved data set is put.
        evaluate: computes the table.
        full: whether features are called `view__feature`.
        on_demand: the on-demand views that Feast computes on the table.
        metadata: what was asked; None where nothing was joined.
        features: computes the features alone, one row a label; None where nothing was joined.
    """

    def __init__(
        self,
        config: RepoConfig,
        evaluate: Callable[[], pa.Table],
        *,
        full: bool = False,
        on_demand: Sequence[OnDemandFeatureView] = (),
        metadata: RetrievalMetadata | None = None,
        features: Callable[[], pa.Table] | None = None,
    ) -> None:
        self._config = config
        self._evaluate = evaluate
        self._full = full
        self._on_demand = list(on_demand)
        self._metadata = metadata
        self._features = features

    @property
    def full_feature_names(self) -> bool:
        return self._full

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        return self._on_demand

    @property
    def metadata(self) -> RetrievalMetadata | None:
        return self._metadata

    def features(self) -> pl.DataFrame:
        """The features alone, one row a label in the labels' order; without on-demand features.

        Raises:
            StoreError: nothing was joined.
        """
        if self._features is None:
            raise StoreError("This job joined no labels.", "Use to_arrow().")
        return pl.DataFrame(pl.from_arrow(self._features()))

    def to_df(self, validation_reference: Any = None, timeout: int | None = None) -> pd.DataFrame:
        """The answer as pandas: an integer column with nulls is a nullable integer there, never a float."""
        table = self.to_arrow(validation_reference=validation_reference, timeout=timeout)
        gaps = {
            field.name: column.to_pandas(types_mapper=lambda dtype: _NULLABLE.get(str(dtype)))
            for field, column in zip(table.schema, table.columns, strict=True)
            if column.null_count and str(field.type) in _NULLABLE
        }
        # Arrow's columns go while pandas' come, so that memory never holds the answer twice.
        frame = table.to_pandas(self_destruct=True)
        del table
        for name, column in gaps.items():
            frame[name] = column
        return frame if isinstance(frame.index, pd.RangeIndex) else frame.reset_index(drop=True)

    def persist(self, storage: SavedDatasetStorage, allow_overwrite: bool = False, timeout: int | None = None) -> None:
        """Write the answer as a saved data set: one Parquet file, or a folder with one.

        Raises:
            StoreError: the storage is no file.
            SavedDatasetLocationAlreadyExists: it is there already and may not be overwritten.
        """
        if not isinstance(storage, SavedDatasetFileStorage):
            raise StoreError(f"The storage is a {type(storage).__name__}.", "Use SavedDatasetFileStorage.")
        target = place(self._config, storage.file_options.uri)
        if target.exists() and not allow_overwrite:
            raise SavedDatasetLocationAlreadyExists(location=storage.file_options.uri)
        write_parquet(self.to_arrow(timeout=timeout), target if target.suffix else target / "part-0.parquet")

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        return self._evaluate()

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        return self.to_df(timeout=timeout)


def write_parquet(table: pa.Table, target: Path) -> None:
    """Write a table, whole or not at all: beside its place first, then renamed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".writing-", suffix=".tmp", dir=target.parent)
    scratch = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            pyarrow.parquet.write_table(table, file)
            file.flush()
            os.fsync(file.fileno())
        scratch.chmod(0o644)
        scratch.replace(target)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
