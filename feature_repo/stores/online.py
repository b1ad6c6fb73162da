"""Feast's online store: packed rows in Redis or Valkey.

A subclass of Feast's `OnlineStore`, not of its Redis store, whose layout and whose teardown (by key suffix,
so "prod" takes "preprod" along) it does not share.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

import redis
import redis.asyncio
from feast import Entity, FeatureView, utils
from feast.infra.online_stores.online_store import OnlineStore
from feast.infra.supported_async_methods import SupportedAsyncMethods
from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesResponse
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import FeastConfigBaseModel, RepoConfig
from google.protobuf.timestamp_pb2 import Timestamp  # type: ignore[import-untyped]

from feature_repo.stores import dtypes
from feature_repo.stores.fetch import Answers, Question, SchemaBook, answer, ask, keys_of
from feature_repo.stores.rows import FeastRow, Packer
from feature_repo.stores.state import settings_of
from motherlode import redis_server
from motherlode.online import OnlineWriter, current_schema_key, now_us
from motherlode.packed import Schema

_SCAN: Final = 10_000
"""Keys a SCAN step looks at, and an UNLINK removes."""


class MotherlodeOnlineStoreConfig(FeastConfigBaseModel):
    """`online_store` of feature_store.yaml.

    Attributes:
        type: this store.
        redis_url: a Redis or Valkey server; REDIS_URL by default, else the embedded Valkey.
        home: the state folder; MOTHERLODE_HOME by default, else `.motherlode`.
    """

    type: str = "feature_repo.stores.online.MotherlodeOnlineStore"
    redis_url: str | None = None
    home: str | None = None


class MotherlodeOnlineStore(OnlineStore):
    """Packed rows, newest event time wins; see `motherlode.packed` and `motherlode.online`."""

    def __init__(self) -> None:
        self._client: redis.Redis | None = None
        self._loops: WeakKeyDictionary[Any, redis.asyncio.Redis] = WeakKeyDictionary()
        self._book = SchemaBook()

    @property
    def async_supported(self) -> SupportedAsyncMethods:
        return SupportedAsyncMethods(read=True, write=True)

    # ------------------------------------------------------------------ connections

    def client(self, config: RepoConfig) -> redis.Redis:
        """The connection, opened at first use. Without a URL it starts the embedded Valkey for this process."""
        if self._client is None:
            self._client = redis_server.connect(_bound(config))
        return self._client

    def _async_client(self, config: RepoConfig) -> redis.asyncio.Redis:
        loop = asyncio.get_running_loop()
        if loop not in self._loops:
            self._loops[loop] = redis.asyncio.Redis.from_url(_bound(config).redis_url)
        return self._loops[loop]

    async def close(self) -> None:
        """Feast's hook at the end of a server."""
        if self._client is not None:
            self._client.close()
            self._client = None
        with suppress(KeyError):
            await self._loops.pop(asyncio.get_running_loop()).aclose()

    # ------------------------------------------------------------------ writing

    def writer(self, config: RepoConfig) -> OnlineWriter:
        """What the engine writes with."""
        return OnlineWriter(self.client(config), config.project)

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
        # Said with every batch, since Redis may have lost it: one round trip, and no row without its schema.
        writer.declare(packer.schema)
        writer.write(table.name, packed.entities, packed.rows, packed.forget_at_ms)
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

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[tuple[Any, dict[str, Value] | None]]:
        """N entities' values of one view, in their order; see `Answers.by_entity`."""
        return self._fetch(config, [ask(table, entity_keys, requested_features)])[0].by_entity()

    async def online_read_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[tuple[Any, dict[str, Value] | None]]:
        """See `online_read`."""
        return (await self._fetch_async(config, [ask(table, entity_keys, requested_features)]))[0].by_entity()

    def _fetch(self, config: RepoConfig, questions: Sequence[Question]) -> list[Answers]:
        keys = keys_of(config.project, questions)
        client = self.client(config)
        rows: Any = client.mget(keys) if keys else []
        if unseen := self._book.unseen(config.project, rows):
            found: Any = client.mget(list(unseen.values()))
            self._book.learn(unseen, found)
        return answer(questions, rows, self._book, now_us())

    async def _fetch_async(self, config: RepoConfig, questions: Sequence[Question]) -> list[Answers]:
        keys = keys_of(config.project, questions)
        client = self._async_client(config)
        rows: Any = await client.mget(keys) if keys else []
        if unseen := self._book.unseen(config.project, rows):
            found: Any = await client.mget(list(unseen.values()))
            self._book.learn(unseen, found)
        return answer(questions, rows, self._book, now_us())

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
        """Feast's hook behind `get_online_features`: all views in one round trip, every status told apart."""
        asked = _asked(grouped_refs, join_key_values, entity_name_to_join_key_map)
        answers = self._fetch(config, [asking.question for asking in asked])
        _fill(online_features_response, asked, answers, full=full_feature_names)
        if include_feature_view_version_metadata:
            _version(online_features_response, asked)

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
        asked = _asked(grouped_refs, join_key_values, entity_name_to_join_key_map)
        answers = await self._fetch_async(config, [asking.question for asking in asked])
        _fill(online_features_response, asked, answers, full=full_feature_names)
        if include_feature_view_version_metadata:
            _version(online_features_response, asked)

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
        """Remove these views' rows and schemas from this project."""
        client = self.client(config)
        for view in views:
            # A row's key goes on with a brace, so that no view is another's prefix.
            for keys in _scan(client, f"{_literal(config.project)}/{_literal(view)}/{{*"):
                client.unlink(*keys)
            client.unlink(current_schema_key(config.project, view), complete_key(config.project, view))
        for keys in _scan(client, f"{_literal(config.project)}/@schema/*"):
            found: Any = client.mget(keys)
            gone = [key for key, data in zip(keys, found, strict=True) if data and Schema.from_json(data).view in views]
            if gone:
                client.unlink(*gone)


