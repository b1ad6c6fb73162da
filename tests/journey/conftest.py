"""A folder with a space in its name, and the commands as a person types them."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Shell = Callable[[str], str]


@pytest.fixture(scope="session")
def port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the person stands; the state goes to `.motherlode` in it."""
    return tmp_path_factory.mktemp("a new user")


@pytest.fixture(scope="session")
def environment(port: int) -> dict[str, str]:
    """The real tables, thinned to 200 households; the environment's own `motherlode` first on the PATH."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MOTHERLODE_", "REDIS_", "RAY_"))}
    binaries = str(Path(sys.executable).parent)
    return {
        **kept,
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "MOTHERLODE_HOUSEHOLDS": "200",
        "MOTHERLODE_PORT": str(port),
        "COLUMNS": "200",
    }


@pytest.fixture(scope="session")
def shell(folder: Path, environment: dict[str, str]) -> Iterator[Shell]:
    """Runs a command line in the folder; fails where it fails, with what it printed."""

    def run(line: str) -> str:
        answer = subprocess.run(
            line, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=280, check=False
        )
        assert answer.returncode == 0, f"`{line}` ended with {answer.returncode}:\n{answer.stdout}\n{answer.stderr}"
        return answer.stdout

    yield run
