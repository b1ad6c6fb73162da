"""A new generation beside the one that is read: compared, flipped to or refused, rolled back; readers go on."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import polars as pl
import pytest
import redis
import yaml

from feature_repo.stores import rollout
from feature_repo.stores import shadow as generations
from feature_repo.stores.compare import Thresholds, compare
from feature_repo.stores.rows import GRACE
from motherlode import audit
from motherlode.errors import DataError, StoreError
from motherlode.online import live
from motherlode.online.keys import of_key, row_key
from motherlode.online.reader import now_us
from motherlode.packed import FORMAT_VERSION
from motherlode.packed.header import FORM
from motherlode.redis_server import connect, running
from motherlode.settings import Settings

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
TIME = pl.Datetime("us", "UTC")
N = 300
THRESHOLDS = Thresholds()


def now() -> datetime:
    return datetime.now(UTC)


def rows(at: datetime, x: float = 0.0, n: int = N, **columns: Any) -> pl.DataFrame:
    """`n` keys with x = the key's number + `x`."""
    numbers = pl.int_range(n, eager=True)
    return pl.DataFrame({"k": numbers.cast(pl.String), "x": numbers.cast(pl.Float64) + x}).with_columns(
        t=pl.lit(at, TIME), created=pl.lit(at, TIME), **columns
    )


def xs(repo: Any, keys: list[str], view: str = "v") -> list[Any]:
    answer = repo.store.get_online_features([f"{view}:x"], [{"k": key} for key in keys])
    found: list[Any] = answer.to_dict()["x"]
    return found


def materialise(repo: Any, end: datetime | None = None) -> None:
    rollout.incrementally(repo.store, end or now(), rollout.chosen(repo.store))


def shadow(repo: Any, *, force: bool = False, end: datetime | None = None) -> rollout.Rollout:
    return rollout.beside(repo.store, end or now(), rollout.chosen(repo.store), THRESHOLDS, force=force)


def write(repo: Any, frame: pl.DataFrame, name: str = "v") -> None:
    frame.write_parquet(repo.mart / f"{name}.parquet")


def push(repo: Any, key: str, at: datetime, x: float) -> None:
    frame = rows(at, n=1).with_columns(k=pl.lit(key), x=pl.lit(x))
    repo.store.write_to_online_store("v", frame.to_pandas())


def watermark(repo: Any) -> datetime | None:
    found: datetime | None = repo.store.get_feature_view("v").most_recent_end_time
    return found


def acted(repo: Any, action: str) -> str:
    entry = audit.last(Settings(home=repo.home), action)
    assert entry is not None
    return entry.subject


@pytest.fixture
def client(server: Settings) -> Any:
    with connect(server) as connection:
        yield connection


@pytest.fixture
def at(repo: Any) -> datetime:
    """A view `v` of 300 rows, applied and online; their event time."""
    at = now() - DAY
    repo.apply(repo.view("v", rows(at), ttl=30 * DAY))
    materialise(repo, now() - HOUR)
    return at


def held(client: Any, repo: Any, view: str = "v") -> set[int]:
    """The generations of a view that Redis holds rows of."""
    return {int(key.decode().split("/")[2]) for key in client.scan_iter(f"{repo.project}/{view}/*", count=1000)}


def test_a_shadow_that_is_alike_is_flipped_to_and_moves_the_watermark(repo: Any, at: datetime, client: Any) -> None:
    write(repo, rows(at + HOUR, x=0.5))
    end = now()
    done = shadow(repo, end=end)
    assert (done.flipped, done.forced) == (True, False)
    (compared,) = done.comparisons
    assert (compared.live_rows, compared.shadow_rows, compared.sampled, compared.unchanged) == (N, N, N, 0)
    assert xs(repo, ["0", "7"]) == [0.5, 7.5]
    assert watermark(repo) == end
    assert held(client, repo) == {0, 1}
    assert acted(repo, "flip") == "v to generation 1"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda frame: frame.head(N // 2), "more than 5% are missing"),
        (lambda frame: frame.with_columns(x=pl.when(pl.int_range(N) % 5 > 0).then("x")), "'x' is null in 20.0%"),
        (lambda frame: frame.with_columns(pl.col("x") * 3), "'x' differs in 99.7% of rows with the same times"),
        (lambda frame: frame.with_columns(pl.col("x") ** 0.5, t=pl.col("t") + HOUR), "'x' has shifted: PSI"),
    ],
)
def test_one_that_is_not_alike_is_refused_and_nothing_that_is_read_was_touched(
    repo: Any, at: datetime, client: Any, change: Any, said: str
) -> None:
    before = watermark(repo)
    write(repo, change(rows(at)))
    done = shadow(repo)
    assert done.flipped is False
    assert said in " ".join(done.comparisons[0].refusals)
    assert xs(repo, ["0", "299"]) == [0.0, 299.0]
    assert watermark(repo) == before
    assert held(client, repo) == {0}
    assert live.read(client, repo.project).shadows == {}
    assert shadow(repo, force=True).forced
    assert held(client, repo) == {0, 2}


