"""Who computes: this process where others would not help, several processes as memory allows, or a cluster."""

from pathlib import Path

import pytest

from feature_repo.mart import snapshots
from feature_repo.mart.snapshots import ByWork
from motherlode import machine
from motherlode.cli import engine
from motherlode.compute import Compute, choose
from motherlode.settings import Settings

CPU = choose("cpu")
GIB = 2**30


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, ray_address="10.0.0.7:6379")


def many(found: object) -> int:
    assert isinstance(found, ByWork)
    return found.many.workers  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize(("cores", "memory", "workers"), [(4, 64, 4), (16, 10, 3), (2, 6, 2)])
def test_auto_takes_as_many_processes_as_cores_and_memory_allow(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, cores: int, memory: int, workers: int
) -> None:
    monkeypatch.setattr(engine, "cores", lambda: cores)
    monkeypatch.setattr(engine, "memory", lambda: memory * GIB)
    found = engine.runner(settings, CPU)
    assert many(found) == workers
    assert many(engine.runner(settings, CPU, workers=7)) == 7
    assert found.many.address is None, "on this machine, whatever cluster is known"  # type: ignore[union-attr]


@pytest.mark.parametrize(("cores", "memory", "kind"), [(1, 64, "cpu"), (8, 5, "cpu"), (8, 64, "gpu")])
def test_auto_stays_in_this_process_where_others_would_not_help(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, cores: int, memory: int, kind: str
) -> None:
    monkeypatch.setattr(engine, "cores", lambda: cores)
    monkeypatch.setattr(engine, "memory", lambda: memory * GIB)
    device = Compute(**{**{name: getattr(CPU, name) for name in CPU.__slots__}, "kind": kind})
    assert engine.runner(settings, device) is snapshots.local


def test_what_is_asked_for_is_done(settings: Settings) -> None:
    assert engine.runner(settings, CPU, engine.LOCAL) is snapshots.local
    found = engine.runner(settings, CPU, engine.RAY, 3)
    assert (found.address, found.workers) == ("10.0.0.7:6379", 3)  # type: ignore[union-attr]


def test_free_memory_is_within_the_machines_and_the_containers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_CGROUP", tmp_path)
    free = engine.memory()
    assert free > 0, "no container"
    (tmp_path / "memory.stat").write_text(f"anon {GIB // 4}\nfile {GIB}\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert engine.memory() > GIB // 4, "a container without a limit"
    (tmp_path / "memory.max").write_text(f"{GIB // 2}\n")
    assert engine.memory() == GIB // 4
    assert machine.cores() >= 1
