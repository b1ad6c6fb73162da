"""The GPU check's environment: which versions, made once, never half, and an error where it cannot be had."""

import threading
import time
from pathlib import Path

import pytest

from scripts.gpu_check import environment
from scripts.gpu_check.environment import CACHE_VARIABLE, MARKER, EnvironmentNotMade, cache_folder, ensure, locked


def quiet(text: str) -> None:
    pass


def test_the_lock_is_the_lines_of_its_packages_however_their_names_are_written() -> None:
    constraints = "ruff==0.9.0\npolars-runtime-32==1.39.3\nTyping.Extensions==4.0  # for all\npolars==1.39.3\n\n# end\n"
    assert locked(constraints, "typing_extensions\npolars\n") == ("polars==1.39.3", "typing-extensions==4.0")


def test_a_package_without_a_locked_version_is_named() -> None:
    with pytest.raises(EnvironmentNotMade, match="locks no version of cuml-cu13, xgboost"):
        locked("polars==1.39.3", "cuml-cu13 polars xgboost")


def test_the_project_locks_every_package_of_the_check() -> None:
    constraints = Path(__file__).parents[2] / "constraints.txt"
    lock = locked(constraints.read_text())
    assert any(line.startswith("cuml-cu13==26.6.") for line in lock)
    assert any(line.startswith("cudf-polars-cu13==26.6.") for line in lock)


def test_the_cache_is_the_user_s_and_can_be_moved(tmp_path: Path) -> None:
    assert cache_folder({"XDG_CACHE_HOME": "/caches"}) == Path("/caches/motherlode/check-gpu")
    assert cache_folder({}) == Path.home() / ".cache/motherlode/check-gpu"
    assert cache_folder({CACHE_VARIABLE: str(tmp_path), "XDG_CACHE_HOME": "/caches"}) == tmp_path


def test_wheels_that_cannot_be_had_are_an_error_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(EnvironmentNotMade, match=r"(?s)wheels cannot be had, so nothing was checked.*polars") as error:
        ensure(tmp_path, ("polars==1.39.3",), quiet)
    assert "No matching distribution" in str(error.value)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


def test_a_cache_that_cannot_be_written_names_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentNotMade, match=CACHE_VARIABLE):
        ensure(tmp_path / "file", (), quiet)


@pytest.fixture
def fills(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Environments filled, each by its marker alone: the wheels themselves are gigabytes."""
    done: list[tuple[str, ...]] = []

    def fill(folder: Path, lock: tuple[str, ...]) -> None:
        done.append(lock)
        time.sleep(0.2)
        folder.mkdir(exist_ok=True)
        (folder / MARKER).touch()

    monkeypatch.setattr(environment, "_fill", fill)
    return done


def test_it_is_made_once_for_a_lock_and_anew_for_another(tmp_path: Path, fills: list[tuple[str, ...]]) -> None:
    said: list[str] = []
    first = ensure(tmp_path, ("a==1",), said.append)
    assert ensure(tmp_path, ("a==1",), said.append) == first
    assert ensure(tmp_path, ("a==2",), said.append) != first
    assert fills == [("a==1",), ("a==2",)]
    assert len(said) == 2


def test_one_that_was_left_half_filled_is_made_anew(tmp_path: Path, fills: list[tuple[str, ...]]) -> None:
    python = ensure(tmp_path, ("a==1",), quiet)
    (python.parents[1] / MARKER).unlink()
    ensure(tmp_path, ("a==1",), quiet)
    assert len(fills) == 2


def test_who_comes_while_it_is_made_waits_for_it(tmp_path: Path, fills: list[tuple[str, ...]]) -> None:
    threads = [threading.Thread(target=ensure, args=(tmp_path, ("a==1",), quiet)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fills == [("a==1",)]
