"""Features as they lie in the online store, column by column: what an application computes with itself. No HTTP."""

from collections.abc import Mapping, Sequence
from typing import Any

from motherlode.api import FeaturesAnswer, FeatureView
from motherlode.bundle import Bundle
from motherlode.online.reader import ViewRequest
from motherlode.packed import Column, ViewRows
from serving.batching import bounds
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
        self, service: str, asked: Sequence[Sequence[int | str]], rows: Mapping[str, ViewRows], at_us: int
    ) -> list[FeaturesAnswer]:
        """The features of several requests' customers, by request.

        Args:
            service: one of `requests`.
            asked: each request's customers, as they were asked for; N in all.
            rows: their rows of every view of the service.
            at_us: the time to judge ages by.
        """
        found = {request.view: _view(rows[request.view], request.columns, at_us) for request in self.requests[service]}
        if len(asked) == 1:
            return [FeaturesAnswer(self._version, list(asked[0]), found, [])]
        return [
            FeaturesAnswer(self._version, list(ids), {name: _part(view, a, b) for name, view in found.items()}, [])
            for ids, (a, b) in zip(asked, bounds(asked), strict=True)
        ]

    def nothing(self, ids: Sequence[int | str], reason: str) -> FeaturesAnswer:
        """What can be said when no feature could be read: that, and why."""
        return FeaturesAnswer(self._version, list(ids), {}, [reason])


def _part(view: FeatureView, start: int, stop: int) -> FeatureView:
    """Some customers of a view."""
    values = {name: each[start:stop] for name, each in view.values.items()}
    return FeatureView(view.status[start:stop], view.age_s[start:stop], values)


def _view(rows: ViewRows, columns: Sequence[Column], at_us: int) -> FeatureView:
    return FeatureView(
        status=[STATUS[each] for each in rows.statuses],
        age_s=[max(0, at_us - event) / 1e6 if event else None for event in rows.events],
        values={column.name: _values(rows, column) for column in columns},
    )


def _values(rows: ViewRows, column: Column) -> list[Any]:
    """One feature of N customers as JSON has it; None where it is null, and what is no number is encoded as that."""
    if column.dtype == "timestamp":
        return [None if each is None else iso(each) for each in rows.python(column.name)]
    if column.fixed or column.dtype == "string":
        return rows.python(column.name)
    values = rows.columns[column.name]
    return [plain(each) if ok else None for each, ok in zip(values.data.tolist(), values.valid.tolist(), strict=True)]
