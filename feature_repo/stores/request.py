"""Feast's online request, resolved once: which keys, which questions, and what the answers are called.

Feast resolves a request's references against the registry; what we make of that outcome is kept while the registry's
cache holds, so that a request costs its entities and no more. Whatever is out of the ordinary (on-demand views,
values as protos, an entity's old name) is left to Feast's own way, which ends in the same reader.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from feast import FeatureService, FeatureView, utils
from feast.infra.registry.base_registry import BaseRegistry
from feast.value_type import ValueType

from feature_repo.stores import dtypes
from feature_repo.stores.fetch import Answers, Question, question
from feature_repo.stores.few import Few
from feature_repo.stores.response import Key, PackedResponse, Part
from motherlode import names
from motherlode.errors import StoreError
from motherlode.online.keys import entity_text, ordered

_PLAIN: Final[Mapping[ValueType, type]] = {ValueType.STRING: str, ValueType.INT64: int, ValueType.INT32: int}
"""Types of join keys that need no conversion, and the Python type that they come in."""
_LARGEST: Final = {ValueType.INT64: 2**63, ValueType.INT32: 2**31}
_KEPT: Final = 1000
"""Resolved requests."""


@dataclass(frozen=True)
class _View:
    """A view of a request.

    Attributes:
        question: about nobody yet.
        keys: what its join keys are called in the request, in the order of an entity text.
        names: what its features are called in the response.
        called: what it is called.
        version: of its definition.
    """

    question: Question
    keys: tuple[str, ...]
    names: tuple[str, ...]
    called: str
    version: int


@dataclass(frozen=True)
class Plan:
    """A request without its entities.

    Attributes:
        views: in the response's order.
        dtypes: join key → type, of those that the request may name.
        entities: the entities' names, by which Feast once called join keys.
        feature_types: as Feast's response has it.
    """

    views: tuple[_View, ...]
    dtypes: Mapping[str, ValueType]
    entities: frozenset[str]
    feature_types: Mapping[str, ValueType]

    def keys(self, entity_rows: Any) -> tuple[list[Key], int] | None:
        """The join keys of the request's N entities, and N; None where Feast's own way is needed.

        Raises:
            StoreError: an entity has no value for a join key.
        """
        columns = _columns(entity_rows)
        if columns is None or len({len(column) for column in columns.values()}) != 1:
            return None
        keys: list[Key] = []
        for name, column in columns.items():
            if (dtype := self.dtypes.get(name)) is None:
                if name in self.entities:
                    return None
                continue  # neither a join key nor request data: Feast passes over it
            if None in column:
                raise StoreError(f"Join key {name!r} is None in entity row {column.index(None)}.", "Give it a value.")
            if not _is_plain(column, dtype):
                return None
            keys.append(Key(name, column, dtype))
        given = {key.name for key in keys}
        n = len(next(iter(columns.values())))
        return (keys, n) if all(given.issuperset(view.keys) for view in self.views) else None

    def questions(self, keys: Sequence[Key], n: int) -> list[Question]:
        """What to read for N entities."""
        values = {key.name: key.values for key in keys}
        texts: dict[tuple[str, ...], Sequence[str]] = {}
        for view in self.views:
            if view.keys not in texts:
                texts[view.keys] = _texts([values[key] for key in view.keys]) if view.keys else [_NOBODY] * n
        return [view.question.of(texts[view.keys]) for view in self.views]

    def response(self, keys: Sequence[Key], answers: Sequence[Answers | Few], *, versions: bool) -> PackedResponse:
        """The answers to `questions`, as Feast's users get them."""
        parts = [
            Part(view.names, each, view.called, view.version if versions else None)
            for view, each in zip(self.views, answers, strict=True)
        ]
        return PackedResponse(keys, parts, self.feature_types)


_NOBODY: Final = entity_text([""])