def test_a_feature_that_is_gone_is_refused_and_a_new_one_is_not(repo: Any, at: datetime) -> None:
    repo.apply(repo.view("v", rows(at, y=pl.lit(1.0)), ttl=30 * DAY))
    (compared,) = shadow(repo).comparisons
    assert [(each.name, each.what) for each in compared.features] == [("x", "both"), ("y", "new")]
    repo.apply(repo.view("v", rows(at), ttl=30 * DAY))
    assert "'y' is gone" in shadow(repo).comparisons[0].refusals[0]


def test_a_first_shadow_of_an_empty_store_is_flipped_to(repo: Any) -> None:
    repo.apply(repo.view("v", rows(now() - DAY), ttl=30 * DAY))
    assert shadow(repo).flipped
    assert xs(repo, ["3"]) == [3.0]


def test_a_rollback_reads_what_was_read_and_the_next_run_brings_what_it_lacks(
    repo: Any, at: datetime, client: Any
) -> None:
    write(repo, pl.concat([rows(at), rows(at + HOUR, x=0.5)]))
    shadow(repo)
    write(repo, pl.concat([rows(at), rows(at + 2 * HOUR, x=0.25)]))
    materialise(repo)
    assert xs(repo, ["1"]) == [1.25]
    assert rollout.back(repo.store) == {"v": 0}
    assert xs(repo, ["1", "7"]) == [1.0, 7.0]
    # Nothing is newer than the watermark or created since, and the run brings it all the same.
    materialise(repo)
    assert xs(repo, ["1", "7"]) == [1.25, 7.25]
    assert rollout.back(repo.store) == {"v": 1}  # a rollback can be rolled back
    assert rollout.drop(repo.store) == N
    assert held(client, repo) == {1}
    with pytest.raises(StoreError, match="has a generation to roll back to"):
        rollout.back(repo.store)
    assert acted(repo, "rollback") == "v to generation 1"


def rolled_forward(repo: Any, at: datetime) -> None:
    """Generation 1 is read, where x is half more; 0 is kept."""
    write(repo, rows(at + HOUR, x=0.5))
    assert shadow(repo).flipped


