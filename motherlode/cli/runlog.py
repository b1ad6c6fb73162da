"""The log of whole runs: when each began, how it ended, and why."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from motherlode import audit
from motherlode.errors import MotherlodeError
from motherlode.settings import Settings

LOG: Final = "run.log"
"""Below the home folder's `logs`: a line an event, its time first."""


@dataclass
class Run:
    """A run that is being logged.

    Attributes:
        bundle: version of the bundle that it published; "" until then.
    """

    bundle: str = ""


@contextmanager
def logged(settings: Settings) -> Iterator[Run]:
    """Note in `logs/run.log` and in the audit log how the block ended, failures and interruptions included."""
    started = time.monotonic()
    audit.check(settings)  # a log that takes no entry fails here, not after hours of work
    note(settings, "started")
    run = Run()
    try:
        yield run
    except BaseException as error:  # every way to end is noted, and goes on up
        _end(settings, started, "stopped" if _is_stop(error) else "failed", _words(error))
        raise
    _end(settings, started, "ended", f"bundle {run.bundle}")


def note(settings: Settings, what: str) -> None:
    """Append a line with the time to `logs/run.log`."""
    settings.logs.mkdir(parents=True, exist_ok=True)
    with (settings.logs / LOG).open("a", encoding="utf-8") as file:
        file.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {' '.join(what.split())}\n")


def _end(settings: Settings, started: float, how: str, why: str) -> None:
    seconds = round(time.monotonic() - started)
    note(settings, f"{how} after {seconds} s: {why}")
    audit.record(settings, "run", how, seconds=seconds, why=why)


def _is_stop(error: BaseException) -> bool:
    return isinstance(error, KeyboardInterrupt | SystemExit)


def _words(error: BaseException) -> str:
    if isinstance(error, MotherlodeError):
        return str(error)
    return "by a signal" if _is_stop(error) else f"{type(error).__name__}: {error}"
