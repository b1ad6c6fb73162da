"""`motherlode stream`: drains and ends, works until it is told to stop, makes the view anew."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from feature_repo.warehouse import events as segments
from motherlode import redis_server
from motherlode.cli.main import main
from motherlode.events import Appender, Event, stream_key
from motherlode.settings import Settings, environment

MAPPING = """
version: 1
company: A Shop
privacy: {pseudonym: none}
sources:
  lines: {files: lines.csv}
tables:
  transactions:
    from: lines
    columns: {customer_id: who, item_id: what, amount: paid, event_timestamp: at}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project with a mapping, and a server that goes on while commands come and go."""
    (tmp_path / "motherlode.yaml").write_text(MAPPING)
    (tmp_path / "lines.csv").write_text("who,what,paid,at\n1,a,2.5,2019-03-04T05:06:07\n")
    monkeypatch.chdir(tmp_path)
    with redis_server.running(Settings(home=tmp_path / ".motherlode")):
        yield tmp_path


def client(folder: Path) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(redis_server.socket_path(Settings(home=folder / ".motherlode"))))


def send(folder: Path, first: int, count: int) -> None:
    with client(folder) as connected:
        events = [Event(event_id=f"e{i}", customer_id=i % 3) for i in range(first, first + count)]
        Appender(connected, "motherlode").append_now(events)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["stream", *arguments])
    return int(ended.value.code or 0)


def test_once_drains_and_replay_makes_the_view_anew(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    send(folder, 0, 30)
    assert run("--once") == 0
    assert "30 events counted, 30 landed; 0 in the stream." in capsys.readouterr().out
    assert run("--once") == 0
    assert "0 events counted, 0 landed" in capsys.readouterr().out
    send(folder, 30, 5)
    assert run("--replay") == 0
    printed = capsys.readouterr().out
    assert "Making the view anew from raw." in printed
    assert "5 events counted, 5 landed, 30 replayed; 0 in the stream." in printed


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_lands_what_it_read_and_ends_well(folder: Path, how: signal.Signals) -> None:
    command = [str(Path(sys.executable).with_name("motherlode")), "stream", "--land-every", "3600"]
    working = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, env=environment({}))
    assert working.stdout is not None
    assert "Reading events." in working.stdout.readline()
    send(folder, 0, 20)
    with client(folder) as connected:
        until = time.monotonic() + 20
        while not connected.keys("motherlode/live/0/*") and time.monotonic() < until:
            time.sleep(0.02)
        assert connected.keys("motherlode/live/0/*"), "counted at once"
        assert connected.xlen(stream_key("motherlode")) == 20, "and not landed for an hour"
    os.kill(working.pid, how)
    printed, _ = working.communicate(timeout=30)
    assert (working.returncode, "20 events counted, 20 landed; 0 in the stream." in printed) == (0, True), printed
    assert sum(table.num_rows for table in segments.read(Settings(home=folder / ".motherlode"))) == 20


def test_it_refuses_to_land_in_clear_what_must_be_encrypted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "motherlode.yaml").write_text(MAPPING.replace("pseudonym: none", "pseudonym: none, encrypt_raw: true"))
    assert run("--once") == 1
    assert "no raw key" in capsys.readouterr().err
