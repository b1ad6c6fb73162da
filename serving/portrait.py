"""The portrait: every feature of one customer by view, with its age. No Ray, no HTTP."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import numpy as np

from motherlode import names
from motherlode.api import Portrait, Score, ViewAnswer
from motherlode.bundle import Bundle
from motherlode.events import LIVE
from motherlode.online.reader import ViewRequest
from motherlode.packed import Column, ViewRows
from motherlode.packed import Status as RowStatus
from serving import features
from serving.scoring import Scorer

STATUS: Final[Mapping[int, Literal["present", "stale", "unknown", "corrupt"]]] = {
    RowStatus.PRESENT: "present",
    RowStatus.STALE: "stale",
    RowStatus.UNKNOWN: "unknown",
    RowStatus.CORRUPT: "corrupt",
}
"""A row's status → what an answer calls it."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Painter:
    """Draws portraits by one bundle.

    Args:
        bundle: its feature services say what there is to know, besides what the customer did live.
        scorer: of the same bundle.
    """

    def __init__(self, bundle: Bundle, scorer: Scorer) -> None:
        services = bundle.manifest.services
        everything = [
            (view.view, column.name)
            for service in services.values()
            for view in service.views
            for column in view.columns
        ]
        scored = [(request.view, column.name) for request in scorer.requests for column in request.columns]
        modelled = features.requests(services, [*scored, *everything])
        self.requests = (*modelled, ViewRequest(names.LIVE, LIVE.columns, None))

    def paint(self, version: str, device: str, score: Score, rows: Mapping[str, ViewRows], at_us: int) -> Portrait:
        """A customer's portrait.

        Args:
            version, device: of the bundle's answers.
            score: the customer's scores.
            rows: one row of every view of `requests`; empty where none could be read.
            at_us: the time to judge ages by.
        """
        return Portrait(
            bundle=version,
            device=device,
            customer_id=score.customer_id,
            status=score.status,
            segment=score.segment,
            scores=score.scores,
            features_age_s=score.features_age_s,
            features={
                request.view: _view(rows[request.view], request.columns, at_us)
                for request in self.requests
                if request.view in rows and (request.view != names.LIVE or _known(rows[names.LIVE]))
            },
            notes=score.notes,
        )


def _known(rows: ViewRows) -> bool:
    """Whether there is a row: most customers have done nothing live."""
    return int(rows.status[0]) != RowStatus.UNKNOWN


def _view(rows: ViewRows, columns: tuple[Column, ...], at_us: int) -> ViewAnswer:
    event_us = int(rows.event_us[0])
    return ViewAnswer(
        status=STATUS[int(rows.status[0])],
        event_timestamp=iso(event_us) if event_us else None,
        age_s=max(0, at_us - event_us) / 1e6 if event_us else None,
        values={column.name: _value(rows, column) for column in columns},
    )


def _value(rows: ViewRows, column: Column) -> Any:
    """A feature as JSON has it; None where it is null or no number."""
    values = rows.columns[column.name]
    if not values.valid[0]:
        return None
    value = values.data[0]
    return iso(int(value)) if column.dtype == "timestamp" else plain(value)


def plain(value: Any) -> Any:
    """A feature's value as JSON has it; a list with its elements."""
    if isinstance(value, np.ndarray):
        return [_number(each) for each in value]
    if isinstance(value, list):
        return [str(each, "latin-1") if isinstance(each, bytes) else each for each in value]
    if isinstance(value, bytes):
        return str(value, "latin-1")
    return value if isinstance(value, str) else _number(value)


def _number(value: Any) -> int | float | bool | None:
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, float):
        # The shortest decimal that is this float32, not the many digits of its double.
        return float(str(value)) if np.isfinite(plain) else None
    return plain  # type: ignore[no-any-return]


def iso(us: int) -> str | None:
    """Microseconds since 1970 UTC as ISO 8601; None beyond the years 1 to 9999, which a row's 64 bits can hold."""
    try:
        return (_EPOCH + timedelta(microseconds=us)).isoformat()
    except OverflowError:
        return None
