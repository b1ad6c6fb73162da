"""Processes and ports: who holds a port, what a server left behind, and how it is ended. No Ray, no HTTP."""

import errno
import os
import shutil
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

import msgspec
import psutil

from motherlode.errors import PortInUseError, SettingsError
from motherlode.settings import Settings

TEMP_PREFIX: Final = "ml-serve-"
"""Short: HAProxy takes a socket's path of 97 bytes, and 67 of them are Ray's."""

_CLOCK_S: Final = 1.0
"""Start times of processes are read from ticks; two readings may differ by less than this."""


class Record(msgspec.Struct, frozen=True):
    """What a running server leaves in `<home>/run/`, so that the next start can end its orphans.

    Attributes:
        supervisor, supervisor_started: the process that a person started, and when (seconds since 1970).
        session, started: the leader of the session that holds all of Ray, and when it started.
        boot: when the machine started; process ids mean nothing across that.
        temp: the server's temporary folder.
    """

    supervisor: int
    supervisor_started: float
    session: int
    started: float
    boot: float
    temp: str

    @classmethod
    def of(cls, session: int, temp: Path) -> Self:
        """A record of this process and the session that it started."""
        me = psutil.Process()
        started = psutil.Process(session).create_time()
        return cls(me.pid, me.create_time(), session, started, psutil.boot_time(), str(temp))

    def write(self, path: Path) -> None:
        """Write it in one step."""
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(f".{os.getpid()}")
        scratch.write_bytes(msgspec.json.encode(self))
        scratch.replace(path)


def record_path(settings: Settings) -> Path:
    """Where the server on this port leaves its record."""
    return settings.home / "run" / f"serve-{settings.port}.json"


def end_orphans(settings: Settings) -> list[int]:
    """End what servers of this home left behind when they were killed; returns the process ids that went.

    A server whose supervisor lives is nobody's orphan.
    """
    ended: list[int] = []
    for path in sorted((settings.home / "run").glob("serve-*.json")):
        try:
            record = msgspec.json.decode(path.read_bytes(), type=Record)
        except FileNotFoundError:
            continue
        except msgspec.DecodeError:
            path.unlink(missing_ok=True)
            continue
        if _alive(record.supervisor, record.supervisor_started):
            continue
        if abs(record.boot - psutil.boot_time()) < 60:
            ended += end_session(record.session, record.started)
        remove_temp(Path(record.temp))
        path.unlink(missing_ok=True)
    return ended


def end_session(leader: int, started: float, patience_s: float = 3.0) -> list[int]:
    """Kill every process of a session, and wait until they are gone; returns their ids.

    Args:
        leader: the session's id, its leader's process id.
        started: when the leader started; a process that is older is not of this session.
        patience_s: how long to wait.
    """
    until = time.monotonic() + patience_s
    ended: dict[int, None] = {}
    # What is dying may still start a child: look again until nothing is found.
    while members := _session(leader, started):
        for process in members:
            ended[process.pid] = None
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(members, timeout=0.2)
        if time.monotonic() > until:
            break
    return list(ended)


def remove_temp(folder: Path) -> None:
    """Delete a server's temporary folder, and never another one."""
    if folder.name.startswith(TEMP_PREFIX):
        shutil.rmtree(folder, ignore_errors=True)


def require_free_port(host: str, port: int) -> None:
    """Check that a port can be listened on.

    Raises:
        PortInUseError: another process listens there, naming it.
        SettingsError: there is no such host here, or this user may not.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            # A port whose last connections are still closing can be listened on.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except socket.gaierror as error:
        raise SettingsError(f"Host {host!r} is unknown: {error.strerror}.", "Use --host 127.0.0.1.") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUseError(
                f"Port {port} is held by {_holder(port)}.", "End it, or choose another port with --port."
            ) from None
        raise SettingsError(
            f"Port {port} of host {host!r} cannot be listened on: {error.strerror}.",
            "Use a port above 1023 and an address of this machine.",
        ) from None


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _holder(port: int) -> str:
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if any(
                each.status == psutil.CONN_LISTEN and each.laddr.port == port
                for each in process.net_connections(kind="tcp")
            ):
                command = " ".join(process.cmdline()) or process.name()
                return f"process {process.pid} ({command[:200]})"
    return "a process of another user"


def _alive(pid: int, started: float) -> bool:
    try:
        process = psutil.Process(pid)
        same = bool(abs(process.create_time() - started) < _CLOCK_S)
        return same and bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _session(leader: int, started: float) -> list[psutil.Process]:
    return [each for each in _running() if _session_of(each.pid) == leader and _since(each, started)]


def _running() -> Iterable[psutil.Process]:
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                yield process


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _since(process: psutil.Process, started: float) -> bool:
    try:
        began: float = process.create_time()
    except psutil.NoSuchProcess:
        return False
    return began > started - _CLOCK_S
