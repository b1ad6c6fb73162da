"""A request that Feast resolved in its own way, as for on-demand views: as questions, and its answers as parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from feast import FeatureView, utils

from feature_repo.stores import dtypes
from feature_repo.stores.fetch import Answers, Question, ask
from feature_repo.stores.request import request_keys
from feature_repo.stores.response import Part
from motherlode.errors import StoreError


@dataclass(frozen=True)
class Asking:
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


def asked_of(
    grouped_refs: Sequence[tuple[FeatureView, list[str]]],
    join_key_values: dict[str, Any],
    entity_name_to_join_key_map: dict[str, str],
) -> list[Asking]:
    """Feast's request as questions, each entity once.

    Raises:
        StoreError: an entity has no value for a join key of a view.
    """
    for name, values in join_key_values.items():
        for row, value in enumerate(values):
            if value.WhichOneof("val") in (None, "null_val"):
                raise StoreError(f"Join key {name!r} is None in entity row {row}.", "Give it a value.")
    asked: list[Asking] = []
    for table, names in grouped_refs:
        if missing := set(request_keys(table)).difference(join_key_values):
            raise StoreError(
                f"View {table.name!r} is asked for without its join key {min(missing)!r}.",
                "Give it in every entity row.",
            )
        entities, wanted, n = utils._get_unique_entities(table, join_key_values, entity_name_to_join_key_map)
        places = [0] * n
        for entity, rows in enumerate(wanted):
            for row in rows:
                places[row] = entity
        question = ask(table, utils._get_entity_key_protos(entities), names)
        asked.append(Asking(table, names, question, places))
    return asked


def parts_of(asked: Sequence[Asking], answers: Sequence[Answers], full: bool, versions: bool) -> list[Part]:
    """The answers as Feast's response has them, each at every place that asked for its entity."""
    parts: list[Part] = []
    for asking, found in zip(asked, answers, strict=True):
        table = asking.table
        prefix = f"{dtypes.called(table)}__" if full else ""
        view = str(table.projection.name_alias or table.projection.name)
        version = int(getattr(table, "current_version_number", 0) or 0) if versions else None
        parts.append(Part([f"{prefix}{name}" for name in asking.names], found.at(asking.places), view, version))
    return parts
