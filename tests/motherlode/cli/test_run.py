"""The schedule's loop: one run at a time, none lost, none doubled; and the command itself, with real processes."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import feature_repo
from motherlode import audit
from motherlode.cli import main, run, runlog
from motherlode.cli.schedule import WallClock, parse
from motherlode.errors import StoreError
from motherlode.lock import exclusive
from motherlode.settings import Settings

NIGHTLY = parse("0 3 * * *", "UTC")
START = datetime(2024, 5, 1, tzinfo=UTC)
SHOP = Path(feature_repo.__file__).parent.parent / "examples" / "online_shop" / "motherlode.yaml"


class StopError(BaseException):
    """Ends a loop that has no end."""


class Clock:
    """A clock that passes when it is slept on, until its last moment."""

    def __init__(self, last: datetime) -> None:
        self.moment, self.last = START, last

    def now(self) -> datetime:
        return self.moment

    def sleep(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)
        if self.moment > self.last:
            raise KeyboardInterrupt


def runs(takes: list[timedelta], codes: list[int], last: datetime) -> tuple[list[datetime], int]:
    """When runs of these lengths and exit codes began, and the loop's own exit code."""
    clock = Clock(last)
    began: list[datetime] = []

    def start() -> int:
        number = len(began)
        began.append(clock.moment)
        clock.moment += takes[number] if number < len(takes) else timedelta(minutes=1)
        return codes[number] if number < len(codes) else 0

    return began, run.repeat(NIGHTLY, start, clock, lambda _: None)


def test_it_runs_at_each_of_its_times() -> None:
    began, code = runs([], [], START + timedelta(days=3))
    assert began == [datetime(2024, 5, day, 3, tzinfo=UTC) for day in (1, 2, 3)]
    assert code == 0


def test_times_that_pass_during_a_run_are_made_up_for_by_one() -> None:
    began, _ = runs([timedelta(days=3, hours=1)], [], START + timedelta(days=5))
    assert began == [
        datetime(2024, 5, 1, 3, tzinfo=UTC),
        datetime(2024, 5, 4, 4, tzinfo=UTC),
        datetime(2024, 5, 5, 3, tzinfo=UTC),
    ]


def test_a_run_that_fails_does_not_end_the_schedule() -> None:
    began, code = runs([], [1, -9, 0], START + timedelta(days=3))
    assert len(began) == 3
    assert code == 0


def test_told_to_end_between_runs_it_answers_how_the_last_run_went() -> None:
    _, code = runs([], [0, 1], START + timedelta(days=2))
    assert code == 1


def test_a_signal_during_a_run_goes_up() -> None:
    def start() -> int:
        raise StopError

    with pytest.raises(StopError):
        run.repeat(NIGHTLY, start, Clock(START + timedelta(days=2)), lambda _: None)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in [name for name in os.environ if name.startswith("MOTHERLODE_")] + ["REDIS_URL"]:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "a home"


def exit_code(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["run", *arguments])
    assert isinstance(stop.value.code, int)
    return stop.value.code


def test_a_dry_run_shows_the_next_five_times_and_does_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--schedule", "0 3 * * *", "--time-zone", "Asia/Shanghai", "--dry-run", "--home", str(home))
    assert exit_code(*arguments) == 0
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 5
    assert all("03:00:00 CST" in line and "19:00:00 UTC" in line for line in shown)
    assert not home.exists()


def test_a_bad_schedule_is_an_error_that_names_it(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--schedule", "every night", "--home", str(home)) == 1
    assert "'every night'" in capsys.readouterr().err
    assert not home.exists()


def test_without_a_mapping_a_schedule_does_not_begin(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--schedule", "0 3 * * *", "--home", str(home)) == 1
    assert "motherlode.yaml" in capsys.readouterr().err


def test_how_a_block_ended_stands_in_both_logs(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with runlog.logged(settings) as log:
        log.bundle = "v1"
    with pytest.raises(ZeroDivisionError), runlog.logged(settings):
        _ = 1 / 0
    with pytest.raises(KeyboardInterrupt), runlog.logged(settings):
        raise KeyboardInterrupt
    said = [line.split(" ", 1)[1] for line in (settings.logs / runlog.LOG).read_text().splitlines()]
    assert said == [
        "started",
        "ended after 0 s: bundle v1",
        "started",
        "failed after 0 s: ZeroDivisionError: division by zero",
        "started",
        "stopped after 0 s: by a signal",
    ]
    assert [entry.subject for entry in audit.read(settings)] == ["ended", "failed", "stopped"]


@pytest.fixture
def alarm() -> Iterator[Callable[[float], None]]:
    """Interrupts this process, as Ctrl-C would, after some seconds."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds) and None
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_a_signal_ends_the_waiting_at_once(alarm: Callable[[float], None]) -> None:
    began = time.monotonic()
    alarm(0.2)
    assert run.repeat(parse("0 0 29 2 *", "UTC"), lambda: 1, WallClock(), lambda _: None) == 0
    assert time.monotonic() - began < 5


def python(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def test_a_job_that_is_killed_is_noted_and_answers_as_a_shell_would(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert run.Job(settings, python("raise SystemExit(3)"))() == 3
    assert not settings.logs.exists()
    assert run.Job(settings, python("import os; os.kill(os.getpid(), 9)"))() == 137
    assert "killed by signal 9 (Killed)" in (settings.logs / runlog.LOG).read_text()


def test_a_signal_ends_the_job_before_it_goes_up(tmp_path: Path, alarm: Callable[[float], None]) -> None:
    mark = tmp_path / "mark"
    text = f"""
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
mark = pathlib.Path({str(mark)!r})
mark.write_text("begun")
try:
    time.sleep(600)
finally:
    time.sleep(0.2)
    mark.write_text("unwound")
"""
    alarm(2)
    with pytest.raises(KeyboardInterrupt):
        run.Job(Settings(home=tmp_path), python(text))()
    assert mark.read_text() == "unwound"


def test_a_schedule_survives_a_failing_run_and_ends_by_a_signal(home: Path) -> None:
    """The command itself, on a mapping whose files are not there."""
    home.parent.joinpath("shop").mkdir()
    mapping = shutil.copy(SHOP, home.parent / "shop")
    command = [*python("from motherlode.cli import main; main()"), "run", "--schedule", "* * * * * *"]
    environment = {**os.environ, "MOTHERLODE_PSEUDONYM_KEY": "a key of no worth, for a test"}
    process = subprocess.Popen(
        [*command, "--home", str(home), "--mapping", str(mapping)], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Next run at ")
        with pytest.raises(StoreError, match=f"process {process.pid}"), exclusive(Settings(home=home), "schedule"):
            pass
        assert any("The run failed with exit code 1; the schedule goes on." in line for line in process.stdout)
        process.send_signal(signal.SIGTERM)
        # Told between two runs, it answers how the last one went; told during one, by which signal it ended.
        assert process.wait(60) in (1, 128 + signal.SIGTERM)
    finally:
        process.terminate()
        process.wait(60)
    first, second, *_ = (home / "logs" / runlog.LOG).read_text().splitlines()
    assert first.endswith(" started")
    assert " failed after " in second
    with exclusive(Settings(home=home)):
        pass
    assert audit.verify(Settings(home=home, pseudonym_key=environment["MOTHERLODE_PSEUDONYM_KEY"])) > 0
