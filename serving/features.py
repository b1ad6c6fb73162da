"""From packed rows to model inputs: which columns to read, what stands for a null, and what to tell of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from motherlode.api import Status
from motherlode.errors import BundleError
from motherlode.manifest import CAMPAIGN, Model, Service
from motherlode.online.reader import ViewRequest
from motherlode.packed import FEW, Column, ViewRows
from motherlode.packed import Status as RowStatus
from motherlode.packed.places import Indices, indices

_DAY_S: Final = 86_400.0
_KILO: Final = 1000
"""Microseconds a millisecond, and milliseconds a second."""

Floats = npt.NDArray[np.float32]


class Standing(msgspec.Struct, frozen=True, gc=False):
    """What one customer's answer rests on.

    Attributes:
        status: see `api.Score`.
        age_s: seconds since the event time of the oldest row; None where there is no row.
        notes: why the status is not `ok`, and every imputed feature.
    """

    status: Status
    age_s: float | None
    notes: tuple[str, ...]

    def with_notes(self, *notes: str) -> list[str]:
        """The notes, and more of them."""
        return [*self.notes, *notes]


@dataclass(frozen=True)
class Known:
    """What was read of N customers.

    Attributes:
        raw: float32, shape (N, columns of the plan), NaN where null.
        finite: shape of `raw`, which of it is; None: all of it.
        standings: N of them.
        rows: the rows by view, for what is not numeric.
    """

    raw: Floats
    finite: npt.NDArray[np.bool_] | None
    standings: Sequence[Standing]
    rows: Mapping[str, ViewRows]


@dataclass(frozen=True)
class _Layout:
    """How one model's matrix is filled: where its columns stand, and their defaults."""

    at: Indices
    source: Indices
    defaults: Floats
    campaigns: Mapping[str, int]


class Plan:
    """The columns that a set of models reads, and how rows become their matrices.

    Args:
        services: the bundle's feature services; they say a column's type and a view's time to live.
        models: by name.
        others: further columns to read, (view, column), for what is not a model's input.

    Raises:
        BundleError: no service holds a column that is wanted.
    """

    def __init__(
        self, services: Mapping[str, Service], models: Mapping[str, Model], others: Iterable[tuple[str, str]] = ()
    ) -> None:
        inputs = [each for model in models.values() for each in model.inputs if each.view != CAMPAIGN]
        self._columns = tuple(dict.fromkeys((each.view, each.name) for each in inputs))
        self.requests = requests(services, (*self._columns, *others))
        self._names = [f"{view}.{name}" for view, name in self._columns]
        self._by_view = {
            view: [name for of, name in self._columns if of == view]
            for view in dict.fromkeys(view for view, _ in self._columns)
        }
        position = {column: i for i, column in enumerate(self._columns)}
        self._layouts = {name: _layout(model, position) for name, model in models.items()}
        # Views come one after the other in `_by_view`, columns in the order of the models' inputs.
        order = [position[view, name] for view, columns in self._by_view.items() for name in columns]
        self._order = indices(np.argsort(np.array(order, dtype=np.int64)).tolist())

    def campaigns(self, model: str) -> tuple[str, ...]:
        """The campaign types that a model knows."""
        return tuple(self._layouts[model].campaigns)

    def know(self, rows: Mapping[str, ViewRows], at_us: int) -> Known:
        """Judge what was read.

        Args:
            rows: N rows of every view of `requests`.
            at_us: the time to judge ages by.
        """
        n = len(next(iter(rows.values())).status)
        parts = [rows[view].matrix(columns) for view, columns in self._by_view.items()]
        raw = np.concatenate(parts, axis=1)[:, self._order] if parts else np.empty((n, 0), dtype=np.float32)
        each = np.isfinite(raw)
        finite = None if each.all() else each
        return Known(raw, finite, self._standings(rows, n, finite, at_us), rows)

    def matrix(self, model: str, known: Known, campaign: str | None = None) -> Floats:
        """A model's inputs, whatever is null or not finite replaced by its default.

        Args:
            model: a model's name.
            known: what was read of N customers.
            campaign: the request's campaign type, one of `campaigns(model)`.

        Returns:
            float32, shape (N, len(model.inputs)), finite.
        """
        layout = self._layouts[model]
        values = known.raw[:, layout.source]
        if known.finite is not None:
            values = np.where(known.finite[:, layout.source], values, layout.defaults)
        if not layout.campaigns and isinstance(layout.at, slice):
            return np.ascontiguousarray(values)
        full = np.empty((len(values), len(layout.defaults) + len(layout.campaigns)), dtype=np.float32)
        full[:, layout.at] = values
        for kind, column in layout.campaigns.items():
            full[:, column] = kind == campaign
        return full

    def fresh(self, model: str, known: Known) -> Sequence[bool]:
        """Of which of N customers a model reads any feature at all; of the others it would see defaults alone.

        Args:
            model: a model's name.
            known: what was read of them.
        """
        layout = self._layouts[model]
        if known.finite is None:
            return [len(layout.defaults) > 0] * len(known.raw)
        return list(np.asarray(known.finite[:, layout.source].any(axis=1)).tolist())

    def _standings(
        self, rows: Mapping[str, ViewRows], n: int, finite: npt.NDArray[np.bool_] | None, at_us: int
    ) -> Sequence[Standing]:
        every = [rows[request.view] for request in self.requests]
        if finite is None and every and all(each.present for each in every):
            return [Standing("ok", age_s, ()) for age_s in _ages_s(every, n, at_us)]
        statuses, events = [each.statuses for each in every], [each.events for each in every]
        imputed: dict[int, list[str]] = {}
        for i, column in () if finite is None else np.argwhere(~finite).tolist():
            imputed.setdefault(i, []).append(self._names[column])
        return [
            self._explain(status, event, imputed.get(i), at_us)
            if any(status)
            else Standing("ok", _age_s(event, at_us), _imputed(imputed.get(i)))
            for i, (status, event) in enumerate(
                zip(zip(*statuses, strict=True), zip(*events, strict=True), strict=True)
            )
        ]

    def _explain(
        self, statuses: Sequence[int], events: Sequence[int], imputed: Sequence[str] | None, at_us: int
    ) -> Standing:
        """What one customer's answer rests on, where not every view has a row.

        Args:
            statuses, events: of each view's row.
            imputed: the features that defaults stand for.
            at_us: the time to judge ages by.
        """
        if all(status == RowStatus.UNKNOWN for status in statuses):
            return Standing("cold", None, ("unknown customer: nothing is known of it",))
        notes = [
            _of_view(request, RowStatus(status), (at_us - event) / 1e6)
            for request, status, event in zip(self.requests, statuses, events, strict=True)
            if status != RowStatus.PRESENT
        ]
        return Standing(_worst(statuses), _age_s(events, at_us), (*notes, *_imputed(imputed)))


