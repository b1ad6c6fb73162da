"""A materialisation that is killed goes on where it was, if the next has the same work, and loses nothing if not."""

import os
import signal
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import redis
import yaml

from feature_repo.stores import resume, rollout, sink, stream
from motherlode.online.writer import OnlineWriter
from motherlode.packed import FORMAT_VERSION, schema
from motherlode.redis_server import connect

TIME = pl.Datetime("us", "UTC")
N = 500
LATE, LOT = 10, 50

KILLED = f"""
    import sys, time
    from datetime import datetime, UTC
    from feast import FeatureStore
    from feature_repo.stores import resume, stream
    from motherlode.online.writer import OnlineWriter

    resume.EVERY_S = 0.0
    stream.LOT = {LOT}
    write, calls = OnlineWriter.write, []
    def slow(self, *args):
        calls.append(1)
        if len(calls) > {LATE - 4}:
            print("half", flush=True)
            time.sleep(60)
        return write(self, *args)
    OnlineWriter.write = slow
    FeatureStore(repo_path=sys.argv[1]).materialize_incremental(datetime.now(UTC))
"""


@pytest.fixture
def client(server: Any) -> Any:
    with connect(server) as connection:
        yield connection


def rows(n: int = N) -> pl.DataFrame:
    at = datetime.now(UTC) - timedelta(hours=1)
    return pl.DataFrame({"k": [f"{i}" for i in range(n)]}).with_columns(
        t=pl.lit(at, TIME), created=pl.lit(at, TIME), x=pl.lit(1.0)
    )


def xs(repo: Any, n: int = N) -> list[Any]:
    found: list[Any] = repo.store.get_online_features(["v:x"], [{"k": f"{i}"} for i in range(n)]).to_dict()["x"]
    return found


@pytest.fixture
def cut(repo: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A repo whose first materialisation lost Redis in the middle."""
    monkeypatch.setattr(resume, "EVERY_S", 0.0)
    monkeypatch.setattr(stream, "LOT", LOT)
    repo.apply(repo.view("v", rows(), ttl=timedelta(days=1)))
    write, calls = OnlineWriter.write, []

    def failing(self: Any, *given: Any) -> Any:
        calls.append(1)
        if len(calls) > LATE - 4:
            raise redis.ConnectionError
        return write(self, *given)

    with monkeypatch.context() as patch, pytest.raises(redis.ConnectionError):
        patch.setattr(OnlineWriter, "write", failing)
        rollout.incrementally(repo.store, datetime.now(UTC), rollout.chosen(repo.store))
    return repo


def killed_in_the_middle(make_repo: Any, tmp_path: Path) -> Any:
    """A repo whose first materialisation got SIGKILL in the middle."""
    repo = make_repo(tmp_path / "home")
    repo.apply(repo.view("v", rows(), ttl=timedelta(days=1)))
    (tmp_path / "feature_store.yaml").write_text(yaml.safe_dump(repo.yaml))
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    assert writer.stdout is not None
    while "half" not in writer.stdout.readline():
        assert writer.poll() is None
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    repo.store.refresh_registry()
    assert repo.store.get_feature_view("v").most_recent_end_time is None
    return repo


def sent(repo: Any, monkeypatch: pytest.MonkeyPatch) -> int:
    """Materialise; how many rows were sent."""
    written: list[int] = []
    write = OnlineWriter.write

    def counted(self: Any, target: Any, entities: Any, *rest: Any) -> Any:
        written.append(len(entities))
        return write(self, target, entities, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(OnlineWriter, "write", counted)
        (job,) = rollout.incrementally(repo.store, datetime.now(UTC), rollout.chosen(repo.store))
    assert job.rows >= N  # what the killed run sent counts
    return sum(written)


def test_killing_the_writer_in_the_middle_loses_nothing_and_the_same_work_goes_on_where_it_was(
    make_repo: Any, tmp_path: Path, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = killed_in_the_middle(make_repo, tmp_path)
    before = sum(1 for _ in client.scan_iter(f"{killed.project}/v/0/{{*"))
    assert 0 < before < N
    assert 0 < sent(killed, monkeypatch) <= N - before + LOT * sink.UNDER_WAY
    assert sent(killed, monkeypatch) == N  # it is done, so a run that begins anew sends all: they may be late
    assert xs(killed) == [1.0] * N
    assert killed.store.get_feature_view("v").most_recent_end_time is not None


def test_a_run_that_lost_redis_goes_on_where_it_was(cut: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 < sent(cut, monkeypatch) < N
    assert xs(cut) == [1.0] * N


def test_other_work_begins_anew(cut: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows(N + 1).write_parquet(cut.mart / "v.parquet")
    assert sent(cut, monkeypatch) == N + 1
    assert xs(cut, N + 1) == [1.0] * (N + 1)


def test_rows_in_another_format_are_other_work(cut: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(schema, "FORMAT_VERSION", FORMAT_VERSION + 1)
        assert sent(cut, monkeypatch) == N


def test_rows_that_redis_lost_meanwhile_are_sent_again(cut: Any, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client.delete(*client.scan_iter(f"{cut.project}/*"))
    assert sent(cut, monkeypatch) == N
    assert xs(cut) == [1.0] * N
