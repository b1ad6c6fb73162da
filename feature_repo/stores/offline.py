"""Feast's offline store: Parquet files, joined by Polars, on the GPU where there is one."""

import fcntl
import logging
import tempfile
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet
from feast import FeatureView, OnDemandFeatureView
from feast.data_source import DataSource
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalMetadata
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel, RepoConfig
from feast.utils import compute_non_entity_date_range

from feature_repo.mart import manifest
from feature_repo.mart.manifest import Manifest, Piece
from feature_repo.stores import dtypes, historical, labels
from feature_repo.stores.arrow import from_polars
from feature_repo.stores.job import MotherlodeRetrievalJob, write_parquet
from feature_repo.stores.join import EVENT, ROW
from feature_repo.stores.rows import micros
from feature_repo.stores.sources import Source, open_source
from feature_repo.stores.state import locate, settings_of, steadily, view_of
from motherlode import names
from motherlode.bundle import sha256
from motherlode.errors import DataError, StoreError
from motherlode.online.keys import entity_text
from motherlode.online.tombstones import Tombstones
from motherlode.settings import Settings

_LOG = logging.getLogger(__name__)
_OF_ALL: Final = -1
"""The partition of a piece with rows of any customers."""


class MotherlodeOfflineStoreConfig(FeastConfigBaseModel):
    """`offline_store` of feature_store.yaml.

    Attributes:
        type: this store.
        home: the state folder; MOTHERLODE_HOME by default, else `.motherlode`.
        device: auto, cpu or gpu; MOTHERLODE_DEVICE by default.
    """

    type: str = "feature_repo.stores.offline.MotherlodeOfflineStore"
    home: str | None = None
    device: str | None = None


