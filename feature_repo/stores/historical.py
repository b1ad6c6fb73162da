"""Point-in-time joined features: which views and features were asked for, and their values label by label."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl
import pyarrow as pa
from feast import FeatureView
from feast.repo_config import RepoConfig

from feature_repo.mart.manifest import Manifest
from feature_repo.stores import dtypes
from feature_repo.stores.arrow import from_polars
from feature_repo.stores.join import EVENT, ROW, pick, take
from feature_repo.stores.labels import Labels, key_type, read
from feature_repo.stores.lookup import Lookup
from feature_repo.stores.rows import micros
from feature_repo.stores.sources import Source, open_view
from feature_repo.stores.state import settings_of, steadily
from motherlode import names
from motherlode.compute import choose, room
from motherlode.errors import StoreError


@dataclass(frozen=True)
class Part:
    """What is asked of one view.

    Attributes:
        view: the feature view, with its projection: name, features, join-key aliases.
        features: the features' names in the source.
        called: their names in the answer.
    """

    view: FeatureView
    features: tuple[str, ...]
    called: tuple[str, ...]

    @property
    def keys(self) -> dict[str, str]:
        """Join key in the source → column of the labels."""
        alias = self.view.projection.join_key_map
        return {name: alias.get(name, name) for name in self.view.join_keys if name != dtypes.NO_ENTITY}


def parts(views: Sequence[FeatureView], references: Sequence[str], *, full: bool) -> list[Part]:
    """Group references ("view:feature") by view, in the order they are asked for.

    Args:
        views: the views that Feast resolved, one an alias.
        references: every one; those of on-demand views are Feast's own business and left out.
        full: whether a feature is called `view__feature`.

    Raises:
        StoreError: two features would have the same name.
    """
    asked: dict[str, dict[str, None]] = {dtypes.called(view): {} for view in views}
    for reference in references:
        view, _, feature = reference.rpartition(":")
        if view in asked:
            asked[view][feature] = None
    found = [
        Part(view, tuple(features), tuple(f"{name}__{feature}" if full else feature for feature in features))
        for view in views
        for name, features in [(dtypes.called(view), asked[dtypes.called(view)])]
    ]
    _refuse_twice([name for part in found for name in part.called])
    return found


def features(config: RepoConfig, labels: Labels, wanted: Sequence[Part], *, by_created: bool) -> pa.Table:
    """The features of each label, by point-in-time join, in the labels' order.

    Args:
        config: where sources lie, and on what device to compute.
        labels: what is asked about.
        wanted: which features.
        by_created: a feature row counts only from its created time on.

    Raises:
        StoreError, DataError: a feature has the name of a label column, or labels and features do not fit.
    """
    own = set(labels.table.column_names)
    for part in wanted:
        for name in part.called:
            if name in own:
                raise StoreError(
                    f"The labels have a column {name!r}, and so is a feature of view {part.view.name!r} called.",
                    "Ask with full_feature_names=True, or rename the label column.",
                )
    compute = choose(settings_of(config).device)
    asked = [part for part in wanted if part.features]
    if compute.kind == "cpu":
        return steadily(config, lambda mart: by_search(config, labels, asked, mart, by_created=by_created))
    collect = room(compute).collect
    return steadily(config, lambda mart: by_union(config, labels, asked, mart, collect, by_created=by_created))


def by_search(
    config: RepoConfig, labels: Labels, wanted: Sequence[Part], mart: Manifest, *, by_created: bool
) -> pa.Table:
    """The CPU's plan of `features`, on one state of the mart."""
    lookup = Lookup(labels, by_created=by_created)
    columns: dict[str, pa.Array] = {}
    for part in wanted:
        source = open_view(config, part.view, mart)
        source.require([*part.keys, *part.features])
        found = lookup.columns(source, part.keys, part.features, ttl_us=dtypes.ttl_us(part.view))
        for name, called, column in zip(part.features, part.called, found, strict=True):
            columns[called] = _declared(part, name, column)
    return pa.table(columns)


def by_union(
    config: RepoConfig,
    labels: Labels,
    wanted: Sequence[Part],
    mart: Manifest,
    collect: Callable[[pl.LazyFrame], pl.DataFrame],
    *,
    by_created: bool,
) -> pa.Table:
    """The GPU's plan of `features`, on one state of the mart; `collect` is a room's."""
    frames = [collect(_joined(config, labels, part, mart, by_created)) for part in wanted]
    return from_polars(pl.concat(frames, how="horizontal") if frames else pl.DataFrame())


