"""A server that is open to other machines: one port, locked, by TLS; everything else stays on loopback."""

import http.client
import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from motherlode import access, audit
from motherlode.settings import Settings
from serving import haproxy, server
from serving.processes import free_port, record_path
from serving.server import Order
from tests.serving.raw import SPELLINGS, got, trusting

if TYPE_CHECKING:
    from tests.serving.conftest import Company

CODE = """
import sys, msgspec
from serving import server
from serving.server import Order
settings = msgspec.json.decode(sys.stdin.readline(), type=Order).to_settings()
server.run(settings, lambda: print("ready", flush=True))
"""
EVENT = {"events": [{"event_id": "a", "customer_id": 1}]}


@contextmanager
def served(settings: Settings) -> Iterator[int]:
    """A server as a person starts it; gives its session."""
    order = Order.of(settings, Path("/t"))
    told = json.dumps({"settings": dict(order.settings), "temp": "/t", "local": True})
    process = subprocess.Popen([sys.executable, "-c", CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(told + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n"
        yield int(json.loads(record_path(settings).read_bytes())["session"])
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(15)
        process.stdin.close()
        process.stdout.close()


def listening(session: int) -> set[tuple[str, int]]:
    """Where the processes of a session listen."""
    found = set()
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session:
                connections = process.net_connections(kind="inet")
                found |= {(each.laddr.ip, each.laddr.port) for each in connections if each.status == psutil.CONN_LISTEN}
        except (OSError, psutil.Error):
            continue
    return found


def outside() -> list[str]:
    """This machine's addresses that others know."""
    addresses = [each for listed in psutil.net_if_addrs().values() for each in listed]
    return [each.address for each in addresses if each.family == socket.AF_INET and each.address != "127.0.0.1"]


def opens(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=2):
            return True
    except OSError:
        return False


def ask(address: str, port: int, path: str, token: str | None, body: Any = None) -> tuple[int, Any]:
    connection = http.client.HTTPSConnection(address, port, timeout=10, context=trusting())
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    connection.request("GET" if body is None else "POST", path, body and json.dumps(body), headers)
    response = connection.getresponse()
    answer = response.status, json.loads(response.read() or b"null")
    connection.close()
    return answer


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1")
def test_one_port_is_open_to_others_locked_and_by_tls_and_a_revoked_key_ends_within_a_second(
    company: "Company", certificate: Callable[[str], tuple[Path, Path]]
) -> None:
    addresses = outside()
    if not addresses:
        pytest.skip("This machine has no address but loopback's.")
    pem, key = certificate("here")
    settings = replace(
        company.settings, host="0.0.0.0", port=free_port(), replicas=1, tls_cert=str(pem), tls_key=str(key)
    )
    made, token = access.add(settings, "shop", [access.SCORE, access.EVENTS])
    with served(settings) as session:
        port, where = settings.port, listening(session)
        beyond = {(ip, each) for ip, each in where if not ip.removeprefix("::ffff:").startswith(("127.", "::1"))}
        assert beyond == {("0.0.0.0", port)}
        assert [each for _, each in where if each != port and opens(addresses[0], each)] == []
        assert opens(addresses[0], port)
        check_lock(addresses[0], port, token)
        check_spellings(addresses[0], port)
        check_tls(addresses[0], port)
        check_folder(settings)
        certificate("there")
        renewed = time.monotonic()
        while b"there" not in ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((addresses[0], port), timeout=5)):
            assert time.monotonic() - renewed < 10
            time.sleep(0.2)
        access.revoke(settings, made.id)
        revoked = time.monotonic()
        while ask(addresses[0], port, "/v1/score", token, {"customer_ids": [1]})[0] == 200:
            assert time.monotonic() - revoked < 1.0
            time.sleep(0.02)
    refused = [each for each in audit.read(settings) if each.action == "refuse"]
    peers = {each.details["peer"] for each in refused}
    assert peers <= {addresses[0], "127.0.0.1"}, "the sender's, and not what the sender says"
    assert addresses[0] in peers, "not HAProxy's own"
    assert made.id in {each.details["caller"] for each in refused}
    for path in [*settings.logs.glob("*.log"), settings.home / audit.LOG]:
        assert token.rpartition("_")[2] not in path.read_text()


def check_lock(address: str, port: int, token: str) -> None:
    assert ask(address, port, "/v1/score", None, {"customer_ids": [1]})[0] == 401
    assert ask(address, port, "/v1/score", token, {"customer_ids": [1]})[0] == 200
    assert ask(address, port, "/v1/recommend", token, {"customer_ids": [1]})[0] == 403
    assert ask(address, port, "/v1/customers/1", token)[0] == 403
    assert ask(address, port, "/v1/events", token, EVENT)[0] == 202
    assert ask(address, port, "/readyz", None)[0] == 200
    status, error = ask(address, port, "/v1/score", None, {})
    assert (status, len(error["request_id"])) == (401, 36)
    assert server.address(Settings(home=Path("/h"), tls_cert="c")).startswith("https://")


def check_spellings(address: str, port: int) -> None:
    tls = trusting()
    for target in SPELLINGS:
        status, _, body = got(address, port, target, tls=tls)
        assert (status, json.loads(body)["error"]["message"]) == (404, "There is nothing at this path."), target
    for host in (address, "127.0.0.1"):
        _, head, body = got(host, port, b"/metrics", b"x-forwarded-for: 198.51.100.9", b"x-request-id: mine", tls=tls)
        assert b"x-request-id: mine" in head
        assert b"server:" not in head, "nobody needs to know what it runs on"
        assert json.loads(body)["request_id"] == "mine"
    fails_ray = (b"serve_multiplexed_model_id: \xff", b"x-request-id: \xff", b"x-request-timeout-seconds: 0.000001")
    assert got(address, port, b"/openapi.json", *fails_ray, tls=tls)[0] == 200


def check_folder(settings: Settings) -> None:
    """Ray opens its own folder to every user of the machine: what HAProxy is started from must not lie there."""
    temp = Path(json.loads(record_path(settings).read_bytes())["temp"])
    assert stat.S_IMODE(temp.stat().st_mode) == 0o700
    assert stat.S_IMODE((temp / haproxy.SOCKET).stat().st_mode) == 0o600
    with socket.socket(socket.AF_UNIX) as asked:
        asked.settimeout(5)
        asked.connect(str(temp / haproxy.SOCKET))
        asked.sendall(b"show info\n")
        assert b"HAProxy" in asked.recv(4096)


def check_tls(address: str, port: int) -> None:
    plain = http.client.HTTPConnection(address, port, timeout=5)
    plain.request("GET", "/healthz")
    with pytest.raises((http.client.HTTPException, OSError)):
        plain.getresponse()
    plain.close()
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    too_old = pytest.raises(ssl.SSLError, match=r"(?i)alert.protocol.version")
    with socket.create_connection((address, port), timeout=5) as raw, too_old:
        old.wrap_socket(raw)
