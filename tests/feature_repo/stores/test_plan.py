"""What `plan` predicts is what a materialisation then takes."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from feast.infra.common.materialization_job import MaterializationTask

from feature_repo.stores import plan, rollout, runs
from feature_repo.stores.compare import Thresholds
from feature_repo.stores.engine import MotherlodeJob
from motherlode.online.keys import row_key
from motherlode.redis_server import connect, running
from motherlode.settings import Settings

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
TIME = pl.Datetime("us", "UTC")
N = 2500
"""Customers, as the demo has them."""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A server of this module's own, whose memory nobody else uses."""
    with running(Settings(home=tmp_path_factory.mktemp("own valkey"))) as bound:
        yield bound


@pytest.fixture
def repo(own: Settings, make_repo: Any, tmp_path: Path) -> Any:
    with connect(own) as client:
        client.flushall()
        client.config_set("maxmemory", 0)
    return type(make_repo(tmp_path / "unused"))(tmp_path / "home", own, "planned", sql=False)


def frame(columns: int, weeks: int = 3, n: int = N) -> pl.DataFrame:
    """`n` customers, `weeks` snapshots each: numbers, words and lists with nulls."""
    rng, at = np.random.default_rng(0), datetime.now(UTC) - HOUR
    keys = pl.DataFrame({"customer_id": [f"{i}" for i in range(n)]})
    times = pl.DataFrame({"t": pl.Series([at - i * 7 * DAY for i in range(weeks)], dtype=TIME)})
    both = keys.join(times, how="cross")
    numbers = {f"f{i}": rng.normal(size=both.height) for i in range(columns)}
    words = pl.Series([f"category {i}" if i % 3 else None for i in rng.integers(0, 20, both.height)])
    lists = pl.Series([list(range(int(k))) for k in rng.integers(0, 30, both.height)], dtype=pl.List(pl.Int64))
    return both.with_columns(**numbers, word=words, items=lists, created=pl.col("t"))


def views(repo: Any) -> list[Any]:
    wide, narrow = frame(30), frame(1, weeks=1).drop("items", "word")
    several = frame(2, weeks=1).with_columns(item=pl.lit("an item"))
    return [
        repo.view("wide", wide, keys=("customer_id",), ttl=400 * DAY),
        repo.view("narrow", narrow, keys=("customer_id",)),
        repo.view("several", several, keys=("customer_id", "item"), ttl=9 * DAY),
    ]


def predicted(repo: Any, kind: plan.Kind = "incremental") -> plan.Plan:
    return plan.predict(repo.store, datetime.now(UTC), rollout.chosen(repo.store), kind)


def used(own: Settings) -> int:
    with connect(own) as client:
        found: int = client.info("memory")["used_memory"]
        return found


def materialise(repo: Any) -> None:
    rollout.incrementally(repo.store, datetime.now(UTC), rollout.chosen(repo.store))


def test_memory_is_predicted_within_a_quarter_for_a_first_run_and_for_a_shadow(repo: Any, own: Settings) -> None:
    for view in views(repo):
        repo.apply(view)
        with connect(own) as client:
            client.execute_command("FLUSHALL", "SYNC")  # by default it frees memory later, while it is counted
        before = used(own)  # Redis' tables, that a plan's sample makes larger, are of the truth
        told = plan.predict(repo.store, datetime.now(UTC), rollout.chosen(repo.store, [view.name]), "incremental")
        rollout.incrementally(repo.store, datetime.now(UTC), rollout.chosen(repo.store, [view.name]))
        assert told.bytes == pytest.approx(used(own) - before, rel=0.25), view.name
        assert told.views[0].rows == N
    before = used(own)
    told = plan.predict(repo.store, datetime.now(UTC), rollout.chosen(repo.store, ["several"]), "shadow")
    rollout.beside(repo.store, datetime.now(UTC), rollout.chosen(repo.store, ["several"]), Thresholds())
    assert told.bytes == pytest.approx(used(own) - before, rel=0.25)
    assert told.freed == 0
    again = plan.predict(repo.store, datetime.now(UTC), rollout.chosen(repo.store, ["several"]), "shadow")
    assert again.freed == pytest.approx(again.bytes, rel=0.01)


def test_what_lies_in_redis_already_takes_no_room_and_nothing_is_left_of_a_plan(repo: Any, own: Settings) -> None:
    repo.apply(*views(repo))
    assert {view.by for view in predicted(repo).views} == {"probe"}
    with connect(own) as client:
        assert client.dbsize() == 0
    materialise(repo)
    told = predicted(repo, "full")
    assert (told.rows, told.bytes) == (3 * N, 0)
    assert {view.by for view in told.views} == {"last run"}
    assert sorted(runs.read(Settings(home=repo.home))) == ["narrow", "several", "wide"]


def test_the_next_run_takes_what_came_since(repo: Any) -> None:
    rows = frame(3, weeks=1).with_columns(created=pl.lit(datetime.now(UTC) - 9 * DAY, TIME))
    repo.apply(repo.view("v", rows, keys=("customer_id",), ttl=400 * DAY))
    materialise(repo)
    assert predicted(repo).rows == 0
    newer = rows.head(7).with_columns(t=pl.lit(datetime.now(UTC), TIME))
    pl.concat([rows, newer]).write_parquet(repo.mart / "v.parquet")
    told = predicted(repo)
    assert (told.rows, told.views[0].new) == (7, 0)