@pytest.mark.parametrize("error", [redis.ConnectionError("gone"), KeyboardInterrupt()])
def test_a_rollback_that_fails_keeps_what_it_was_to_restore(
    repo: Any, at: datetime, client: Any, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    rolled_forward(repo, at)

    def cut(*_: Any) -> int:
        raise error

    with monkeypatch.context() as patch, pytest.raises(type(error)):
        patch.setattr(generations, "carry", cut)
        rollout.back(repo.store)
    now_live = live.read(client, repo.project)
    assert (now_live.views, now_live.shadows, now_live.previous) == ({"v": 1}, {}, {"v": 0})
    assert rollout.clear(repo.store) == 0
    assert xs(repo, ["7"]) == [7.5]
    push(repo, "3", now(), 33.0)
    assert rollout.back(repo.store) == {"v": 0}
    assert xs(repo, ["7", "3"]) == [7.0, 33.0]
    assert rollout.back(repo.store) == {"v": 1}  # and what was read until then is kept whole
    assert xs(repo, ["7", "3"]) == [7.5, 33.0]


def test_a_generation_of_which_no_row_can_be_read_is_not_rolled_back_to(repo: Any, at: datetime, client: Any) -> None:
    rolled_forward(repo, at)
    kept = list(client.scan_iter(f"{repo.project}/v/0/*"))
    for key in kept:
        client.setrange(key, FORM, bytes([FORMAT_VERSION - 1]))
    with pytest.raises(StoreError, match="Generation 0 of view 'v' is of another version's format"):
        rollout.back(repo.store)
    now_live = live.read(client, repo.project)
    assert (now_live.views, now_live.shadows, now_live.previous) == ({"v": 1}, {}, {"v": 0})
    assert xs(repo, ["7"]) == [7.5]
    client.setrange(kept[0], FORM, bytes([FORMAT_VERSION]))
    assert rollout.back(repo.store) == {"v": 0}


KILLED = """
    import sys, time
    from feast import FeatureStore
    from feature_repo.stores import rollout, shadow

    def carry(*_):
        print("half", flush=True)
        time.sleep(60)
    shadow.carry = carry
    rollout.back(FeatureStore(repo_path=sys.argv[1]))
"""


def test_killing_a_rollback_in_the_middle_loses_nothing(repo: Any, at: datetime, client: Any, tmp_path: Any) -> None:
    rolled_forward(repo, at)
    (tmp_path / "feature_store.yaml").write_text(yaml.safe_dump(repo.yaml))
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as rollback:
        assert rollback.stdout is not None
        assert rollback.stdout.readline() == "half\n"
        os.kill(rollback.pid, signal.SIGKILL)
    killed = live.read(client, repo.project)
    assert (killed.views, killed.shadows, killed.previous) == ({"v": 1}, {"v": 0}, {"v": 0})
    push(repo, "3", now(), 33.0)
    assert rollout.clear(repo.store) == 0  # as `motherlode materialize` does first
    assert held(client, repo) == {0, 1}
    assert live.read(client, repo.project).shadows == {}
    assert rollout.back(repo.store) == {"v": 0}
    assert xs(repo, ["7", "3"]) == [7.0, 33.0]


@pytest.mark.parametrize("then", ["rollback", "shadow"])
def test_after_a_rollback_that_was_killed_any_command_goes_on(repo: Any, at: datetime, client: Any, then: str) -> None:
    rolled_forward(repo, at)
    live.switch(client, repo.project, lambda now: msgspec.structs.replace(now, shadows={"v": 0}))
    push(repo, "3", now(), 33.0)
    if then == "rollback":
        assert rollout.back(repo.store) == {"v": 0}
        assert (xs(repo, ["7", "3"]), held(client, repo)) == ([7.0, 33.0], {0, 1})
    else:
        assert shadow(repo).flipped
        assert (xs(repo, ["7", "3"]), held(client, repo)) == ([7.5, 33.0], {1, 2})


def test_a_rollback_clears_the_shadow_that_a_killed_run_left(repo: Any, at: datetime, client: Any) -> None:
    rolled_forward(repo, at)
    left = generations.begin(client, repo.project, rollout.targets_of(rollout.chosen(repo.store)))
    live.switch(client, repo.project, lambda now: msgspec.structs.replace(now, previous={"v": 1}))
    push(repo, "3", now(), 33.0)
    assert held(client, repo) == {1, left["v"]}
    assert rollout.back(repo.store) == {"v": 1}
    assert held(client, repo) == {1}


def test_what_was_pushed_survives_a_flip_and_a_rollback(repo: Any, at: datetime) -> None:
    """Pushed after the watermark, so that no offline row can be meant; in the middle of a shadow too."""
    push(repo, "3", now(), 33.0)
    shadow(repo, end=at + HOUR)
    assert xs(repo, ["3", "4"]) == [33.0, 4.0]
    push(repo, "4", now(), 44.0)
    rollout.back(repo.store)
    assert xs(repo, ["3", "4"]) == [33.0, 44.0]


def test_pushed_rows_of_another_format_are_not_carried_into_a_shadow(repo: Any, at: datetime, client: Any) -> None:
    for key in ("3", "pushed alone"):
        push(repo, key, now(), 33.0)
        client.setrange(row_key(repo.project, "v", key), FORM, bytes([FORMAT_VERSION - 1]))
    assert shadow(repo, end=at + HOUR).flipped
    assert xs(repo, ["3", "pushed alone"]) == [3.0, None]
    assert not client.exists(row_key(repo.project, "v", "pushed alone", 1))


def test_pushes_during_a_shadow_go_to_both(repo: Any, at: datetime, client: Any) -> None:
    targets = rollout.targets_of(rollout.chosen(repo.store))
    numbers = generations.begin(client, repo.project, targets)
    push(repo, "3", now(), 33.0)
    assert [client.exists(row_key(repo.project, "v", "3", number)) for number in (0, numbers["v"])] == [1, 1]
    # As after a kill: the next shadow removes it, and gets a number of its own.
    assert shadow(repo).flipped
    assert held(client, repo) == {0, 2}
    assert xs(repo, ["3"]) == [33.0]


def test_what_a_killed_shadow_left_is_cleared_and_what_is_read_or_kept_stays(
    repo: Any, at: datetime, client: Any
) -> None:
    shadow(repo)
    assert rollout.clear(repo.store) == 0
    generations.begin(client, repo.project, rollout.targets_of(rollout.chosen(repo.store)))
    push(repo, "3", now(), 33.0)
    assert held(client, repo) == {1, 2}
    assert rollout.clear(repo.store) == 1
    assert held(client, repo) == {1}
    assert live.read(client, repo.project).shadows == {}


def test_the_next_shadow_removes_the_generation_before_the_last(repo: Any, at: datetime, client: Any) -> None:
    for _ in range(3):
        assert shadow(repo).flipped
    assert held(client, repo) == {2, 3}
    assert client.scard(f"{repo.project}/@doomed") == 0


def test_readers_see_whole_rows_and_miss_none_while_generations_flip_and_roll_back(repo: Any, at: datetime) -> None:
    names = [f"x{i}" for i in range(10)]
    wide = {name: pl.lit(1.0) for name in names}
    repo.apply(repo.view("v", rows(at).with_columns(**wide), ttl=30 * DAY))
    materialise(repo)
    write(repo, rows(at + HOUR).with_columns(**{name: pl.lit(2.0) for name in names}))
    seen: set[Any] = set()
    failures: list[Exception] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                answer = repo.store.get_online_features(
                    [f"v:{name}" for name in names], [{"k": f"{i}"} for i in range(0, N, 30)]
                )
                columns = answer.to_dict()
                seen.update(tuple(columns[name][i] for name in names) for i in range(N // 30))
            except Exception as error:  # noqa: BLE001 - whatever a reader gets is a failure
                failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(2):
        shadow(repo, force=True)
        rollout.back(repo.store)
    done.set()
    reader.join()
    assert failures == []
    assert seen == {(1.0,) * 10, (2.0,) * 10}


def test_a_view_that_fails_flips_none_and_leaves_no_shadow(repo: Any, at: datetime, client: Any) -> None:
    repo.apply(repo.view("v", rows(at), ttl=30 * DAY), repo.view("w", rows(at), ttl=30 * DAY))
    materialise(repo)
    write(repo, rows(at).with_columns(x=pl.lit("text")), "w")
    with pytest.raises(DataError, match="View 'w' cannot be read"):
        shadow(repo)
    assert live.read(client, repo.project).generation("v") == 0
    assert (held(client, repo, "v"), held(client, repo, "w")) == ({0}, {0})


@pytest.mark.parametrize("minutes", [2, 0])
def test_rows_that_are_forgotten_between_writing_and_counting_are_not_missed(
    repo: Any, client: Any, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    """Four rows with a minute to live go before the shadow is counted: in time, or when they should be there."""
    old = now() - DAY - GRACE + timedelta(seconds=61)
    mixed = pl.concat([rows(now() - HOUR), rows(old, n=4).with_columns(k=pl.lit("old ") + pl.col("k"))])
    repo.apply(repo.view("v", mixed, ttl=DAY))

    def compared(*given: Any) -> Any:
        assert client.unlink(*(row_key(repo.project, "v", f"old {i}", 1) for i in range(4))) == 4
        monkeypatch.setattr(rollout, "now_us", lambda: now_us() + minutes * 60_000_000)
        return compare(*given)

    monkeypatch.setattr(rollout, "compare", compared)
    (told,) = shadow(repo).comparisons
    assert told.shadow_rows == N
    assert (told.sent, told.refusals) == (
        (N, ()) if minutes else (N + 4, ("304 rows were sent and Redis holds 300 of them",))
    )


def test_without_room_the_live_generation_is_untouched_and_the_shadow_gone(tmp_path: Any, make_repo: Any) -> None:
    with running(Settings(home=tmp_path / "small")) as small, connect(small) as client:
        repo = type(make_repo(tmp_path / "unused"))(tmp_path / "home", small, "small", sql=False)
        frame = rows(now() - DAY, n=4000, s=pl.lit("x" * 500))
        repo.apply(repo.view("v", frame, ttl=30 * DAY))
        materialise(repo)
        client.config_set("maxmemory", client.info("memory")["used_memory"] + 1_000_000)
        with pytest.raises(StoreError, match="no room for a second generation"):
            shadow(repo)
        assert live.read(client, repo.project).shadows == {}
        assert held(client, repo) == {0}
        assert xs(repo, ["0", "3999"]) == [0.0, 3999.0]


def test_what_indexes_a_customers_rows_forgets_those_that_are_dropped(repo: Any, client: Any) -> None:
    at = now() - DAY
    frame = rows(at, n=3).rename({"k": "customer_id"}).with_columns(item=pl.lit("i"))
    repo.apply(repo.view("v", frame, keys=("customer_id", "item"), ttl=30 * DAY))
    materialise(repo)
    shadow(repo)
    assert client.scard(of_key(repo.project, "1")) == 2
    rollout.drop(repo.store)
    assert client.smembers(of_key(repo.project, "1")) == {row_key(repo.project, "v", "1|i", 1).encode()}
