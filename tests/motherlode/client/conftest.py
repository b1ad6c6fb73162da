"""Both clients behind one face, the real application on a port, and servers and proxies that fail on order."""

import asyncio
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from motherlode.client import AsyncClient, Client
from tests.serving.conftest import Company
from tests.serving.listening import listening, small_company


class Waiting:
    """An AsyncClient whose calls wait, so that one set of tests holds for both."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self.client = AsyncClient(*args, **options)

    def __enter__(self) -> "Waiting":
        self._runner.run(self.client.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self.client.close())
        self._runner.close()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.client, name)

        def call(*args: Any, **options: Any) -> Any:
            return self._runner.run(method(*args, **options))

        return call


@pytest.fixture
def both() -> tuple[Any, Any]:
    """The classes of both clients, to be entered."""
    return Client, Waiting


@pytest.fixture(params=[Client, Waiting], ids=["blocking", "asyncio"])
def opened(request: pytest.FixtureRequest) -> Any:
    """The class of a client, to be entered."""
    return request.param


@pytest.fixture(scope="session")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """Serving's own small company: the customers 1, 2 and "abc" are known, and nobody else."""
    with small_company(tmp_path_factory.mktemp("company") / "home", 1.0) as made:
        yield made


@pytest.fixture(scope="session")
def served(company: Company) -> Iterator[str]:
    """The URL of the real application under uvicorn."""
    with listening(company.settings) as url:
        yield url


@dataclass
class Told:
    """A server that answers in turn what it was told, and then the last of it for ever.

    Attributes:
        answers: status, headers, body and the seconds before it.
        asked: method, path, headers and body of each request that came.
        ports: of the connections that requests came by.
    """

    answers: list[tuple[int, dict[str, str], bytes, float]]
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def told() -> Iterator[Callable[..., Told]]:
    """Starts servers that answer what they are told."""
    with _servers() as start:
        yield start


@contextmanager
def _servers() -> Iterator[Callable[..., Told]]:
    running_now: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def start(*answers: Any, certificate: Path | None = None) -> Told:
        state = Told(list(answers))

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                place = min(len(state.asked), len(state.answers) - 1)
                state.asked.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                state.ports.append(self.client_address[1])
                status, headers, content, after_s = state.answers[place]
                stopping.wait(after_s)
                self.send_response(status)
                for name, value in ({"content-length": str(len(content))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)
                self.close_connection |= headers.get("x-then") == "close"  # not announced, unlike `Connection: close`

            do_POST = do_GET  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if certificate is not None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(certificate)
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        server.daemon_threads = True
        server.block_on_close = False
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        running_now.append((server, thread))
        state.url = f"{'http' if certificate is None else 'https'}://127.0.0.1:{server.server_port}"
        return state

    stopping = threading.Event()
    try:
        yield start
    finally:
        stopping.set()
        for server, thread in running_now:
            server.shutdown()
            server.server_close()
            thread.join()


@dataclass
class Proxy:
    """A TCP proxy that resets connections after so many bytes of an answer; None lets a connection be.

    Attributes:
        cuts: a connection each, in the order that they come; afterwards none is cut.
        connections: that came.
    """

    cuts: list[int | None]
    connections: int = 0
    url: str = ""


@pytest.fixture
def proxied() -> Iterator[Callable[..., Proxy]]:
    """Starts proxies before a server's URL."""
    listeners: list[socket.socket] = []

    def start(url: str, *cuts: int | None) -> Proxy:
        target = ("127.0.0.1", int(url.rsplit(":", 1)[1]))
        state = Proxy(list(cuts))
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        state.url = f"http://127.0.0.1:{listener.getsockname()[1]}"

        def accept() -> None:
            while True:
                try:
                    near, _ = listener.accept()
                except OSError:  # the test is over
                    return
                cut = state.cuts[state.connections] if state.connections < len(state.cuts) else None
                state.connections += 1
                threading.Thread(target=relay, args=(near, cut), daemon=True).start()

        def relay(near: socket.socket, cut: int | None) -> None:
            # One thread for both ways: a reset is sent when nobody else waits on the socket.
            with near, socket.create_connection(target) as far:
                passed = 0
                while True:
                    ready, _, _ = select.select([near, far], [], [])
                    try:
                        piece = ready[0].recv(65536)
                        if not piece:
                            return
                        if ready[0] is near:
                            far.sendall(piece)
                            continue
                        near.sendall(piece if cut is None else piece[: cut - passed])
                    except OSError:  # either end was reset
                        return
                    passed += len(piece)
                    if cut is not None and passed >= cut:
                        near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        return

        threading.Thread(target=accept, daemon=True).start()
        return state

    yield start
    for each in listeners:
        each.shutdown(socket.SHUT_RDWR)
        each.close()
