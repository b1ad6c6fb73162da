"""Feast's response, made of columns: a dictionary comes straight from NumPy, protobuf is made when it is asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from feast.online_response import TIMESTAMP_POSTFIX, OnlineResponse
from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesResponse
from feast.value_type import ValueType

from feature_repo.stores.dtypes import KINDS
from feature_repo.stores.fetch import Answers
from feature_repo.stores.few import Few
from feature_repo.stores.wire import key_vector


@dataclass(frozen=True)
class Key:
    """A join key of the request.

    Attributes:
        name: as the request has it.
        values: N strings or integers.
        dtype: of the entity.
    """

    name: str
    values: Sequence[str | int]
    dtype: ValueType


@dataclass(frozen=True)
class Part:
    """One view's share in a response.

    Attributes:
        names: what its features are called there.
        answers: their values.
        view: what the view is called.
        version: of the view, where the response is to name it; else None.
    """

    names: Sequence[str]
    answers: Answers | Few
    view: str
    version: int | None = None


class PackedResponse(OnlineResponse):
    """Feast's `OnlineResponse` of N entities over columns; `proto` is made at its first use.

    Args:
        keys: the join keys, which a response begins with.
        parts: a view each.
        feature_types: feature → value type, as Feast's own response has it.
    """

    def __init__(self, keys: Sequence[Key], parts: Sequence[Part], feature_types: Mapping[str, ValueType]) -> None:
        # Not Feast's own constructor, which wants the proto.
        self._keys = keys
        self._parts = parts
        self._feature_types = dict(feature_types)
        self._made: GetOnlineFeaturesResponse | None = None

    @property
    def proto(self) -> GetOnlineFeaturesResponse:  # type: ignore[override]  # Feast's is a plain attribute
        """The response as Feast's feature server sends it; from here on it is what the response consists of."""
        if self._made is None:
            made = GetOnlineFeaturesResponse()
            made.MergeFromString(b"".join([key_vector(KINDS[key.dtype], key.values) for key in self._keys]))
            made.metadata.feature_names.val.extend([key.name for key in self._keys])
            fill(made, self._parts)
            self._made = made
        return self._made

    def to_dict(self, include_event_timestamps: bool = False) -> dict[str, Any]:
        """Name → N values: the join keys, then the features; None where there is none."""
        if self._made is not None:  # it may have been changed
            return super().to_dict(include_event_timestamps)
        found: dict[str, Any] = {}
        for key in self._keys:
            found[key.name] = list(key.values)
            if include_event_timestamps:
                found[f"{key.name}{TIMESTAMP_POSTFIX}"] = [0] * len(key.values)
        for part in self._parts:
            columns = part.answers.python()
            if not include_event_timestamps:
                found.update(zip(part.names, columns, strict=True))
                continue
            seconds = part.answers.seconds()
            for name, column in zip(part.names, columns, strict=True):
                found[name] = column
                found[f"{name}{TIMESTAMP_POSTFIX}"] = list(seconds)
        return found


def fill(response: GetOnlineFeaturesResponse, parts: Sequence[Part]) -> None:
    """Append views' answers to a response of Feast's."""
    response.MergeFromString(b"".join([part.answers.wire() for part in parts]))
    versions = response.metadata.feature_view_metadata
    for part in parts:
        response.metadata.feature_names.val.extend(part.names)
        if part.version is not None and all(entry.name != part.view for entry in versions):
            versions.add(name=part.view, version=part.version)
