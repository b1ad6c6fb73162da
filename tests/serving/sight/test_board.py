"""Replicas answer for one another, in processes of their own that are really killed; counts never go back."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from serving.sight import Health, Sight, board
from serving.sight.counts import Series
from serving.sight.metrics import BUNDLE_REFUSED, IN_FLIGHT, REDIS_UP

HEALTH = Health("v1", "cpu", None, True)
REPLICA = """
import asyncio, sys
from pathlib import Path
from serving.sight import Health, Sight
sight = Sight(Path(sys.argv[1]))
for _ in range(int(sys.argv[2])):
    sight.end(sight.begin("POST", ()), "/v1/score", 200)
sight.begin("POST", ())
health = Health("v1", "cpu", None, True)
asyncio.run(sight.beat(health))
print("told", flush=True)
for line in sys.stdin:
    print(asyncio.run(sight.text(health)), "END", sep="", flush=True)
"""


@contextmanager
def replica(folder: Path, requests: int) -> Iterator[subprocess.Popen[str]]:
    """Another process that answered so many requests, and has one in flight."""
    command = [sys.executable, "-c", REPLICA, str(folder), str(requests)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "told\n"
        yield process
    finally:
        process.kill()
        process.wait()


def ask(process: subprocess.Popen[str]) -> str:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return "".join(iter(process.stdout.readline, "END\n"))


def value(text: str, series: str) -> float:
    (found,) = re.findall(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE)
    return float(found)


ANSWERED = 'motherlode_request_seconds_count{route="/v1/score",status="200"}'


def answer(sight: Sight, times: int) -> None:
    for _ in range(times):
        sight.end(sight.begin("POST", ()), "/v1/score", 200)


def test_whichever_replica_is_asked_answers_for_all(tmp_path: Path) -> None:
    mine = Sight(tmp_path)
    answer(mine, 3)
    asyncio.run(mine.beat(HEALTH))
    with replica(tmp_path, 5) as other:
        here = asyncio.run(mine.text(HEALTH))
        answer(mine, 2)
        asyncio.run(mine.beat(HEALTH))
        there = ask(other)
    assert (value(here, ANSWERED), value(there, ANSWERED)) == (8, 10)
    assert value(here, "motherlode_replicas") == 2
    assert value(here, "motherlode_requests_in_flight") == 1
    assert value(here, 'motherlode_bundle_info{version="v1",device="cpu"}') == 2
    assert here.count("motherlode_replica_resident_bytes{") == 2


def test_what_a_killed_replica_had_counted_stays_counted_and_what_it_held_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = Sight(tmp_path)
    with replica(tmp_path, 5):
        before = asyncio.run(mine.text(HEALTH))
    monkeypatch.setattr(board, "FRESH_S", 0.0)  # it is silent for longer than that
    gone = asyncio.run(mine.text(HEALTH))
    monkeypatch.undo()
    assert value(gone, ANSWERED) == 5
    with replica(tmp_path, 7) as third:  # it puts away what the dead one left
        assert value(ask(third), ANSWERED) == 12
    with replica(tmp_path, 1) as fourth:
        after = ask(fourth)
    assert (value(before, ANSWERED), value(after, ANSWERED)) == (5, 13)
    assert value(after, "motherlode_replica_starts_total") == 4
    assert value(after, "motherlode_replicas") == 2
    assert value(after, "motherlode_requests_in_flight") == 1
    assert len(list(tmp_path.glob("*.json"))) == 2


def test_a_server_that_starts_anew_begins_at_nothing(tmp_path: Path) -> None:
    with replica(tmp_path, 5):
        pass
    text = asyncio.run(Sight(tmp_path).text(HEALTH))
    assert ANSWERED not in text
    assert value(text, "motherlode_replica_starts_total") == 1


def test_a_file_that_cannot_be_read_is_nobodys(tmp_path: Path) -> None:
    mine = Sight(tmp_path)
    answer(mine, 1)
    asyncio.run(mine.beat(HEALTH))
    (tmp_path / "elsewhere-1.json").write_text('{"half')
    text = asyncio.run(mine.text(HEALTH))
    assert (value(text, ANSWERED), value(text, "motherlode_replicas")) == (1, 1)


def test_where_nothing_can_be_written_a_replica_answers_for_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    mine = Sight(tmp_path / "file" / "folder")
    answer(mine, 2)
    assert value(asyncio.run(mine.text(HEALTH)), ANSWERED) == 2
    assert value(asyncio.run(mine.text(HEALTH)), ANSWERED) == 2
    assert [each.levelname for each in caplog.records] == ["WARNING"]


def snapshot(pid: int, **series: float) -> board.Snapshot:
    return board.Snapshot("a", pid, 0.0, 0.0, "v1", {name: [Series((), each)] for name, each in series.items()})


def test_gauges_become_the_sum_the_worst_or_the_best() -> None:
    names = (IN_FLIGHT.name, REDIS_UP.name, BUNDLE_REFUSED.name)
    found = board.merge(
        [
            snapshot(1, **dict(zip(names, (2, 1, 0), strict=True))),
            snapshot(2, **dict(zip(names, (3, 0, 1), strict=True))),
        ],
        [snapshot(3, **dict(zip(names, (9, 0, 9), strict=True)))],
    )
    assert [found[name][0].value for name in names] == [5, 0, 1]
