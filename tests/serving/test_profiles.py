"""The files of `infra/serve` are what runs; what becomes of requests when it is stopped, or part of it killed."""

import http.client
import json
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from motherlode.errors import SettingsError
from motherlode.settings import Settings
from serving import haproxy, profiles
from serving.lock import stock
from serving.processes import free_port, record_path, require_free_port
from tests.serving.lock import conftest as lock
from tests.serving.raw import trusting
from tests.serving.test_server import ended, listeners, members, session_of, start, wait_ready

if TYPE_CHECKING:
    from tests.serving.conftest import Company

ROOT = Path(__file__).resolve().parents[2]
VALUES = {"temp": "/t", "launcher": "/t/haproxy", "port": "1", "token": "secret"}
LOOPBACK = {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
CLIENTS = 8
BODY = json.dumps({"customer_ids": [1, 2]})

certificate = lock.certificate


class Load:
    """Clients that ask one request after the other, each on a new connection, and never ask one again."""

    def __init__(self, port: int, tls: bool = False) -> None:
        self._port, self._tls = port, tls
        self.seen: Counter[str] = Counter()
        self._stop = threading.Event()
        self._clients = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]

    def __enter__(self) -> "Load":
        for each in self._clients:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for each in self._clients:
            each.join()

    def _ask(self) -> None:
        while not self._stop.is_set():
            told = self._once()
            self.seen[told] += 1
            if told == "ConnectionRefusedError":
                return  # nobody listens any more

    def _once(self) -> str:
        context = trusting()
        connection = (
            http.client.HTTPSConnection("127.0.0.1", self._port, timeout=15, context=context)
            if self._tls
            else http.client.HTTPConnection("127.0.0.1", self._port, timeout=15)
        )
        try:
            connection.request("POST", "/v1/score", BODY)
            response = connection.getresponse()
            results = json.loads(response.read())["results"] if response.status == 200 else None
            return "answered" if results is not None and len(results) == 2 else str(response.status)
        except (OSError, http.client.HTTPException, ValueError) as error:
            return type(error).__name__
        finally:
            connection.close()


@contextmanager
def serving(settings: Settings, profile: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A server as a person starts it, and the session of its processes."""
    process = start(settings, profile)
    with ended(process):
        wait_ready(process)
        yield process, session_of(settings)


def environment_of(pid: int) -> dict[str, str]:
    pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def check_environment(session: int, profile: str) -> None:
    """The process that holds Ray has what the files say, but for what is known at its start alone."""
    has = environment_of(session)
    for name, value in profiles.environment(profile, **VALUES).items():
        assert has[name] == value or any(each in value for each in VALUES.values()), name
        assert "{" not in has[name]


def check_gone(settings: Settings, session: int) -> None:
    assert members(session) == []
    assert not record_path(settings).exists()
    require_free_port(settings.host, settings.port)


def check_lost_nothing(seen: Counter[str]) -> None:
    """A connection that the kernel took, and the server did not yet, is reset: its request was never read."""
    assert seen.keys() <= {"answered", "ConnectionRefusedError", "ConnectionResetError", "RemoteDisconnected"}, seen
    assert seen["ConnectionResetError"] + seen["RemoteDisconnected"] <= CLIENTS, seen
    assert seen["answered"] > CLIENTS


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.1)


def replicas(session: int) -> list[psutil.Process]:
    return named(session, "ServeReplica")


def named(session: int, name: str) -> list[psutil.Process]:
    def of_it(process: psutil.Process) -> bool:
        try:
            return os.getsid(process.pid) == session and name in process.cmdline()[0]
        except (OSError, psutil.Error, IndexError):
            return False

    return [each for each in psutil.process_iter() if of_it(each)]


def test_every_file_is_a_profile_or_for_both() -> None:
    names = {path.stem for path in (ROOT / "infra" / "serve").iterdir()}
    assert names == {*profiles.PROFILES, "both"}


@pytest.mark.parametrize("profile", profiles.PROFILES)
def test_what_is_known_at_the_start_alone_is_filled_in(profile: str) -> None:
    told = profiles.environment(profile, **VALUES)
    assert told["RAY_AUTH_TOKEN"] == "secret"
    assert told["RAY_SERVE_ENABLE_HA_PROXY"] == {profiles.FAST: "1", profiles.SAFE: "0"}[profile]
    assert not [value for value in told.values() if "{" in value]


def test_haproxys_files_are_where_others_look_for_them() -> None:
    told = profiles.environment(profiles.FAST, **VALUES)
    assert told[haproxy.SOCKET_VARIABLE] == f"/t/{haproxy.SOCKET}"
    assert profiles.environment(profiles.SAFE, **VALUES)["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"] == stock.HOOK


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(SettingsError, match="'quick'"):
        profiles.environment("quick")


def test_safe_by_tls_keeps_to_loopback_and_sigterm_loses_nothing_that_was_taken(
    company: "Company", certificate: Callable[[str], tuple[Path, Path]]
) -> None:
    pem, key = certificate("here")
    settings = replace(company.settings, port=free_port(), tls_cert=str(pem), tls_key=str(key), replicas=1)
    with serving(settings, profiles.SAFE) as (process, session):
        check_environment(session, profiles.SAFE)
        assert listeners(session) <= LOOPBACK
        assert "haproxy" not in members(session)
        with Load(settings.port, tls=True) as load:
            time.sleep(1.0)
            process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            assert process.wait(15) == 0
            assert time.monotonic() - began < 10
        check_lost_nothing(load.seen)
        check_gone(settings, session)


def check_ranks(session: int) -> None:
    """What answers goes before what keeps the cluster, also when it is there in the place of what died."""
    answering = [*replicas(session), *named(session, "haproxy")]
    keeping = [*named(session, "ServeController"), *named(session, "gcs_server")]
    assert ([each.nice() for each in answering], [each.nice() for each in keeping]) == ([0, 0, 0], [10, 10])


def test_fast_asks_another_replica_when_one_is_killed_and_sigterm_loses_nothing_that_was_taken(
    company: "Company",
) -> None:
    settings = replace(company.settings, port=free_port(), replicas=2)
    with serving(settings, profiles.FAST) as (process, session):
        check_environment(session, profiles.FAST)
        with Load(settings.port) as load:
            time.sleep(0.5)
            killed = replicas(session)[0]
            killed.suspend()  # so that it has requests in hand when it dies
            time.sleep(0.3)
            killed.kill()
            wait_until(lambda: len({each.pid for each in replicas(session)} - {killed.pid}) == 2)
            check_ranks(session)
            assert load.seen.keys() == {"answered"}, load.seen
            assert load.seen["answered"] > CLIENTS
            process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            assert process.wait(15) == 0
            assert time.monotonic() - began < 10
        check_lost_nothing(load.seen)
        check_gone(settings, session)
