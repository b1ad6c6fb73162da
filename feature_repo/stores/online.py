"""Feast's online store: packed rows in Redis or Valkey.

A subclass of Feast's `OnlineStore`, not of its Redis store, whose layout and whose teardown (by key suffix,
so "prod" takes "preprod" along) it does not share.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
from feast import Entity, FeatureService, FeatureView
from feast.infra.online_stores.online_store import OnlineStore
from feast.infra.registry.base_registry import BaseRegistry
from feast.infra.supported_async_methods import SupportedAsyncMethods
from feast.online_response import OnlineResponse
from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesResponse
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import FeastConfigBaseModel, RepoConfig

from feature_repo.stores.asked import asked_of, parts_of
from feature_repo.stores.fetch import Question, answer, ask, found
from feature_repo.stores.former import former_mark, sweep
from feature_repo.stores.request import Plan, Plans
from feature_repo.stores.response import Key, fill
from feature_repo.stores.rows import FeastRow, Packer
from feature_repo.stores.state import settings_of
from motherlode import redis_server
from motherlode.online import generations as dropped
from motherlode.online import live as generations
from motherlode.online import tombstones
from motherlode.online.keys import current_schema_key, owned_key
from motherlode.online.live import Live
from motherlode.online.reader import AsyncRowReader, RowReader, mget, now_us
from motherlode.online.tombstones import Tombstones
from motherlode.online.writer import Digest, OnlineWriter, Target
from motherlode.packed import Schema

_Rows = tuple[list[Sequence[bytes | None]], Mapping[int, Schema]]


class MotherlodeOnlineStoreConfig(FeastConfigBaseModel):
    """`online_store` of feature_store.yaml.

    Attributes:
        type: this store.
        redis_url: a Redis or Valkey, a cluster or sentinels (`motherlode.redis_url` has the forms); REDIS_URL by
            default, else the embedded Valkey.
        home: the state folder; MOTHERLODE_HOME by default, else `.motherlode`.
    """

    type: str = "feature_repo.stores.online.MotherlodeOnlineStore"
    redis_url: str | None = None
    home: str | None = None


class MotherlodeOnlineStore(OnlineStore):
    """Packed rows, newest event time wins; see `motherlode.packed` and `motherlode.online`."""

    def __init__(self) -> None:
        self._client: Any = None
        self._tombstones: Tombstones | None = None
        self._readers: dict[str, RowReader] = {}
        self._plans = Plans()
        self._swept: set[tuple[str, str]] = set()
        self._loops: WeakKeyDictionary[Any, dict[str, AsyncRowReader]] = WeakKeyDictionary()

    @property
    def async_supported(self) -> SupportedAsyncMethods:
        return SupportedAsyncMethods(read=True, write=True)

    # ------------------------------------------------------------------ connections

    def client(self, config: RepoConfig) -> Any:
        """The connection, opened at first use. Without a URL it starts the embedded Valkey for this process."""
        if self._client is None:
            self._client = redis_server.connect(_bound(config))
        return self._client

    async def close(self) -> None:
        """Feast's hook at the end of a server."""
        if self._client is not None:
            self._client.close()
            self._client = None
        self._readers.clear()
        for reader in self._loops.pop(asyncio.get_running_loop(), {}).values():
            await reader.close()

    # ------------------------------------------------------------------ writing

    def writer(self, config: RepoConfig) -> OnlineWriter:
        """What writes rows; whoever was erased is known to the server when this returns.

        Raises:
            StoreError: customers were erased by another erasure key than this process has.
        """
        if self._tombstones is None:
            self._tombstones = Tombstones(settings_of(config))
        tombstones.ensure(self.client(config), config.project, self._tombstones)
        return _Writer(self.client(config), config.project, self._tombstones.of_entity, self._swept)

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[FeastRow],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write rows as Feast hands them over (`push`, `write_to_online_store`); an older row never wins.

        Raises:
            StoreError: a feature or a key has no form in this store.
            DataError: a value is not of the declared type.
        """
        packer = Packer(table)
        packed = packer.from_feast(data, now_us())
        writer = self.writer(config)
        # Said with every batch, since Redis may have lost it: two round trips, and no row without its schema.
        writer.declare(packer.schema, packer.target)
        writer.write(packer.target, packed.entities, packed.rows, packed.forget_at_ms)
        if progress:
            progress(len(data))

    async def online_write_batch_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[FeastRow],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """`online_write_batch` beside the event loop."""
        await asyncio.to_thread(self.online_write_batch, config, table, data, progress)

    # ------------------------------------------------------------------ reading

    def get_online_features(
        self,
        config: RepoConfig,
        features: list[str] | FeatureService,
        entity_rows: list[dict[str, Any]] | Mapping[str, Any],
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        include_feature_view_version_metadata: bool = False,
    ) -> OnlineResponse:
        """What `FeatureStore.get_online_features` answers: all views in one round trip, every status told apart.

        Raises:
            StoreError: an entity has no value for a join key, or a feature has no form in this store.
            redis.RedisError: the server is gone.
        """
        planned = self._planned(registry, project, features, entity_rows, full=full_feature_names)
        if planned is None:
            return super().get_online_features(
                config,
                features,
                entity_rows,
                registry,
                project,
                full_feature_names,
                include_feature_view_version_metadata,
            )
        plan, keys, questions = planned
        answers = found(questions, *self._fetch(config, questions), now_us())
        return plan.response(keys, answers, versions=include_feature_view_version_metadata)

    async def get_online_features_async(
        self,
        config: RepoConfig,
        features: list[str] | FeatureService,
        entity_rows: list[dict[str, Any]] | Mapping[str, Any],
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        include_feature_view_version_metadata: bool = False,
    ) -> OnlineResponse:
        """See `get_online_features`."""
        planned = self._planned(registry, project, features, entity_rows, full=full_feature_names)
        if planned is None:
            return await super().get_online_features_async(
                config,
                features,
                entity_rows,
                registry,
                project,
                full_feature_names,
                include_feature_view_version_metadata,
            )
        plan, keys, questions = planned
        answers = found(questions, *await self._fetch_async(config, questions), now_us())
        return plan.response(keys, answers, versions=include_feature_view_version_metadata)

    def _planned(
        self,
        registry: BaseRegistry,
        project: str,
        features: list[str] | FeatureService,
        entity_rows: Any,
        *,
        full: bool,
    ) -> tuple[Plan, list[Key], list[Question]] | None:
        """The request made ready; None where Feast's own way is needed."""
        plan = self._plans.find(registry, project, features, full=full)
        asked = None if plan is None else plan.keys(entity_rows)
        if plan is None or asked is None:
            return None
        keys, n = asked
        return plan, keys, plan.questions(keys, n)

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[tuple[Any, dict[str, Value] | None]]:
        """N entities' values of one view, in their order; see `Answers.by_entity`."""
        questions = [ask(table, entity_keys, requested_features)]
        return answer(questions, *self._fetch(config, questions), now_us())[0].by_entity()

    async def online_read_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[tuple[Any, dict[str, Value] | None]]:
        """See `online_read`."""
        questions = [ask(table, entity_keys, requested_features)]
        return answer(questions, *await self._fetch_async(config, questions), now_us())[0].by_entity()

    def _fetch(self, config: RepoConfig, questions: Sequence[Question]) -> _Rows:
        """Each question's rows, and the schemas that they need."""
        if config.project not in self._readers:
            self._readers[config.project] = RowReader(self.client(config), config.project)
        reader = self._readers[config.project]
        rows = reader.read([(question.view, question.entities) for question in questions])
        return rows, reader.schemas

    async def _fetch_async(self, config: RepoConfig, questions: Sequence[Question]) -> _Rows:
        """See `_fetch`."""
        readers = self._loops.setdefault(asyncio.get_running_loop(), {})
        if config.project not in readers:
            readers[config.project] = AsyncRowReader(redis_server.connect_async(_bound(config)), config.project)
        reader = readers[config.project]
        rows = await reader.read([(question.view, question.entities) for question in questions])
        return rows, reader.schemas

    def _read_features_per_fv(
        self,
        config: RepoConfig,
        grouped_refs: list[tuple[FeatureView, list[str]]],
        join_key_values: dict[str, Any],
        entity_name_to_join_key_map: dict[str, str],
        online_features_response: GetOnlineFeaturesResponse,
        full_feature_names: bool,
        include_feature_view_version_metadata: bool,
    ) -> None:
        """Feast's hook, which its own way of `get_online_features` comes to, as for on-demand views."""
        asked = asked_of(grouped_refs, join_key_values, entity_name_to_join_key_map)
        questions = [asking.question for asking in asked]
        answers = answer(questions, *self._fetch(config, questions), now_us())
        fill(
            online_features_response,
            parts_of(asked, answers, full_feature_names, include_feature_view_version_metadata),
        )

    async def _read_features_per_fv_async(
        self,
        config: RepoConfig,
        grouped_refs: list[tuple[FeatureView, list[str]]],
        join_key_values: dict[str, Any],
        entity_name_to_join_key_map: dict[str, str],
        online_features_response: GetOnlineFeaturesResponse,
        full_feature_names: bool,
        include_feature_view_version_metadata: bool,
    ) -> None:
        """See `_read_features_per_fv`."""
        asked = asked_of(grouped_refs, join_key_values, entity_name_to_join_key_map)
        questions = [asking.question for asking in asked]
        answers = answer(questions, *await self._fetch_async(config, questions), now_us())
        fill(
            online_features_response,
            parts_of(asked, answers, full_feature_names, include_feature_view_version_metadata),
        )

    # ------------------------------------------------------------------ infrastructure

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        """Check what `feast apply` keeps, and remove the rows of what it drops.

        Raises:
            StoreError: a feature or a join key has no form in this store, naming it.
        """
        for table in tables_to_keep:
            Packer(table)
        if tables_to_delete:
            self.remove(config, [table.name for table in tables_to_delete])

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:
        """Remove every row of this project's views, and nobody else's."""
        self.remove(config, [table.name for table in tables])

    def remove(self, config: RepoConfig, views: Sequence[str]) -> None:
        """Remove these views from this project: their rows of every generation, and what is known of them."""
        client, project = self.client(config), config.project
        for view in views:
            # A view is a whole segment, so that none is another's prefix.
            for folder in (project, f"{project}/@complete"):
                pattern = f"{redis_server.literal(f'{folder}/{view}')}/*"
                for keys in redis_server.scan(client, pattern):
                    dropped.remove(client, project, keys, (f"{project}/{view}/".encode(),))
            redis_server.unlink(client, [current_schema_key(project, view), former_mark(project, view)])
        for keys in redis_server.scan(client, f"{redis_server.literal(project)}/@schema/*"):
            found = mget(client, [key.decode() for key in keys])
            gone = [key for key, data in zip(keys, found, strict=True) if data and Schema.from_json(data).view in views]
            redis_server.unlink(client, gone)
        owned = client.smembers(owned_key(project))
        if gone := [name for name in owned if name.decode().rpartition("/")[0] in views]:
            client.srem(owned_key(project), *gone)
        now = generations.read(client, project)
        if any(view in named for view in views for named in (now.views, now.shadows, now.previous)):
            generations.switch(client, project, lambda live: _without(live, views))


class _Writer(OnlineWriter):
    """A writer that removes what lies there from before generations, once a process and view."""

    def __init__(self, client: Any, project: str, digest: Digest, swept: set[tuple[str, str]]) -> None:
        super().__init__(client, project, digest)
        self._swept = swept

    def declare(self, schema: Schema, target: Target) -> None:
        """See `OnlineWriter.declare`."""
        if (self._project, target.view) not in self._swept:
            sweep(self._client, self._project, target.view)
            self._swept.add((self._project, target.view))
        super().declare(schema, target)


def _without(live: Live, views: Sequence[str]) -> Live:
    """What is live without some views; the numbers that were given stay given."""
    named = {
        each: {view: number for view, number in getattr(live, each).items() if view not in views}
        for each in ("views", "shadows", "previous")
    }
    return msgspec.structs.replace(live, **named)


def _bound(config: RepoConfig) -> Any:
    settings = settings_of(config)
    return settings if settings.redis_url is not None else settings.with_redis(redis_server.ensure(settings))
