"""Logs as JSON, one object a line, without personal data.

An exception's message may hold what was asked for. So of an exception the line has the kind and the places in the
code, and what this code says of itself.
"""

import logging
import traceback
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final

import msgspec

LOG: Final = "serving.jsonl"
"""The file of every replica, in the home's `logs`; `serve.log` beside it is what Ray says."""
_FIELDS: Final = ("request_id", "route", "status")
"""What a record may carry besides its message."""
_DEEPEST: Final = 30
_CAUSES: Final = 5


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
        }
        line |= {name: value for name in _FIELDS if (value := getattr(record, name, None)) is not None}
        if record.exc_info and record.exc_info[1] is not None:
            line["errors"] = [_told(each) for each in _chain(record.exc_info[1])]
        return msgspec.json.encode(line).decode()


def _chain(error: BaseException | None) -> list[BaseException]:
    """An exception and what it came from."""
    found: list[BaseException] = []
    while error is not None and len(found) < _CAUSES:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _told(error: BaseException) -> dict[str, object]:
    return {"kind": type(error).__qualname__, "stack": _stack(error.__traceback__)}


def _stack(places: TracebackType | None) -> list[str]:
    """Where it was raised, the innermost last."""
    frames = list(traceback.walk_tb(places))[-_DEEPEST:]
    return [f"{Path(frame.f_code.co_filename).name}:{line} {frame.f_code.co_qualname}" for frame, line in frames]