def _declared(part: Part, feature: str, column: pa.Array) -> pa.Array:
    """A column that holds nothing but nulls and has no type of its own, in its declared one."""
    field = next((field for field in part.view.features if field.name == feature), None)
    if field is None or not pa.types.is_null(column.type):
        return column
    kind = dtypes.kind(part.view.name, field)
    declared = from_polars(pl.DataFrame(schema={feature: dtypes.polars_type(kind.packed)}))
    return pa.nulls(len(column), declared.schema.field(0).type)


def _joined(config: RepoConfig, labels: Labels, part: Part, mart: Manifest, by_created: bool) -> pl.LazyFrame:
    """The plan of one view's features, one row a label."""
    source = open_view(config, part.view, mart)
    source.require([*part.keys, *part.features])
    ttl = dtypes.ttl_us(part.view)
    targets = [(f"@key{i}", key_type(source.schema[name])) for i, name in enumerate(part.keys)]
    keys = [name for name, _ in targets]
    asking = labels.keyed(list(part.keys.values()), targets)
    rows = source.frame.select(
        *(pl.col(name).cast(dtype).alias(key) for name, (key, dtype) in zip(part.keys, targets, strict=True)),
        source.event_us(),
        source.created_us(),
        ROW,
    )
    if labels.span_us is not None:
        first, last = labels.span_us
        rows = rows.filter(pl.col(EVENT) <= last)
        if ttl is not None:
            rows = rows.filter(pl.col(EVENT) >= first - ttl)
    if not keys:
        # A view without entities has one key: everything.
        keys = ["@all"]
        everything = pl.lit(0, dtype=pl.Int64).alias("@all")
        asking, rows = asking.with_columns(everything), rows.with_columns(everything)
    dated = by_created and source.created is not None
    picked = pick(asking, rows, keys, ttl_us=ttl, by_created=dated)
    return take(picked, source.frame.select(ROW, *_typed(source, part)), part.called)


def _typed(source: Source, part: Part) -> list[pl.Expr]:
    """The features under their names in the answer; a column that holds nothing but nulls in its declared type."""
    declared = {field.name: field for field in part.view.features}
    columns: list[pl.Expr] = []
    for name, called in zip(part.features, part.called, strict=True):
        column = pl.col(name)
        if source.schema[name] == pl.Null and name in declared:
            column = column.cast(dtypes.polars_type(dtypes.kind(part.view.name, declared[name]).packed))
        columns.append(column.alias(called))
    return columns


def everybody(config: RepoConfig, wanted: Sequence[Part], start: datetime, end: datetime) -> Labels:
    """Labels where the user gave none: every entity with a row between two times, asked about at the later.

    Raises:
        StoreError: the views have different join keys.
    """
    keys = {tuple(sorted(part.keys.values())) for part in wanted}
    if len(keys) != 1:
        raise StoreError(
            f"Without labels the views must share their join keys; here they are {sorted(keys)}.", "Give labels."
        )
    within = pl.col(EVENT).is_between(micros(start), micros(end))
    ordered = sorted(keys.pop())
    entities = steadily(config, lambda mart: _entities(config, wanted, ordered, within, mart))
    return read(entities.with_columns(pl.lit(end, dtype=pl.Datetime("us", "UTC")).alias(names.EVENT_TIMESTAMP)))


def _entities(
    config: RepoConfig, wanted: Sequence[Part], ordered: Sequence[str], within: pl.Expr, mart: Manifest
) -> pl.DataFrame:
    found = []
    for part in wanted:
        source = open_view(config, part.view, mart)
        source.require(list(part.keys))
        columns = (pl.col(name).cast(key_type(source.schema[name])).alias(as_) for name, as_ in part.keys.items())
        dated = source.frame.select(*columns, source.event_us()).filter(within)
        found.append(dated.select(ordered).drop_nulls().unique())
    if not ordered:
        # One entity, and a column for its time to stand beside.
        return pl.DataFrame({names.EVENT_TIMESTAMP: [None]})
    return pl.concat(found).unique().sort(ordered).collect(engine="streaming")


def with_labels(labels: Labels, joined: pa.Table) -> pa.Table:
    """The labels' own columns as they came, then the features."""
    table = labels.table
    schema = pa.schema([*table.schema, *joined.schema], metadata=table.schema.metadata)
    return pa.Table.from_arrays([*table.columns, *joined.columns], schema=schema)


def _refuse_twice(called: Sequence[str]) -> None:
    twice = sorted(name for name, times in Counter(called).items() if times > 1)
    if twice:
        raise StoreError(f"Two features are called {twice[0]!r}.", "Ask with full_feature_names=True.")