class MotherlodeOfflineStore(OfflineStore):
    """Reads `FileSource`s of Parquet; joins them point in time by `feature_repo.stores.join`."""

    supports_filter_by_created_timestamp = True

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: Any,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> MotherlodeRetrievalJob:
        """The features of each label: every label row comes back once, in its order, with its own columns.

        Args:
            config, feature_views, feature_refs, registry, project, full_feature_names: as Feast gives them.
            entity_df: the labels, a pandas, Polars or PyArrow frame with `event_timestamp` (naive is UTC); None
                takes every entity that has a row between `start_date` and `end_date`, as of `end_date`.
            filter_by_created_timestamp: a feature row counts only from its created time on.
            start_date, end_date: without labels; by default now, and the longest TTL before it.

        Raises:
            StoreError, DataError: the labels are SQL, or they and the features do not fit, naming what.
        """
        wanted = historical.parts(feature_views, feature_refs, full=full_feature_names)
        if entity_df is None:
            span = compute_non_entity_date_range(feature_views, start_date, end_date)
            asked = historical.everybody(config, wanted, *span)
        else:
            asked = labels.read(entity_df)

        def join() -> pa.Table:
            return historical.features(config, asked, wanted, by_created=filter_by_created_timestamp)

        return MotherlodeRetrievalJob(
            config,
            lambda: historical.with_labels(asked, join()),
            full=full_feature_names,
            on_demand=OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry),
            metadata=RetrievalMetadata(
                features=feature_refs,
                keys=[name for name in asked.table.column_names if name != asked.time],
                min_event_timestamp=asked.span[0],
                max_event_timestamp=asked.span[1],
            ),
            features=join,
        )

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> MotherlodeRetrievalJob:
        """The newest row of each key with an event time from `start_date` to `end_date`, both included."""

        def evaluate(mart: Manifest) -> pa.Table:
            source = _raw(config, data_source, timestamp_field, created_timestamp_column, mart)
            source.require([*join_key_columns, *feature_name_columns])
            newest = source.newest(join_key_columns, _between(start_date, end_date)).select(ROW)
            frame = source.frame.join(newest, on=ROW, how="semi")
            return _pulled(source, frame, join_key_columns, feature_name_columns)

        return MotherlodeRetrievalJob(config, lambda: steadily(config, evaluate))

    @staticmethod
    def pull_all_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> MotherlodeRetrievalJob:
        """Every row with an event time from `start_date` to `end_date`, both included, in the source's order."""

        def evaluate(mart: Manifest) -> pa.Table:
            source = _raw(config, data_source, timestamp_field, created_timestamp_column, mart)
            source.require([*join_key_columns, *feature_name_columns])
            frame = source.frame.with_columns(source.event_us()).filter(_between(start_date, end_date))
            return _pulled(source, frame, join_key_columns, feature_name_columns)

        return MotherlodeRetrievalJob(config, lambda: steadily(config, evaluate))

    @staticmethod
    def offline_write_batch(
        config: RepoConfig,
        feature_view: FeatureView,
        table: pa.Table,
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Append rows to a view's source: a file more of a view in the mart, which no build drops; else a file anew.

        Readers see the rows before or the rows after.

        Raises:
            DataError: the columns are not the source's.
            StoreError: the source is no view in the mart and no local Parquet file.
        """
        settings, path = settings_of(config), getattr(feature_view.batch_source, "path", "")
        table = _living(settings, table)
        with manifest.flipping(settings):
            if view := view_of(path, manifest.read(settings)):
                _append(settings, view, feature_view, table)
            else:
                _rewrite(_writable(config, feature_view), feature_view, table)
        if progress:
            progress(table.num_rows)

    def validate_data_source(self, config: RepoConfig, data_source: DataSource) -> None:
        """Check a source as far as it is there: before the first snapshots `feast apply` has nothing to look at.

        Raises:
            StoreError, DataError: it cannot be read here, or lacks its time columns.
        """
        path = getattr(data_source, "path", None)
        if path is not None and view_of(path, manifest.read(settings_of(config))) is None:
            try:
                locate(config, path)
            except StoreError as error:
                _LOG.warning("%s", error)
                return
        open_source(config, data_source)

    def get_table_column_names_and_types_from_data_source(
        self, config: RepoConfig, data_source: DataSource
    ) -> Iterable[tuple[str, str]]:
        """A source's columns and their Arrow types, from which Feast infers a schema that was not declared."""
        source = open_source(config, data_source, mapped=False)
        empty = from_polars(pl.DataFrame(schema=source.schema))
        return [(field.name, str(field.type)) for field in empty.schema]


def _raw(config: RepoConfig, source: DataSource, time: str, created: str | None, mart: Manifest) -> Source:
    """A source under its own column names, as Feast's `pull_…` methods name them."""
    return open_source(config, source, time=time, created=created, mapped=False, mart=mart)


def _between(start: datetime | None, end: datetime | None) -> pl.Expr:
    after = pl.lit(True) if start is None else pl.col(EVENT) >= micros(start)
    return after if end is None else after & (pl.col(EVENT) <= micros(end))


def _pulled(source: Source, frame: pl.LazyFrame, keys: Sequence[str], features: Sequence[str]) -> pa.Table:
    """The columns that Feast expects of a pull: keys, features, times; a constant key where there is none."""
    columns = dict.fromkeys([*keys, *features, source.time, *([source.created] if source.created else [])])
    chosen = frame.sort(ROW).select(list(columns))
    if not keys:
        chosen = chosen.with_columns(pl.lit("").alias(dtypes.NO_ENTITY))
    return from_polars(chosen.collect(engine="streaming"))


def _living(settings: Settings, table: pa.Table) -> pa.Table:
    """The rows but for those of customers that were erased."""
    known = Tombstones(settings)
    if names.CUSTOMER_ID not in table.column_names or not known:
        return table
    entities = [entity_text([key]) for key in table.column(names.CUSTOMER_ID).to_pylist()]
    gone = known.among("customer", set(entities))
    return table.filter(pa.array([entity not in gone for entity in entities])) if gone else table


def _append(settings: Settings, view: str, feature_view: FeatureView, table: pa.Table) -> None:
    """Write rows as one more piece of a view in the mart, unless these very rows were written before."""
    mart = manifest.read(settings)
    built = mart.views[view]
    one = next(iter((*built.pieces, *built.written)), None)
    if one is None:
        raise StoreError(f"The mart has no file of view {view!r}.", manifest.BUILD)
    like = pyarrow.parquet.read_schema(settings.mart / one.path)
    with tempfile.TemporaryDirectory(dir=settings.mart) as folder:
        scratch = Path(folder) / "piece.parquet"
        write_parquet(_fitted(table, like, feature_view), scratch)
        digest = sha256(scratch)
        path = f"{view}/written.{digest[:16]}.parquet"
        (settings.mart / view).mkdir(exist_ok=True)
        scratch.replace(settings.mart / path)
    piece = Piece(path=path, partition=_OF_ALL, era="", rows=table.num_rows, sha256=digest)
    if piece not in built.written:
        more = msgspec.structs.replace(built, written=(*built.written, piece))
        manifest.write(settings, msgspec.structs.replace(mart, views={**mart.views, view: more}))


def _rewrite(place: Path, feature_view: FeatureView, table: pa.Table) -> None:
    """Write a file anew with more rows."""
    # Two writers would each read the old rows and the second would drop the first one's; `flipping` is of one home.
    with (place.parent / f".{place.name}.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        old = pyarrow.parquet.read_table(place)
        write_parquet(pa.concat_tables([old, _fitted(table, old.schema, feature_view)]), place)


def _fitted(table: pa.Table, schema: pa.Schema, view: FeatureView) -> pa.Table:
    """The rows in the columns of a source, in their order and types."""
    if set(table.column_names) != set(schema.names):
        raise DataError(
            f"The rows have the columns {', '.join(table.column_names)}; the source of view "
            f"{view.name!r} has {', '.join(schema.names)}.",
            "Give exactly these.",
        )
    return table.select(schema.names).cast(schema)


def _writable(config: RepoConfig, view: FeatureView) -> Path:
    place = locate(config, getattr(view.batch_source, "path", ""))
    if not isinstance(place, Path) or not place.is_file():
        raise StoreError(
            f"The source of view {view.name!r} is {place}.", "Only a local Parquet file can be written to."
        )
    return place
