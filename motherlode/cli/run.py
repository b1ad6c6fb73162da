"""`motherlode run`: the whole job, once or by a schedule.

The job is a process of its own: what waits for the next night holds no model library in memory, and a run that crashes
or is killed for its memory does not end the schedule.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from motherlode.cli import options, project
from motherlode.cli.runlog import note
from motherlode.cli.schedule import Clock, Schedule, WallClock, parse, wait
from motherlode.compute import choose
from motherlode.lock import exclusive
from motherlode.settings import Settings

_SHOWN: Final = 5
"""Times that `--dry-run` shows."""
_UNWIND_S: Final = 120.0
"""Seconds that a run has to unwind when it is told to end; then it is killed, which loses nothing but its own work."""
_LOCK: Final = "schedule"


@click.command()
@click.option("--schedule", "text", help='Repeat at these times, as cron has them: "0 3 * * *".')
@click.option("--time-zone", default="UTC", show_default=True, help="Whose clock the schedule means, by IANA name.")
@click.option("--dry-run", is_flag=True, help=f"Print the schedule's next {_SHOWN} times and do nothing.")
@project.mapping
@options.home
@options.device
def run(
    text: str | None, time_zone: str, dry_run: bool, mapping: Path | None, home: Path | None, device: str | None
) -> int:
    """Raw tables → warehouse → features → online store → models → bundle in service.

    What an earlier run left is reused where it is still valid. By a schedule it goes on until SIGTERM or Ctrl-C; a run
    that fails is logged and the next one comes at its time. Times that pass while a run is under way, or while the
    machine sleeps, are made up for by one run. `logs/run.log` under the home folder says what happened.
    """
    settings = Settings.from_env(home=home, device=device, mapping=mapping)
    console = Console()
    schedule = None if text is None else parse(text, time_zone)
    if dry_run:
        if schedule is None:
            raise click.UsageError("--dry-run shows a schedule's times: give --schedule.")
        _show(console, schedule, WallClock())
        return 0
    choose(settings.device)  # a GPU that is not there fails here, not after the first stages
    project.find(settings)
    if schedule is None:
        os.execv(sys.executable, _command(settings))
    with exclusive(settings, _LOCK):
        job = Job(settings, _command(settings))
        return repeat(schedule, job, WallClock(), lambda told: console.print(told, highlight=False, soft_wrap=True))


def repeat(schedule: Schedule, start: Callable[[], int], clock: Clock, tell: Callable[[str], None]) -> int:
    """Run at each of a schedule's times, one run after the other, until a signal ends it.

    Args:
        schedule: when.
        start: a run; returns its exit code, 0 where it went well.
        clock: what the times are read from.
        tell: takes what a person wants to know.

    Returns:
        The last run's exit code; 0 before the first. A signal that comes during a run is not caught.
    """
    code, seen = 0, clock.now()
    while True:
        due = schedule.after(seen)
        try:
            tell(f"Next run at {_shown(due, schedule)}.")
            wait(due, clock)
        except (KeyboardInterrupt, SystemExit):
            tell("Told to end; no run was under way.")
            return code
        # Every time up to this moment is made up for by this run.
        seen = clock.now()
        code = start()
        if code:
            tell(f"The run failed with exit code {code}; the schedule goes on.")


class Job:
    """Runs a command to its end, as a process.

    Args:
        settings: whose `logs/run.log` names a run that was killed.
        command: the command and its arguments.
    """

    def __init__(self, settings: Settings, command: Sequence[str]) -> None:
        self._settings = settings
        self._command = command

    def __call__(self) -> int:
        """Its exit code; as a shell has it, 128 and the signal's number, where a signal killed it."""
        # A process group of its own: Ctrl-C reaches this process alone, which then ends the job, once.
        process = subprocess.Popen(self._command, process_group=0)
        try:
            code = process.wait()
        except BaseException:  # whatever interrupts the wait, nothing may be left running
            _end(process)
            raise
        if code < 0:
            note(self._settings, f"failed: killed by signal {-code} ({signal.strsignal(-code)})")
        return code if code >= 0 else 128 - code


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a job as Ctrl-C would; one that hangs, or a second signal to this process, kills it."""
    process.terminate()
    try:
        process.wait(_UNWIND_S)
    except BaseException as error:  # as above
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if not isinstance(error, subprocess.TimeoutExpired):
            raise


def _command(settings: Settings) -> list[str]:
    """The job with these settings; what the environment says it finds there itself."""
    command = [sys.executable, "-m", "motherlode.cli.job", f"--home={settings.home}", f"--device={settings.device}"]
    return command if settings.mapping is None else [*command, f"--mapping={settings.mapping}"]


def _show(console: Console, schedule: Schedule, clock: Clock) -> None:
    moment = clock.now()
    for _ in range(_SHOWN):
        moment = schedule.after(moment)
        console.print(_shown(moment, schedule), highlight=False)


def _shown(moment: datetime, schedule: Schedule) -> str:
    return f"{moment.astimezone(schedule.zone):%Y-%m-%d %H:%M:%S %Z} ({moment:%Y-%m-%d %H:%M:%S} UTC)"
