"""Jobs on Ray: every result once, errors as they were, and a worker that dies costs its job alone."""

import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest
import ray
from polars.testing import assert_frame_equal

from feature_repo import distributed
from feature_repo.mart import manifest, snapshots
from feature_repo.warehouse import pipeline
from feature_repo.warehouse.mapping.read import read
from motherlode import names
from motherlode.compute import choose
from motherlode.errors import DataError
from motherlode.settings import Settings

WAIT_S = 60.0


@pytest.fixture(scope="module")
def here() -> Iterator[None]:
    """A Ray that the tests share: a runner uses what its process is connected to."""
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    yield
    ray.shutdown()


def _eventually(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + WAIT_S
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


@pytest.mark.usefixtures("here")
def test_every_job_answers_once_in_any_order(tmp_path: Path) -> None:
    def square(job: int) -> tuple[int, int]:
        return job, job * job

    found = list(distributed.runner(None, tmp_path)(square, range(20)))
    assert sorted(found) == [(job, job * job) for job in range(20)]
    assert ray.is_initialized(), "what the caller started is the caller's to end"
    assert not list(tmp_path.iterdir()), "nothing of a run stays in the home"


def test_no_jobs_start_no_ray(tmp_path: Path) -> None:
    assert list(distributed.runner("10.255.255.1:1", tmp_path)(str, [])) == []


@pytest.mark.usefixtures("here")
def test_no_more_run_at_once_than_were_asked_for(tmp_path: Path) -> None:
    def alone(job: int) -> int:
        running = tmp_path / f"running-{job}"
        running.touch()
        time.sleep(0.05)
        seen = len(list(tmp_path.glob("running-*")))
        running.unlink()
        return seen

    assert set(distributed.runner(None, tmp_path, workers=1)(alone, range(5))) == {1}


@pytest.mark.usefixtures("here")
def test_polars_has_as_many_threads_as_a_worker_was_given(tmp_path: Path) -> None:
    def threads(_job: int) -> int:
        import polars as pl  # noqa: PLC0415 - on the worker, whose environment counts when it is imported

        return pl.thread_pool_size()

    assert list(distributed.runner(None, tmp_path, threads=2)(threads, [0])) == [2]


@pytest.mark.usefixtures("here")
def test_a_worker_gives_back_what_its_job_freed(tmp_path: Path) -> None:
    def held(_job: int) -> tuple[float, float]:
        import polars as pl  # noqa: PLC0415 - on the worker

        process = psutil.Process()
        before = process.memory_info().rss
        much = pl.int_range(60_000_000, eager=True)
        most = process.memory_info().rss - before
        del much
        end = time.monotonic() + WAIT_S
        while process.memory_info().rss - before > most / 4 and time.monotonic() < end:
            pl.int_range(1_000, eager=True)
            time.sleep(0.1)
        return most, process.memory_info().rss - before

    ((most, left),) = distributed.runner(None, tmp_path)(held, [0])
    assert most > 400_000_000
    assert left < most / 4


@pytest.mark.usefixtures("here")
def test_an_error_of_ours_comes_through_as_itself(tmp_path: Path) -> None:
    def refuse(job: int) -> int:
        raise DataError(f"Partition {job} is torn.", "Load it again.")

    with pytest.raises(DataError) as caught:
        list(distributed.runner(None, tmp_path)(refuse, [7]))
    assert (caught.value.problem, caught.value.remedy) == ("Partition 7 is torn.", "Load it again.")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("here")
def test_an_error_of_the_program_is_none_of_the_data(tmp_path: Path) -> None:
    def wrong(job: int) -> float:
        return job / 0

    with pytest.raises(ZeroDivisionError):
        list(distributed.runner(None, tmp_path)(wrong, [1]))


@pytest.mark.usefixtures("here")
def test_a_killed_worker_costs_its_job_alone(tmp_path: Path) -> None:
    def work(job: int) -> int:
        (tmp_path / f"job-{job}-{os.getpid()}-{time.time_ns()}").touch()
        if job == 2 and len(list(tmp_path.glob("job-2-*"))) == 1:
            time.sleep(WAIT_S)  # until it is killed
        return job

    def kill() -> None:
        assert _eventually(lambda: bool(list(tmp_path.glob("job-2-*"))))
        (started,) = tmp_path.glob("job-2-*")
        os.kill(int(started.name.split("-")[2]), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    found = list(distributed.runner(None, tmp_path)(work, range(6)))
    killer.join()
    assert sorted(found) == list(range(6))
    begun = [sum(1 for _ in tmp_path.glob(f"job-{job}-*")) for job in range(6)]
    assert begun == [1, 1, 2, 1, 1, 1]


@pytest.mark.usefixtures("here")
def test_a_job_that_kills_every_worker_ends_the_build(tmp_path: Path) -> None:
    def die(_job: int) -> int:
        with (tmp_path / "begun").open("a") as file:
            file.write("x")
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    with pytest.raises(DataError, match="worker died 4 times"):
        list(distributed.runner(None, tmp_path)(die, [0]))
    assert (tmp_path / "begun").read_text() == "x" * (distributed.RETRIES + 1)


@pytest.mark.usefixtures("here")
def test_a_worker_that_does_not_see_the_home_says_so(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    home = Path(f"/proc/self/fd/{descriptor}")  # another process has another folder there, or none
    try:
        with pytest.raises(DataError, match="does not see") as caught:
            list(distributed.runner(None, home)(str, [0]))
    finally:
        os.close(descriptor)
    assert "Mount the folder" in caught.value.remedy


@pytest.mark.usefixtures("here")
def test_a_worker_with_another_polars_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "versions", lambda names: dict.fromkeys(names, "0.1"))
    with pytest.raises(DataError, match=r"has polars .*, and the build 0\.1"):
        list(distributed.runner(None, tmp_path)(str, [0]))


@pytest.mark.usefixtures("here")
def test_a_build_that_is_given_up_leaves_nothing_running(tmp_path: Path) -> None:
    def slow(job: int) -> int:
        if job:
            (tmp_path / f"pid-{os.getpid()}").touch()
            time.sleep(WAIT_S)
        return job

    results = distributed.runner(None, tmp_path)(slow, [0, 1, 2])
    assert next(results) == 0
    assert _eventually(lambda: bool(list(tmp_path.glob("pid-*"))))
    results.close()  # type: ignore[attr-defined]
    pids = [int(path.name.removeprefix("pid-")) for path in tmp_path.glob("pid-*")]
    assert _eventually(lambda: not any(psutil.pid_exists(pid) for pid in pids))
    assert not list(tmp_path.glob(".ray-*"))


MAPPING = """
version: 1
company: Two shops
sources:
  lines: {files: lines.csv, time_zone: UTC}
  things: {files: things.csv}
tables:
  transactions:
    from: lines
    columns:
      {customer_id: customer, basket_id: basket, item_id: item, quantity: pieces, amount: paid, event_timestamp: at}
  items:
    from: things
    columns: {item_id: item, department: department}
privacy: {pseudonym: none}
"""
PARTITIONS = 4


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a company's integrated tables, and no mart."""
    folder = tmp_path_factory.mktemp("two shops")
    (folder / "motherlode.yaml").write_text(MAPPING)
    rng, start = random.Random(5), datetime(2024, 1, 3, 9, tzinfo=UTC)
    pl.DataFrame(
        [
            {
                "customer": f"c{customer}",
                "basket": f"b{customer}-{basket}",
                "item": f"i{rng.randrange(30)}",
                "pieces": rng.choice([1, 1, 2, -1]),
                "paid": round(rng.uniform(0.5, 20), 2),
                "at": (start + timedelta(days=day, minutes=rng.randrange(600))).strftime("%Y-%m-%d %H:%M:%S"),
            }
            for customer in range(60)
            for basket in range(rng.randint(1, 8))
            for day in [rng.randrange(70)]
            for _ in range(rng.randint(1, 4))
        ]
    ).write_csv(folder / "lines.csv")
    things = {"item": [f"i{number}" for number in range(30)], "department": ["FOOD", "TOYS", "DRUG GM"] * 10}
    pl.DataFrame(things).write_csv(folder / "things.csv")
    home = folder / "home"
    pipeline.load(Settings(home=home, mapping=folder / "motherlode.yaml"), read(folder))
    return home


def _built(company: Path, home: Path, runner: snapshots.Runner) -> dict[str, pl.DataFrame]:
    """Every view's rows, by key and time, of a build in a home of its own."""
    shutil.copytree(company, home)
    settings = Settings(home=home, mapping=company.parent / "motherlode.yaml", device="cpu")
    made = snapshots.build(settings, choose("cpu"), partitions=PARTITIONS, runner=runner)
    assert made.partitions == PARTITIONS
    rows = {name: manifest.scan(settings, name).drop(names.CREATED_TIMESTAMP).collect() for name in made.views}
    return {name: table.sort(table.columns[:2]) for name, table in rows.items()}


@pytest.mark.usefixtures("here")
def test_a_build_by_ray_is_the_build_of_one_process_though_a_worker_is_killed(company: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()

    def interrupted(work: Callable[[Any], Any], jobs: Sequence[Any]) -> Iterator[Any]:
        """The worker that did the third job is killed when all its files are written, but before it answers."""

        def noted(numbered: tuple[int, Any]) -> Any:
            number, job = numbered
            result = work(job)
            (notes / f"{number}-{os.getpid()}-{time.time_ns()}").touch()
            if number == 2 and len(list(notes.glob("2-*"))) == 1:
                time.sleep(WAIT_S)
            return result

        return distributed.runner(None, tmp_path)(noted, list(enumerate(jobs)))

    def kill() -> None:
        assert _eventually(lambda: bool(list(notes.glob("2-*"))))
        os.kill(int(next(notes.glob("2-*")).name.split("-")[1]), signal.SIGKILL)

    one = _built(company, tmp_path / "one", snapshots.local)
    killer = threading.Thread(target=kill)
    killer.start()
    by_ray = _built(company, tmp_path / "ray", interrupted)
    killer.join()
    assert len(list(notes.glob("2-*"))) >= 2, "the job was done again"
    assert by_ray.keys() == one.keys()
    assert sum(table.height for table in one.values()) > 1_000
    for name, table in one.items():
        assert_frame_equal(by_ray[name], table, check_exact=True)


def test_ray_of_our_own_listens_on_loopback_alone_and_ends(tmp_path: Path) -> None:
    ray.shutdown()
    me, environment = psutil.Process(), dict(os.environ)
    before = set(me.children(recursive=True))
    results = distributed.runner(None, tmp_path, workers=1)(partial(round, ndigits=1), [1.26, 1.0])
    assert next(results) in (1.3, 1.0)
    started = [process for process in me.children(recursive=True) if process not in before]
    listening = {
        (process.name(), connection.laddr.ip)
        for process in (me, *started)
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening, "Ray runs"
    assert {ip for _, ip in listening} <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}, listening
    assert len(list(results)) == 1
    assert not ray.is_initialized()
    assert sorted(distributed.runner(None, tmp_path, workers=1)(str, [1])) == ["1"], "and again, in the same process"
    assert dict(os.environ) == environment
    assert _eventually(lambda: not any(process.is_running() for process in started))


WAITING = """
import os, sys, time
from pathlib import Path
from feature_repo import distributed

home = sys.argv[1]
def work(job, home=home):
    (Path(home) / f"pid-{os.getpid()}").touch()
    time.sleep(600)

list(distributed.runner(None, Path(home), workers=2)(work, [0, 1, 2]))
"""


def test_ctrl_c_ends_a_build_and_every_process_that_it_started(tmp_path: Path) -> None:
    script = tmp_path / "waiting.py"
    script.write_text(WAITING)
    home = tmp_path / "home"
    home.mkdir()
    build = subprocess.Popen([sys.executable, str(script), str(home)], stderr=subprocess.PIPE, start_new_session=True)
    try:
        assert _eventually(lambda: len(list(home.glob("pid-*"))) == 2)
        started = psutil.Process(build.pid).children(recursive=True)
        assert started
        os.killpg(build.pid, signal.SIGINT)  # as a terminal does: to all in the group
        _, told = build.communicate(timeout=WAIT_S)
    finally:
        build.kill()
    assert b"KeyboardInterrupt" in told
    assert _eventually(lambda: not any(process.is_running() for process in started))
    assert not list(home.glob(".ray-*"))


def test_an_address_without_a_cluster_is_named(tmp_path: Path) -> None:
    ray.shutdown()
    with pytest.raises(DataError, match=r"127\.0\.0\.1:9"):
        list(distributed.runner("127.0.0.1:9", tmp_path)(str, [0]))