def test_what_redis_weighs_is_as_long_as_rows_and_holds_none_of_a_customers_values(repo: Any, own: Settings) -> None:
    repo.apply(repo.view("v", frame(3, weeks=1, n=200), keys=("customer_id",), ttl=400 * DAY))
    with connect(own) as client, client.monitor() as commands:
        predicted(repo)
        seen = list(sent(commands, until="UNLINK"))
    written = [words for words in seen if words[0] == "SET"]
    assert len(written) == 200
    for _, key, value, *_ in written:
        assert key.startswith("planned/@plan/0") and set(value) == {"\\", "x", "0"}
    assert {len(key) for _, key, *_ in written} == {len(row_key("planned", "v", f"{i}")) for i in range(200)}


def sent(commands: Any, until: str) -> Iterator[list[str]]:
    """The words of commands that a server gets, up to the first of a name."""
    while True:
        words = commands.next_command()["command"].split(" ")
        yield words
        if words[0] == until:
            return


def test_on_a_server_that_evicts_nothing_is_written(repo: Any, own: Settings) -> None:
    repo.apply(repo.view("v", frame(3, weeks=1), keys=("customer_id",), ttl=400 * DAY))
    weighed = predicted(repo).bytes
    with connect(own) as client:
        client.config_set("maxmemory", client.info("memory")["used_memory"] + 100_000_000)
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_resetstat()
        try:
            assert predicted(repo).bytes == pytest.approx(weighed, rel=0.1)
            assert "cmdstat_set" not in client.info("commandstats")
        finally:
            client.config_set("maxmemory-policy", "noeviction")


def test_a_run_that_goes_on_where_another_was_cut_short_is_timed_by_its_own_rows(
    repo: Any,
) -> None:
    repo.apply(repo.view("v", frame(1, weeks=1), keys=("customer_id",), ttl=400 * DAY))
    view = repo.store.get_feature_view("v")
    task = MaterializationTask(repo.project, view, datetime.now(UTC), datetime.now(UTC))
    home = Settings(home=repo.home)
    resumed = MotherlodeJob(task, rows=9000, seconds=9.0, sent=2000, sending_s=4.0)
    runs.record(home, [resumed], 9.0)
    assert runs.read(home)["v"] == runs.Run(2000, 4.0)  # marking is timed by the plan itself
    runs.record(home, [resumed, MotherlodeJob(task, rows=9, seconds=9.0, sent=9, sending_s=1.0)], 9.0)
    assert runs.read(home)["v"] == runs.Run(2000, 2.0)  # half of the time went to the other
    runs.record(home, [MotherlodeJob(task, rows=9000, seconds=9.0, sent=9, sending_s=1.0)], 9.0)
    assert runs.read(home)["v"] == runs.Run(2000, 2.0)
    assert [path.name for path in (repo.home / "online").iterdir()] == ["runs.json"]


def test_time_is_predicted_by_a_probe_for_a_view_that_was_never_written(repo: Any) -> None:
    repo.apply(repo.view("v", frame(10, weeks=1, n=20_000), keys=("customer_id",), ttl=400 * DAY))
    (told,) = predicted(repo).views
    assert told.by == "probe"
    (job,) = rollout.incrementally(repo.store, datetime.now(UTC), rollout.chosen(repo.store))
    # Generous, since others may use the machine between the two.
    assert job.seconds / 5 < told.seconds < 5 * job.seconds + 0.5


def test_time_is_predicted_from_the_last_run(repo: Any) -> None:
    repo.apply(repo.view("v", frame(3, weeks=1), keys=("customer_id",), ttl=400 * DAY))
    (job,) = rollout.incrementally(repo.store, datetime.now(UTC), rollout.chosen(repo.store))
    (run,) = runs.read(Settings(home=repo.home)).values()
    assert run.rows == N and 0 < run.seconds <= job.sending_s < job.seconds
    assert predicted(repo, "full").seconds < 10 * job.seconds + 1
    path = repo.home / "online" / "runs.json"
    path.write_text('{"v": {"rows": 1000, "seconds": 100.0}}')
    assert predicted(repo, "full").seconds == pytest.approx(N / 10, rel=0.05)
    path.write_text("no json")
    assert predicted(repo, "full").views[0].by == "probe"


def test_a_server_without_room_is_warned_of(repo: Any, own: Settings) -> None:
    repo.apply(repo.view("v", frame(30, weeks=1), keys=("customer_id",), ttl=400 * DAY))
    assert predicted(repo).warnings == ()
    with connect(own) as client:
        client.config_set("maxmemory", client.info("memory")["used_memory"] + 500_000)
        (warning,) = predicted(repo).warnings
        assert "it would refuse to write" in warning
        client.config_set("maxmemory-policy", "allkeys-lru")
        assert "it would drop other keys (allkeys-lru)" in predicted(repo).warnings[0]
        client.config_set("maxmemory-policy", "noeviction")
        # Full: it takes no sample, and lengths say how much a row takes.
        with_sample = predicted(repo).bytes
        client.config_set("maxmemory", 1)
        assert predicted(repo).bytes == pytest.approx(with_sample, rel=0.25)
