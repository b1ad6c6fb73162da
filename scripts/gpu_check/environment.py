"""The environment of the real RAPIDS wheels: made once for a lock, found again by the lock's hash.

It lies in the user's cache, not in the checkout, so that a fresh clone does not fetch gigabytes again. A
marker file is written last: an environment without one was left half-filled and is made anew.
"""

import fcntl
import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

CACHE_VARIABLE: Final = "MOTHERLODE_GPU_CHECK_CACHE"
"""Moves the folder of the environments."""
PACKAGES: Final = Path(__file__).with_name("packages.txt")
"""The names of all that goes in, one a line; their versions stand in `constraints.txt`."""
MARKER: Final = "complete"

_LINES_OF_PIP: Final = 15


class EnvironmentNotMade(Exception):  # noqa: N818 - says what happened
    """The environment could not be made, so nothing was checked."""


def cache_folder(variables: Mapping[str, str]) -> Path:
    """Where environments lie: CACHE_VARIABLE, else `motherlode/check-gpu` in the user's cache folder."""
    if named := variables.get(CACHE_VARIABLE):
        return Path(named).expanduser().absolute()
    base = Path(variables.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    return base / "motherlode" / "check-gpu"


def locked(constraints: str, packages: str | None = None) -> tuple[str, ...]:
    """What of `constraints.txt` goes into the environment: lines of `name==version`, sorted, names normalised.

    Args:
        constraints: its text, lines of `name==version`.
        packages: the names, one a line; PACKAGES by default.

    Raises:
        EnvironmentNotMade: a package has no locked version, naming it.
    """
    names = [_normal(name) for name in (PACKAGES.read_text() if packages is None else packages).split()]
    pairs = (line.partition("#")[0].partition("==") for line in constraints.splitlines())
    versions = {_normal(name): version.strip() for name, equal, version in pairs if equal}
    missing = [name for name in names if name not in versions]
    if missing:
        raise EnvironmentNotMade(
            f"constraints.txt locks no version of {', '.join(missing)}. Run `make lock`, "
            f"or take the name out of {PACKAGES.name} if nothing needs it any more."
        )
    return tuple(sorted(f"{name}=={versions[name]}" for name in names))


def ensure(cache: Path, lock: tuple[str, ...], say: Callable[[str], None]) -> Path:
    """The Python of a complete environment for a lock; made where there is none.

    Processes that ask at once wait for the first.

    Raises:
        EnvironmentNotMade: it cannot be filled, with what pip said; nothing half-filled is left.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256("\n".join((version, *lock)).encode()).hexdigest()[:16]
    folder = cache / digest
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _alone(cache / f"{digest}.lock"):
            if not (folder / MARKER).is_file():
                say(f"Making the environment of the RAPIDS wheels, once, about 5 GB: {folder}")
                _fill(folder, lock)
    except OSError as error:
        raise EnvironmentNotMade(
            f"{folder} cannot be used: {error}. Name another folder by {CACHE_VARIABLE}."
        ) from error
    return _python(folder)


def _fill(folder: Path, lock: tuple[str, ...]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    try:
        _run(sys.executable, "-m", "venv", str(folder))
        requirements = folder / "requirements.txt"
        requirements.write_text("\n".join(lock) + "\n")
        pip = (str(_python(folder)), "-m", "pip", "--disable-pip-version-check", "--no-input")
        # The lock is whole: pip resolves nothing, and `pip check` says what the lock lacks.
        _run(*pip, "install", "--no-deps", "--only-binary=:all:", "-r", str(requirements))
        _run(*pip, "check")
        (folder / MARKER).touch()
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-_LINES_OF_PIP:])
        raise EnvironmentNotMade(
            "the RAPIDS wheels cannot be had, so nothing was checked. Is the package index within reach, and "
            f"is there room for 5 GB? `{' '.join(command[1:5])}` said:\n{said}"
        )


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _normal(name: str) -> str:
    """A distribution's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()
