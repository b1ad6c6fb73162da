"""Feast with our three plug-ins, on a real embedded Valkey and files of the test's own."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.repo_config import RepoConfig
from feast.types import FeastType

from feature_repo.mart import manifest
from feature_repo.mart.manifest import Built, Piece
from feature_repo.stores import historical
from feature_repo.stores.dtypes import feast_type
from feature_repo.stores.labels import read
from feature_repo.stores.offline import MotherlodeOfflineStore
from feature_repo.stores.state import settings_of
from motherlode.compute import cpu
from motherlode.errors import MotherlodeError
from motherlode.redis_server import running
from motherlode.settings import Settings

_PROJECTS = count()
_TIME = pl.Datetime("us", "UTC")
_VALUE_TYPES = {pl.String(): ValueType.STRING, pl.Int64(): ValueType.INT64, pl.Int32(): ValueType.INT32}


_SQL = {"registry_type": "sql", "serve_features_while_materializing": True}


class Repo:
    """A feature repo in a folder: its mart, and the store that reads it."""

    def __init__(self, home: Path, settings: Settings, project: str, *, sql: bool) -> None:
        self.home = home
        self.project = project
        self.mart = home / "mart"
        self.mart.mkdir(parents=True, exist_ok=True)
        self.yaml: dict[str, Any] = {
            "project": project,
            "provider": "local",
            "registry": _SQL | {"path": f"sqlite:///{home}/registry.db"} if sql else {"path": f"{home}/registry.pb"},
            "offline_store": {
                "type": "feature_repo.stores.offline.MotherlodeOfflineStore",
                "home": str(home),
                "device": "cpu",
            },
            "online_store": {
                "type": "feature_repo.stores.online.MotherlodeOnlineStore",
                "home": str(home),
                "redis_url": settings.redis_url,
            },
            "batch_engine": {"type": "feature_repo.stores.engine.MotherlodeEngine"},
            "entity_key_serialization_version": 3,
        }
        self.config = RepoConfig(**self.yaml)
        self.config.repo_path = home
        self.store = FeatureStore(config=self.config)

    def view(
        self,
        name: str,
        rows: pl.DataFrame | None,
        *,
        keys: Sequence[str] = ("k",),
        ttl: timedelta | None = None,
        created: bool = True,
        mapping: dict[str, str] | None = None,
        dtypes: dict[str, FeastType] | None = None,
        path: str | None = None,
    ) -> FeatureView:
        """A feature view over the rows (`t`, `created`, keys, features), which are written to the mart."""
        if rows is not None:
            rows.write_parquet(self.mart / f"{name}.parquet")
        renamed = rows.rename(mapping or {}).schema if rows is not None else {}
        fields = dict(dtypes or {})
        for column, dtype in renamed.items():
            if column not in ("t", "created", *fields):
                fields[column] = feast_type(dtype)
        source = FileSource(
            name=f"{name}_source",
            path=path or f"{name}.parquet",
            timestamp_field="t",
            created_timestamp_column="created" if created else "",
            field_mapping=mapping,
        )
        return FeatureView(
            name=name,
            entities=[entity(key, renamed.get(key, pl.String())) for key in keys],
            ttl=ttl,
            schema=[Field(name=field, dtype=dtype) for field, dtype in fields.items()],
            source=source,
        )

    def build(self, name: str, *frames: pl.DataFrame) -> None:
        """Put a view into the mart as a build does: a piece a frame, named by the manifest; other views stay."""
        settings = settings_of(self.config)
        found = []
        for i, frame in enumerate(frames):
            path = f"{name}/2024-0{i + 1}.0.{next(_PROJECTS)}.parquet"
            (self.mart / name).mkdir(exist_ok=True)
            frame.write_parquet(self.mart / path)
            found.append(Piece(path=path, partition=0, era=f"2024-0{i + 1}", rows=frame.height, sha256=""))
        now = manifest.read(settings)
        built = Built(
            view=name,
            code="",
            pieces=tuple(found),
            written=now.views[name].written if name in now.views else (),
            rows=sum(piece.rows for piece in found),
            created_at=datetime.now(UTC),
            seconds=0.0,
        )
        manifest.write(settings, msgspec.structs.replace(now, views={**now.views, name: built}))

    def apply(self, *objects: Any) -> None:
        entities = {
            key: entity(key, _polars(field))
            for thing in objects
            if isinstance(thing, FeatureView)
            for field in thing.entity_columns
            for key in [field.name]
        }
        self.store.apply([*entities.values(), *objects])

    @staticmethod
    def history(*rows: tuple[Any, datetime, Any], created: list[datetime] | None = None, x: Any = pl.Float64) -> Any:
        """Rows of (k, t, x), each created at its time unless said."""
        frame = pl.DataFrame(rows, schema={"k": pl.String, "t": _TIME, "x": x}, orient="row")
        made = frame["t"] if created is None else pl.Series(created, dtype=_TIME)
        return frame.with_columns(made.alias("created"))

    @staticmethod
    def labels(*rows: tuple[Any, datetime | None], **own: list[Any]) -> pl.DataFrame:
        """Labels of (k, event_timestamp), with columns of their own."""
        frame = pl.DataFrame(rows, schema={"k": pl.String, "event_timestamp": _TIME}, orient="row")
        return frame.with_columns(pl.Series(name, values) for name, values in own.items())

    @staticmethod
    def xs(job: Any) -> list[Any]:
        """The feature x of an answer."""
        found: list[Any] = job.to_arrow()["x"].to_pylist()
        return found

    def ask(self, views: Any, references: list[str], labels: Any, **options: Any) -> Any:
        """The retrieval job of `get_historical_features`, as Feast's provider calls it, without a registry.

        Whatever it answers, the GPU's plan must answer too, to the bit.
        """
        views = views if isinstance(views, list) else [views]
        registry: Any = _NoRegistry()
        job = MotherlodeOfflineStore.get_historical_features(
            self.config, views, references, labels, registry, self.project, **options
        )
        if labels is not None:
            self._agree(job, views, references, labels, **options)
        return job

    def _agree(self, job: Any, views: Any, references: list[str], labels: Any, **options: Any) -> None:
        try:
            answer = job.to_arrow()
        except MotherlodeError:
            return  # the test looks at it
        asked = read(labels)
        wanted = historical.parts(views, references, full=options.get("full_feature_names", False))
        by_created = options.get("filter_by_created_timestamp", False)
        mart = manifest.read(settings_of(self.config))
        other = historical.by_union(self.config, asked, wanted, mart, cpu.collect, by_created=by_created)
        assert other.schema.types == answer.schema.types[len(asked.table.column_names) :]
        ours = answer.select(range(len(asked.table.column_names), answer.num_columns))
        if ours.num_columns:
            assert pl.DataFrame(pl.from_arrow(ours)).equals(pl.DataFrame(pl.from_arrow(other)))


class _NoRegistry:
    """Feast asks the registry for on-demand views; here there are none."""

    def list_on_demand_feature_views(self, *args: Any, **kwargs: Any) -> list[Any]:
        return []


def entity(key: str, dtype: Any) -> Entity:
    return Entity(name=f"{key}_entity", join_keys=[key], value_type=_VALUE_TYPES.get(dtype, ValueType.STRING))


def _polars(field: Field) -> Any:
    return {"String": pl.String(), "Int64": pl.Int64(), "Int32": pl.Int32()}[str(field.dtype)]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(Settings(home=tmp_path_factory.mktemp("a valkey"))) as bound:
        yield bound


@pytest.fixture(scope="session")
def make_repo(server: Settings) -> Any:
    """(home, project, sql) -> Repo; each project's rows are its own.

    Feast's file registry by default, since SQLite syncs to disk with every object that is applied.
    """
    return lambda home, project=None, sql=False: Repo(home, server, project or f"project_{next(_PROJECTS)}", sql=sql)


@pytest.fixture
def repo(tmp_path: Path, make_repo: Any) -> Repo:
    built: Repo = make_repo(tmp_path / "a home")
    return built
