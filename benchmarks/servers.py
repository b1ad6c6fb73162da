"""A server that is measured: a process with all that it starts, how soon it answers, its CPU time and its memory."""

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.sockets import free_port

ROOT: Final = Path(__file__).parent.parent
REPLICA: Final = "ray::ServeReplica"
"""What Ray calls a process that holds a replica."""
_START_S: Final = 180.0
_STOP_S: Final = 30.0
_POLL_S: Final = 0.02


@dataclass(frozen=True)
class Asked:
    """What a server is asked first, until it answers well.

    Attributes:
        path: where.
        body: what is posted; None for GET.
        good: whether an answer is a good one; any of status 200 is, by default.
    """

    path: str
    body: Any = None
    good: Callable[[Any], bool] = bool


@dataclass(frozen=True)
class Running:
    """A server that answers.

    Attributes:
        port: on the loopback interface.
        pid: the process that was started.
        cold_s: seconds from its start to its first good answer.
    """

    port: int
    pid: int
    cold_s: float

    def url(self, path: str) -> str:
        """Where a path is asked."""
        return f"http://127.0.0.1:{self.port}{path}"

    def ask(self, asked: Asked) -> Any:
        """One answer.

        Raises:
            OSError: it does not answer, or not with 200.
        """
        return _ask(self.port, asked)

    def cpu_s(self) -> float:
        """CPU seconds of all its processes so far."""
        return sum(_cpu_s(each) for each in tree(self.pid))

    def pss(self, name: str = "") -> int:
        """Bytes of its processes whose command begins with a name; proportional, so that what is shared counts once."""
        return sum(_pss(each) for each in tree(self.pid) if _command(each).startswith(name))


@contextmanager
def running(command: Callable[[int], Sequence[str]], first: Asked, env: Mapping[str, str]) -> Iterator[Running]:
    """A server on a port of its own, from its first good answer on; afterwards nothing of it is left.

    Args:
        command: of a port.
        first: what it is asked until the answer is a good one.
        env: what its environment has beside ours.
    """
    port = free_port()
    before = time.perf_counter()
    process = subprocess.Popen(
        command(port),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
    )
    try:
        _wait(process, port, first)
        yield Running(port, process.pid, time.perf_counter() - before)
    finally:
        _stop(process)


def tree(pid: int) -> list[psutil.Process]:
    """A process and all below it; none where it is gone."""
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    return []


def _stop(process: subprocess.Popen[bytes]) -> None:
    below = tree(process.pid)
    process.terminate()  # a job in the background does not hear SIGINT
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_S)
    _, left = psutil.wait_procs(below, timeout=5)
    for each in left:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    process.wait()
    psutil.wait_procs(left, timeout=5)


def _wait(process: subprocess.Popen[bytes], port: int, first: Asked) -> None:
    until = time.perf_counter() + _START_S
    while not _good(port, first):
        if process.poll() is not None or time.perf_counter() > until:
            sys.exit(f"`{process.args!r}` gave no good answer within {_START_S:.0f} s, or ended.")
        time.sleep(_POLL_S)


def _good(port: int, first: Asked) -> bool:
    try:
        return first.good(_ask(port, first))
    except (OSError, http.client.HTTPException, ValueError):
        return False


def _ask(port: int, asked: Asked) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        body = None if asked.body is None else json.dumps(asked.body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        connection.request("GET" if body is None else "POST", asked.path, body, headers)
        answer = connection.getresponse()
        said = answer.read()
        if answer.status != 200:
            raise OSError(f"{asked.path} answered {answer.status}: {said[:300]!r}")
        return json.loads(said)
    finally:
        connection.close()


def _cpu_s(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0


def _pss(process: psutil.Process) -> int:
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        held = process.memory_full_info()
        return int(getattr(held, "pss", held.rss))
    return 0


def _command(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return " ".join(process.cmdline())
    return ""
