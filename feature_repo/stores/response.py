"""Feast's response, made of columns: a dictionary comes straight from NumPy, protobuf is made when it is asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from feast.online_response import TIMESTAMP_POSTFIX, OnlineResponse
from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesResponse
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import python_values_to_proto_values
from feast.utils import _populate_result_rows_from_columnar
from feast.value_type import ValueType
from google.protobuf.timestamp_pb2 import Timestamp  # type: ignore[import-untyped]

from feature_repo.stores.fetch import Answers
from feature_repo.stores.protos import delimited, to_protos, to_python, to_wire

_SECOND: Final = 1_000_000
_FEW: Final = 8
"""Entities up to which protobuf's own constructors are faster than the wire format."""
_NOTHING: Final = Value()
_RESULTS: Final = GetOnlineFeaturesResponse.DESCRIPTOR.fields_by_name["results"].number
_VECTOR: Final = GetOnlineFeaturesResponse.FeatureVector.DESCRIPTOR.fields_by_name
_STATUSES: Final = _VECTOR["statuses"].number
_TIMES: Final = _VECTOR["event_timestamps"].number


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
    answers: Answers
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
            protos = {key.name: python_values_to_proto_values(list(key.values), key.dtype) for key in self._keys}
            _populate_result_rows_from_columnar(made, protos)
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
            asked = part.answers.question
            seconds = (part.answers.event_us // _SECOND).tolist() if include_event_timestamps else []
            for name, column, kind, values in zip(
                part.names, asked.columns, asked.kinds, part.answers.values, strict=True
            ):
                found[name] = to_python(values, column, kind)
                if include_event_timestamps:
                    found[f"{name}{TIMESTAMP_POSTFIX}"] = list(seconds)
        return found


def fill(response: GetOnlineFeaturesResponse, parts: Sequence[Part]) -> None:
    """Append views' answers to a response of Feast's."""
    versions = response.metadata.feature_view_metadata
    for part in parts:
        if len(part.answers.event_us) <= _FEW:
            _append(response, part.answers)
        else:
            response.MergeFromString(_wire(part.answers))
        response.metadata.feature_names.val.extend(part.names)
        if part.version is not None and all(entry.name != part.view for entry in versions):
            versions.add(name=part.view, version=part.version)


def _append(response: GetOnlineFeaturesResponse, answers: Answers) -> None:
    """A few entities' answers, message by message: NumPy would take longer to lay them out."""
    times = [Timestamp(seconds=at // _SECOND, nanos=at % _SECOND * 1000) for at in answers.event_us.tolist()]
    asked = answers.question
    for column, kind, values, statuses in zip(
        asked.columns, asked.kinds, answers.values, answers.statuses.tolist(), strict=True
    ):
        protos = [proto or _NOTHING for proto in to_protos(values, column, kind)]
        response.results.add(values=protos, statuses=statuses, event_timestamps=times)


def _wire(answers: Answers) -> bytes:
    """Answers as entries of a response, the way they go over the wire."""
    times, asked = _times(answers.event_us), answers.question
    return b"".join(
        delimited(_RESULTS, to_wire(values, column, kind) + delimited(_STATUSES, statuses.tobytes()) + times)
        for column, kind, values, statuses in zip(
            asked.columns, asked.kinds, answers.values, answers.statuses, strict=True
        )
    )


def _times(event_us: npt.NDArray[np.int64]) -> bytes:
    """Event times as entries of `FeatureVector.event_timestamps`; each different one is laid out once."""
    known: dict[int, bytes] = {}
    entries: list[bytes] = []
    for at in event_us.tolist():
        if (entry := known.get(at)) is None:
            time = Timestamp(seconds=at // _SECOND, nanos=at % _SECOND * 1000)
            entry = known[at] = delimited(_TIMES, time.SerializeToString())
        entries.append(entry)
    return b"".join(entries)