def complete_key(project: str, view: str) -> str:
    """The Redis key that holds the fingerprint with which a view was last written as a whole."""
    return f"{project}/@complete/{view}"


def _bound(config: RepoConfig) -> Any:
    settings = settings_of(config)
    return settings if settings.redis_url is not None else settings.with_redis(redis_server.ensure(settings))


@dataclass(frozen=True)
class _Asking:
    """A question, and where its answers go.

    Attributes:
        table: the feature view.
        names: the features wanted.
        question: what to read.
        places: shape (n,): for each of Feast's n entity rows, which entity of the question it is.
    """

    table: FeatureView
    names: Sequence[str]
    question: Question
    places: Sequence[int]


def _asked(
    grouped_refs: Sequence[tuple[FeatureView, list[str]]],
    join_key_values: dict[str, Any],
    entity_name_to_join_key_map: dict[str, str],
) -> list[_Asking]:
    """Feast's request as questions, each entity once."""
    asked: list[_Asking] = []
    for table, names in grouped_refs:
        entities, wanted, n = utils._get_unique_entities(table, join_key_values, entity_name_to_join_key_map)
        places = [0] * n
        for entity, rows in enumerate(wanted):
            for row in rows:
                places[row] = entity
        question = ask(table, utils._get_entity_key_protos(entities), names)
        asked.append(_Asking(table, names, question, places))
    return asked


def _fill(
    response: GetOnlineFeaturesResponse, asked: Sequence[_Asking], answers: Sequence[Answers], *, full: bool
) -> None:
    """Append the answers to Feast's response, each at every place that asked for its entity."""
    empty = Value()
    for asking, found in zip(asked, answers, strict=True):
        times = [Timestamp(seconds=us // 1_000_000, nanos=us % 1_000_000 * 1000) for us in found.event_us.tolist()]
        prefix = f"{dtypes.called(asking.table)}__" if full else ""
        response.metadata.feature_names.val.extend(f"{prefix}{name}" for name in asking.names)
        for name in asking.names:
            values, statuses = found.values[name], found.statuses[name]
            response.results.append(
                GetOnlineFeaturesResponse.FeatureVector(
                    values=[values[i] or empty for i in asking.places],
                    statuses=[statuses[i] for i in asking.places],
                    event_timestamps=[times[i] for i in asking.places],
                )
            )


def _version(response: GetOnlineFeaturesResponse, asked: Sequence[_Asking]) -> None:
    known = response.metadata.feature_view_metadata
    for asking in asked:
        name = asking.table.projection.name_alias or asking.table.projection.name
        if all(entry.name != name for entry in known):
            known.add(name=name, version=getattr(asking.table, "current_version_number", 0) or 0)


def _scan(client: redis.Redis, pattern: str) -> Iterator[list[bytes]]:
    """The keys of a pattern, a batch at a time."""
    cursor = 0
    while True:
        found: Any = client.scan(cursor, match=pattern, count=_SCAN)
        cursor, keys = found
        if keys:
            yield keys
        if cursor == 0:
            return


def _literal(text: str) -> str:
    """Text that a Redis pattern takes as it is."""
    return "".join(f"\\{mark}" if mark in "*?[]\\^" else mark for mark in text)
