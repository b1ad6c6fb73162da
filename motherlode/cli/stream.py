"""`motherlode stream`: live events into the view `live` and into raw, until Ctrl-C."""

import gc
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Final

import click
from rich.console import Console

from feature_repo.live import consumer
from feature_repo.live.consumer import Progress
from feature_repo.warehouse import privacy, reencrypt, vault
from motherlode.cli import options, project
from motherlode.settings import Settings

_EVERY_S: Final = 10.0
"""Seconds between two lines of what is being done."""


@click.command()
@click.option("--once", is_flag=True, help="End when no event is left.")
@click.option("--replay", is_flag=True, help="Make the view anew from raw, then from what waits, and end.")
@click.option(
    "--land-every",
    type=click.FloatRange(min=0.1, max=3600),
    default=consumer.LAND_S,
    show_default=True,
    help="Seconds that an event waits at most before it is landed.",
)
@project.mapping
@options.home
def stream(once: bool, replay: bool, land_every: float, mapping: Path | None, home: Path | None) -> None:
    """Count live events (POST /v1/events) into each customer's row of the view `live`, at once, and land them in raw,
    where the next `motherlode ingest` finds them.

    One process works; a second one of this home waits, and takes over when the first ends.
    """
    console = Console()
    settings = Settings.from_env(home=home, mapping=mapping)
    company = project.find(settings)
    privacy.identity(settings, company)
    vault.require(settings, company, reencrypt.raw_files(settings))
    told = _Told(console)
    # What was loaded so far stays: looking it through again would hold up events for 30 ms every time.
    gc.freeze()
    with _stopping() as stop:
        done = consumer.run(
            settings, stop, once=once or replay, anew=replay, land_s=land_every, on_progress=told.progress
        )
    told.last(done)


class _Told:
    """What is printed: a line when what is being done changes, and one every ten seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._state, self._at = "", time.monotonic()
        self._before = Progress()

    def progress(self, now: Progress) -> None:
        """Print what is due."""
        if now.state != self._state:
            self._state = now.state
            self._console.print(_STATES[now.state], highlight=False)
        passed = time.monotonic() - self._at
        if passed >= _EVERY_S:
            rate = (now.counted - self._before.counted + now.replayed - self._before.replayed) / passed
            self._console.print(
                f"{rate:,.0f} events/s; newest {now.lag_s * 1000:,.0f} ms old when counted; "
                f"{now.backlog:,} in the stream, {now.landed:,} landed{_odd(now)}.",
                highlight=False,
                soft_wrap=True,
            )
            self._at, self._before = time.monotonic(), replace(now)

    def last(self, done: Progress) -> None:
        """Print what was done."""
        self._console.print(
            f"{done.counted:,} events counted, {done.landed:,} landed"
            f"{f', {done.replayed:,} replayed' if done.replayed else ''}{_odd(done)}; {done.backlog:,} in the stream.",
            highlight=False,
            soft_wrap=True,
        )


_STATES: Final = {
    "waits": "Another process consumes; this one waits to take over.",
    "reads": "Reading events. Ctrl-C ends it.",
    "reconnects": "The server does not answer; trying again.",
    "replays": "Making the view anew from raw.",
}


def _odd(progress: Progress) -> str:
    """What is not as it should be, or worth a word."""
    counts = {
        "of visitors whose customer is unknown": progress.nobodys,
        "dropped, of customers that were erased": progress.erased,
        "met a damaged row (run `motherlode stream --replay`)": progress.damaged,
    }
    return "".join(f", {count:,} {what}" for what, count in counts.items() if count)


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """An event that Ctrl-C or a service manager's stop sets: what was read is landed before the process ends."""
    stop = threading.Event()

    def handler(_: int, __: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, old in before.items():
            signal.signal(number, old)
