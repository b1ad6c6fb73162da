"""`motherlode serve` refuses what cannot be served before it starts anything."""

import socket
from pathlib import Path

import psutil
import pytest

from motherlode.cli import main


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("REDIS_URL", "RAY_ADDRESS", "MOTHERLODE_DEVICE", "MOTHERLODE_HOME", "MOTHERLODE_PORT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("COLUMNS", "300")
    return tmp_path / "a home"


def refused(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["serve", *arguments])
    assert isinstance(stop.value.code, int)
    return stop.value.code


def test_a_busy_port_is_an_error_that_names_its_holder(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert refused("--home", str(home), "--port", str(port)) == 1
    shown = capsys.readouterr().err
    me = psutil.Process()
    assert f"Port {port} is held by process {me.pid} ({' '.join(me.cmdline())[:200]})" in shown
    assert not (home / "valkey").exists(), "nothing was started for it"


def test_without_a_bundle_it_says_how_to_make_one(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    assert refused("--home", str(home), "--port", str(port)) == 1
    assert "motherlode demo" in capsys.readouterr().err
    assert not (home / "valkey").exists()


@pytest.mark.parametrize("arguments", [("--profile", "quick"), ("--port", "many"), ("--device", "tpu")])
def test_wrong_options_are_refused(home: Path, arguments: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert refused("--home", str(home), *arguments) == 2
    assert arguments[1] in capsys.readouterr().err
