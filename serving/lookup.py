"""Features as they lie in the online store, column by column: what an application computes with itself. No HTTP."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from motherlode.api import FeaturesAnswer, FeatureView
from motherlode.bundle import Bundle
from motherlode.online.reader import ViewRequest
from motherlode.packed import Column, Values, ViewRows
from serving.portrait import STATUS, iso, plain


class UnknownServiceError(ValueError):
    """A feature service that the bundle has not.

    Args:
        service: what was asked for.
        known: what there is.
    """

    def __init__(self, service: str, known: Sequence[str]) -> None:
        self.known = tuple(known)
        super().__init__(f"The feature service {service!r} is none of this bundle's.")


class Lookup:
    """Answers by one bundle, whose feature services say what there is to read, with types and times to live.

    Attributes:
        requests: by feature service, what is read.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._version = bundle.manifest.version
        self.requests: Mapping[str, tuple[ViewRequest, ...]] = {
            name: service.views for name, service in bundle.manifest.services.items()
        }

    def check(self, service: str) -> None:
        """Check that there is such a service.

        Raises:
            UnknownServiceError: naming those there are.
        """
        if service not in self.requests:
            raise UnknownServiceError(service, sorted(self.requests))

    def answer(
        self, service: str, ids: Sequence[int | str], rows: Mapping[str, ViewRows], at_us: int, notes: Sequence[str]
    ) -> FeaturesAnswer:
        """The features of N customers.

        Args:
            service: one of `requests`.
            ids: N customers, as they were asked for.
            rows: their rows of every view of the service; empty where none could be read.
            at_us: the time to judge ages by.
            notes: why there are none.
        """
        found = {
            request.view: _view(rows[request.view], request.columns, at_us)
            for request in self.requests[service]
            if request.view in rows
        }
        return FeaturesAnswer(self._version, list(ids), found, list(notes))


def _view(rows: ViewRows, columns: Sequence[Column], at_us: int) -> FeatureView:
    events = rows.event_us.tolist()
    return FeatureView(
        status=[STATUS[each] for each in rows.status.tolist()],
        age_s=[max(0, at_us - event) / 1e6 if event else None for event in events],
        values={column.name: _values(rows.columns[column.name], column) for column in columns},
    )


def _values(values: Values, column: Column) -> list[Any]:
    """One feature of N customers as JSON has it; None where it is null or no number."""
    valid = values.valid
    if column.dtype in ("float32", "float64"):
        valid = valid & np.isfinite(values.data)
    found: list[Any] = values.data.tolist()
    if column.dtype == "timestamp":
        found = [iso(each) for each in found]
    elif not column.fixed:
        found = [plain(each) if ok else None for each, ok in zip(found, valid.tolist(), strict=True)]
    if valid.all():
        return found
    return [each if ok else None for each, ok in zip(found, valid.tolist(), strict=True)]
