"""A load that is killed, or that finds no room: the last good state stays, and the next load succeeds."""

import random
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from feature_repo.warehouse import sweep
from motherlode import audit, names

LOAD = """
import os, resource, signal, sys, threading
from pathlib import Path
from feature_repo.warehouse import pipeline
from feature_repo.warehouse.mapping.read import read
from motherlode.errors import DataError
from motherlode.settings import Settings

home, folder, at, seconds, most = sys.argv[1:]

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

def on_step(what, *_):
    if at and at in what:
        kill()

if float(seconds):  # from here on, when all is imported
    threading.Timer(float(seconds), kill).start()
if int(most):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(most), int(most)))
try:
    pipeline.load(Settings(home=Path(home)), read(Path(folder)), on_step=on_step)
except DataError as error:
    sys.exit(f"{error.problem} {error.remedy}")
os._exit(0)
"""


def load(company: Any, *, at: str = "", seconds: float = 0, most: int = 0) -> subprocess.CompletedProcess[str]:
    """A load in a process of its own, which may be killed, or may write no file larger than `most` bytes."""
    company.project()
    arguments = [str(company.settings.home), str(company.folder), at, str(seconds), str(most)]
    return subprocess.run([sys.executable, "-c", LOAD, *arguments], check=False, capture_output=True, text=True)


def many(customers: int, lines: int, seed: int = 0) -> list[tuple[object, ...]]:
    chance = random.Random(seed)
    return [
        (
            f"c{chance.randrange(customers)}", f"r{seed}-{n}", 1, f"i{chance.randrange(500)}", chance.randint(1, 9),
            chance.random(), 0, f"2024-0{chance.randint(1, 9)}-1{chance.randint(0, 9)}T10:00:00Z",
        )
        for n in range(lines)
    ]  # fmt: skip


def unfinished(home: Path) -> list[Path]:
    return [path for path in home.rglob(".*") if path.is_file()]


def test_a_load_killed_at_any_step_leaves_a_whole_state_and_the_next_load_succeeds(company: Any) -> None:
    company.sales("sales_1.csv", *many(50, 400))
    company.load()
    known = company.state
    company.sales("sales_2.csv", *many(50, 400, seed=1))
    for at in ("sales_2.csv: 400 rows landed", "transactions: sales_2.csv", "transactions: integrated", "quality"):
        assert load(company, at=at).returncode == -signal.SIGKILL, at
        assert company.state == known
        assert company.table(names.TRANSACTIONS).height == 400
    assert load(company, at="done").returncode == -signal.SIGKILL
    assert company.table(names.TRANSACTIONS).height == 800
    assert not company.load().changed
    assert not unfinished(company.settings.home)
    assert audit.verify(company.settings) == 2


def test_loads_killed_at_any_moment_leave_a_whole_state(company: Any) -> None:
    company.sales("sales_1.csv", *many(50, 400))
    company.load()
    company.sales("sales_2.csv", *many(2_000, 20_000, seed=1))
    for seconds in (0.05, 0.2, 0.4):
        load(company, seconds=seconds)
        assert company.table(names.TRANSACTIONS).height in (400, 20_400)
    company.load()
    assert company.table(names.TRANSACTIONS).height == 20_400
    company.load(rebuild="clean")  # what no state names is gone once a load has ended well
    assert not unfinished(company.settings.home)
    layers = ("clean", "integrated", "quarantine")
    left = {path.relative_to(company.settings.home).as_posix() for path in company.settings.home.rglob("*.parquet")}
    assert {path for path in left if path.startswith(layers)} == {
        path for path in sweep.paths(company.state) if path.startswith(layers)
    }


def test_a_full_disk_is_told_by_the_file_and_leaves_nothing_half_written(company: Any) -> None:
    company.sales("sales_1.csv", *many(2_000, 20_000))
    elsewhere = replace(company, settings=replace(company.settings, home=company.folder.parent / "elsewhere"))
    elsewhere.load()
    raw = max(path.stat().st_size for path in (elsewhere.settings.home / "raw").rglob("*.parquet"))
    clean = max(path.stat().st_size for path in (elsewhere.settings.home / "clean").rglob("*.parquet"))
    assert raw < clean
    for most, layer in ((raw - 1_000, "raw"), (clean - 1_000, "clean")):
        ended = load(company, most=most)
        assert ended.returncode == 1, ended.stderr
        assert re.search(rf"{re.escape(str(company.settings.home))}/{layer}/\S+ cannot be written", ended.stderr)
        assert not company.state.loads
        assert not unfinished(company.settings.home)
    company.load()
    assert company.table(names.TRANSACTIONS).height == 20_000
