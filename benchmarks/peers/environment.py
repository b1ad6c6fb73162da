"""The environment of Feast's DuckDB store, which Motherlode itself does not need: made once, in the user's cache.

A marker file is written last: an environment without one was left half-filled and is made anew.
"""

import fcntl
import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

CACHE_VARIABLE: Final = "MOTHERLODE_BENCH_CACHE"
"""Moves the folder of the environments."""
CONSTRAINTS: Final = Path(__file__).parent.parent.parent / "constraints.txt"
_MARKER: Final = "complete"


def python() -> Path:
    """The Python of an environment with `feast[duckdb]` in the version that runs here, its libraries as locked.

    It ends the benchmark where it cannot be filled.
    """
    wanted = f"feast[duckdb]=={importlib.metadata.version('feast')}"
    lock = "\n".join((f"{sys.version_info.major}.{sys.version_info.minor}", wanted, CONSTRAINTS.read_text()))
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "motherlode" / "bench"
    cache = Path(os.environ.get(CACHE_VARIABLE) or base).absolute()
    folder = cache / hashlib.sha256(lock.encode()).hexdigest()[:16]
    cache.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not (folder / _MARKER).is_file():
            print(f"Making the environment of Feast's DuckDB store, once, about 1 GB: {folder}")
            _fill(folder, wanted)
    return folder / "bin" / "python"


def _fill(folder: Path, wanted: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    try:
        _run(sys.executable, "-m", "venv", str(folder))
        pip = (str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input")
        _run(*pip, "install", "--constraint", str(CONSTRAINTS), wanted)
        (folder / _MARKER).touch()
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        sys.exit(f"The peers' environment cannot be made. Is the package index within reach? pip said:\n{said}")