def requests(services: Mapping[str, Service], columns: Iterable[tuple[str, str]]) -> tuple[ViewRequest, ...]:
    """What to ask the online store for, so that these columns, (view, name), can be read.

    Raises:
        BundleError: no service holds one of them.
    """
    views = {view.view: view for service in services.values() for view in service.views}
    types = {
        (view.view, column.name): column
        for service in services.values()
        for view in service.views
        for column in view.columns
    }
    wanted: dict[str, list[Column]] = {}
    for view, name in dict.fromkeys(columns):
        if (view, name) not in types:
            raise BundleError(
                f"No feature service of the bundle holds {view}.{name}.", "Train and publish a bundle that names it."
            )
        wanted.setdefault(view, []).append(types[view, name])
    return tuple(ViewRequest(view, tuple(found), views[view].ttl_s) for view, found in wanted.items())


def _layout(model: Model, position: Mapping[tuple[str, str], int]) -> _Layout:
    numeric = [(i, each) for i, each in enumerate(model.inputs) if each.view != CAMPAIGN]
    return _Layout(
        at=indices([i for i, _ in numeric]),
        source=indices([position[each.view, each.name] for _, each in numeric]),
        defaults=np.array([each.default for _, each in numeric], dtype=np.float32),
        campaigns={each.name: i for i, each in enumerate(model.inputs) if each.view == CAMPAIGN},
    )


def _of_view(request: ViewRequest, status: RowStatus, age_s: float) -> str:
    if status == RowStatus.STALE:
        allowed = (request.ttl_s or 0) / _DAY_S
        return f"{request.view} is stale: {age_s / _DAY_S:.1f} days old, {allowed:.1f} are allowed"
    if status == RowStatus.CORRUPT:
        return f"{request.view} is damaged and was not read"
    return f"{request.view} has no row"


def _ages_s(views: Sequence[ViewRows], n: int, at_us: int) -> list[float | None]:
    """`_age_s` of N customers who have a row in every view."""
    if n > FEW:
        oldest = np.minimum.reduce([view.event_us for view in views])
        if oldest.all():
            return list((_rounded(np.maximum(at_us - oldest, 0)) / _KILO).tolist())
    return [_age_s(each, at_us) for each in zip(*[view.events for view in views], strict=True)]


def _age_s(events: Sequence[int], at_us: int) -> float | None:
    """Of the oldest row there is."""
    oldest = min(events) or min(filter(None, events), default=0)
    return _rounded(max(0, at_us - oldest)) / _KILO if oldest else None


def _rounded(us: Any) -> Any:
    """Microseconds to the nearest millisecond; in whole numbers, so that one customer's is what a batch's is."""
    return (us + _KILO // 2) // _KILO


def _imputed(features: Sequence[str] | None) -> tuple[str, ...]:
    """The note of the features that defaults stand for."""
    return () if features is None else (f"imputed: {', '.join(features)}",)


def _worst(statuses: Sequence[int]) -> Status:
    """A damaged row weighs more than an old one, an old one more than a missing one."""
    if RowStatus.CORRUPT in statuses:
        return "degraded"
    return "stale" if RowStatus.STALE in statuses else "degraded"