class Plans:
    """The requests that were resolved so far."""

    def __init__(self) -> None:
        self._known: dict[Any, _Known] = {}

    def find(
        self, registry: BaseRegistry, project: str, features: list[str] | FeatureService, *, full: bool
    ) -> Plan | None:
        """The plan of a request; None where Feast's own way is needed.

        Args:
            registry: as Feast hands it over; while its cache holds, so does a plan.
            project: the Feast project.
            features: references, or a feature service.
            full: whether features are called by their view's name too.

        Raises:
            feast.errors.FeastObjectNotFoundException: there is no such view or feature.
            StoreError: a feature or a join key has no form in this store.
        """
        if isinstance(features, FeatureService) and getattr(features, "precompute_online", False):
            return None
        mark = (features.name if isinstance(features, FeatureService) else tuple(features), project, full)
        known = self._known.get(mark)
        if known is not None and known.registry is registry and known.stamp == _stamp(registry):
            return known.plan
        plan = _plan(utils._get_cached_request_context(registry, project, features, full), full=full)
        if len(self._known) >= _KEPT:
            self._known.clear()
        if (stamp := _stamp(registry)) is not None:
            self._known[mark] = _Known(registry, stamp, plan)
        return plan


@dataclass(frozen=True)
class _Known:
    """A plan, and the state of the registry that it was made from."""

    registry: BaseRegistry
    stamp: Any
    plan: Plan | None


def _stamp(registry: BaseRegistry) -> Any:
    """When a registry's cache was filled; None where it has none, or it has run out.

    Feast keeps what it resolved by the same rule, but for one registry in the process: a process with two stores
    would resolve every request anew.
    """
    is_valid = getattr(registry, "is_cache_valid", None)
    return getattr(registry, "cached_registry_proto_created", None) if callable(is_valid) and is_valid() else None


def _plan(context: Any, *, full: bool) -> Plan | None:
    (_, on_demand, by_entity, types, join_keys, grouped, _, request_data, _) = context
    versioned = any(getattr(table.projection, "version_tag", None) is not None for table, _ in grouped)
    if on_demand or request_data or versioned:
        return None
    return Plan(
        tuple(_view(table, wanted, full=full) for table, wanted in grouped),
        {name: types.get(name, ValueType.UNKNOWN) for name in join_keys if name != dtypes.NO_ENTITY},
        frozenset(by_entity),
        _types(grouped),
    )


def _types(grouped: Sequence[tuple[FeatureView, list[str]]]) -> dict[str, ValueType]:
    """As Feast's `_build_feature_types`."""
    return {
        name: field.dtype.to_value_type()
        for table, wanted in grouped
        for field in table.features
        if field.name in wanted
        for name in (field.name, f"{dtypes.called(table)}__{field.name}")
    }


def _view(table: FeatureView, wanted: Sequence[str], *, full: bool) -> _View:
    called = dtypes.called(table)
    return _View(
        question(table, wanted),
        request_keys(table),
        tuple(f"{called}__{name}" if full else name for name in wanted),
        str(table.projection.name_alias or table.projection.name),
        int(getattr(table, "current_version_number", 0) or 0),
    )


def request_keys(table: FeatureView) -> tuple[str, ...]:
    """What a view's join keys are called in a request, in the order of an entity text."""
    renamed = table.projection.join_key_map
    return tuple(renamed.get(key, key) for key in ordered(dtypes.join_keys(table), names.CUSTOMER_ID))


def _columns(entity_rows: Any) -> dict[str, list[Any]] | None:
    """Entity rows by column; None where they are no rows of the same names, nor lists."""
    if isinstance(entity_rows, Mapping):
        lists = all(isinstance(column, list | tuple) for column in entity_rows.values())
        return {name: list(column) for name, column in entity_rows.items()} if lists else None
    if not isinstance(entity_rows, list) or not entity_rows:
        return None
    first = entity_rows[0]
    if any(row.keys() != first.keys() for row in entity_rows):
        return None
    return {name: [row[name] for row in entity_rows] for name in first}


def _is_plain(column: Sequence[Any], dtype: ValueType) -> bool:
    kind = _PLAIN.get(dtype)
    if kind is None or set(map(type, column)) != {kind}:
        return False
    largest = _LARGEST.get(dtype)
    return largest is None or (min(column) >= -largest and max(column) < largest)


def _texts(columns: Sequence[Sequence[Any]]) -> Sequence[str]:
    """N entity texts, of their join keys' columns."""
    if len(columns) > 1:
        return [entity_text(row) for row in zip(*columns, strict=True)]
    texts = list(map(str, columns[0]))
    together = "\n".join(texts)
    if entity_text([together]) == together:  # as a rule no key has a mark that needs escaping: one look at all
        return texts
    return [entity_text([text]) for text in texts]
