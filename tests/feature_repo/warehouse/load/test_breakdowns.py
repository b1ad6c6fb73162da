"""A load that is killed, or that finds no room: the last good state stays, and the next load succeeds."""

import os
import random
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from feature_repo.warehouse import state
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
        path for path in state.paths(company.state) if path.startswith(layers)
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


UNRECORDED = """
import os, signal, sys
from pathlib import Path
from feature_repo.warehouse import pipeline
from feature_repo.warehouse.mapping.read import read
from motherlode import audit
from motherlode.settings import Settings

audit.record = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
pipeline.load(Settings(home=Path(sys.argv[1])), read(Path(sys.argv[2])))
"""


def test_a_load_killed_before_its_audit_entry_is_recorded_by_the_next(company: Any) -> None:
    company.sales("sales_1.csv", *many(5, 10))
    company.project()
    ended = subprocess.run(
        [sys.executable, "-c", UNRECORDED, str(company.settings.home), str(company.folder)],
        check=False,
        capture_output=True,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert (len(company.state.loads), audit.verify(company.settings)) == (1, 0)
    for _ in range(2):
        assert not company.load().changed
        [entry] = audit.read(company.settings)
        assert (entry.action, entry.details["number"], entry.details["recorded"]) == ("load", 1, "late")


def test_a_lost_ledger_or_quarantine_is_made_again(company: Any) -> None:
    lines = many(5, 10)
    company.sales("sales_1.csv", *lines, lines[0], ("ben", "alone", 1, "coupon", 0, 0, 3, "2024-08-05T10:00:00Z"))
    company.load()
    before = company.state.integrated[names.TRANSACTIONS]
    lost = [part for part in (before.ledger, before.quarantine) if part is not None]
    assert len(lost) == 2, "the test needs both"
    for part in lost:
        path = company.settings.home / part.path
        content = path.read_bytes()
        path.unlink()
        assert company.load().changed
        assert path.read_bytes() == content


def test_what_the_state_names_is_on_the_disk_before_the_state_is(company: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, str]] = []
    fsync, replace_file = os.fsync, os.replace

    def spied_fsync(handle: int) -> None:
        told.append(("synced", str(Path(f"/proc/self/fd/{handle}").readlink())))
        fsync(handle)

    def spied_replace(path: Any, target: Any) -> None:
        if Path(target).name == state.STATE:
            assert ("synced", str(path)) in told, "it may be empty after a power cut"
        told.append(("renamed", str(target)))
        replace_file(path, target)

    monkeypatch.setattr(os, "fsync", spied_fsync)
    monkeypatch.setattr(os, "replace", spied_replace)
    company.sales("sales_1.csv", *many(5, 10))
    company.load()
    home = company.settings.home
    flipped = told.index(("renamed", str(home / state.STATE)))
    for path in {home / part for part in state.paths(company.state)}:
        named = told.index(("renamed", str(path)))
        assert {("synced", str(path)), ("synced", str(path.parent))} <= {*told[named:flipped]} or path.is_relative_to(
            home / "raw"
        )
        assert ("synced", str(path.parent)) in told[named:flipped], path
    assert ("synced", str(home / "lineage")) in told[:flipped]
    assert told[flipped + 1] == ("synced", str(home))


def test_what_a_killed_landing_left_in_any_source_is_gone_after_a_load_that_changes_nothing(company: Any) -> None:
    company.sales("sales_1.csv", *many(5, 10))
    company.load()
    left = [company.settings.raw / "a source of old" / f".landing-0123abcd-99{end}" for end in (".source", ".parquet")]
    left.append(company.settings.raw / "sales" / ".landing-0123abcd-9a.source")
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"anna@example.org")
    assert not company.load().changed
    assert not any(path.exists() for path in left)
