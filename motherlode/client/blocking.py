"""The client that blocks: Python's own HTTP connections, kept alive, which any number of threads may share.

Python's, because they cost 0.6 of urllib3's time a call and a third of httpx's, and write no address with a customer's
id into a log (docs/decisions/0038-client.md).
"""

import http.client
import os
import select
import socket
import ssl
import time
from collections import deque
from contextlib import suppress
from functools import cached_property
from types import TracebackType
from typing import Final, Self, TypeVar

from motherlode.api import (
    Alive,
    ConsentAnswer,
    ConsentRequest,
    ContactAnswer,
    ContactRequest,
    EventsAnswer,
    EventsRequest,
    FeaturesAnswer,
    FeaturesRequest,
    Portrait,
    Ready,
    RecommendAnswer,
    RecommendRequest,
    ScoreAnswer,
    ScoreRequest,
    SimilarAnswer,
    SimilarRequest,
)
from motherlode.client import calls
from motherlode.client.address import Address
from motherlode.client.talk import CONNECT_S, SLOW, Fault, Reply, Send, Talk
from motherlode.client.told import Told

T = TypeVar("T")

_IDLE: Final = 32
"""Connections that are kept while nobody asks."""
_PIECE: Final = 1 << 16
"""Bytes."""


class Client(Told):
    """Asks a server, and waits for its answers.

    What it is told, and how it divides calls: see `motherlode.client.told.Told`.
    """

    @cached_property
    def _connections(self) -> "_Connections":
        return _Connections(self._address)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are kept; a call afterwards opens another."""
        self._connections.close()

    def score(self, request: ScoreRequest, timeout_s: float | None = None) -> ScoreAnswer:
        """Segment and scores of customers.

        Raises:
            ApiError: see `motherlode.client.errors`; the same for every call.
        """
        return self._run(calls.score(request, self._manner, self._within(timeout_s)))

    def recommend(self, request: RecommendRequest, timeout_s: float | None = None) -> RecommendAnswer:
        """Items for customers."""
        return self._run(calls.recommend(request, self._manner, self._within(timeout_s)))

    def similar_items(self, request: SimilarRequest, timeout_s: float | None = None) -> SimilarAnswer:
        """Items like each of some items."""
        return self._run(calls.similar_items(request, self._manner, self._within(timeout_s)))

    def features(self, request: FeaturesRequest, timeout_s: float | None = None) -> FeaturesAnswer:
        """Features of customers, by view and column."""
        return self._run(calls.features(request, self._manner, self._within(timeout_s)))

    def events(self, request: EventsRequest, timeout_s: float | None = None) -> EventsAnswer:
        """Send what happened. All events of a request are taken or none; more than 1000 are several requests. After
        an error send the same again: by their ids none counts twice. So a retry may count as `duplicates` what its
        first try brought.
        """
        return self._run(calls.events(request, self._manner, self._within(timeout_s)))

    def consent(self, request: ConsentRequest, timeout_s: float | None = None) -> ConsentAnswer:
        """Keep what a customer said of a purpose. It is repeated only where the request says when that was (`at`)."""
        return self._run(calls.consent(request, self._manner, self._within(timeout_s)))

    def contact(self, request: ContactRequest, timeout_s: float | None = None) -> ContactAnswer:
        """Tell that a customer was contacted. A retry may be told that it does not count: its first try did."""
        return self._run(calls.contact(request, self._manner, self._within(timeout_s)))

    def portrait(
        self,
        customer_id: int | str,
        campaign_type: str | None = None,
        purpose: str | None = None,
        timeout_s: float | None = None,
    ) -> Portrait:
        """Everything known of a customer; the response score is for the campaign type."""
        talk = calls.portrait(customer_id, campaign_type, purpose, self._manner, self._within(timeout_s))
        return self._run(talk)

    def alive(self, timeout_s: float | None = None) -> Alive:
        """Whether the server's process answers."""
        return self._run(calls.alive(self._manner, self._within(timeout_s)))

    def ready(self, timeout_s: float | None = None) -> Ready:
        """Whether the server can answer, and by which bundle."""
        return self._run(calls.ready(self._manner, self._within(timeout_s)))

    def _run(self, talk: Talk[T]) -> T:
        try:
            step = next(talk)
            while True:
                if isinstance(step, Send):
                    step = talk.send(self._connections.send(step))
                else:
                    time.sleep(step.seconds)
                    step = talk.send(None)
        except StopIteration as done:
            answer: T = done.value
            return answer


class _Connections:
    """The connections to one server. Each belongs to one thread while it asks, and is kept only after a whole answer:
    what is left of another would be read as the next one's."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._idle: deque[http.client.HTTPConnection] = deque()
        self._process = os.getpid()

    def close(self) -> None:
        """Close those that nobody asks by."""
        while self._idle:
            with suppress(IndexError):  # another thread took the last one
                self._idle.pop().close()

    def send(self, send: Send) -> Reply | Fault:
        """One try, on a connection that is kept or on a new one."""
        until = time.monotonic() + send.within_s
        connection = self._take()
        keep = False
        try:
            if connection.sock is None and (fault := _connect(connection, send.within_s)) is not None:
                return fault
            reply, keep = self._exchange(connection, send, until)
        except TimeoutError:
            return Fault(SLOW, late=True)
        except (OSError, http.client.HTTPException) as error:
            return Fault(f"the connection broke ({type(error).__name__})")
        else:
            return reply
        finally:
            if keep and len(self._idle) < _IDLE:
                self._idle.append(connection)
            else:
                connection.close()

    def _take(self) -> http.client.HTTPConnection:
        if self._process != os.getpid():  # a fork: its sockets are the parent's as well, and so are their answers
            self._idle = deque()
            self._process = os.getpid()
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                break
            if not _dropped(connection.sock):
                return connection
            connection.close()
        address = self._address
        if address.tls is None:
            return http.client.HTTPConnection(address.host, address.port)
        return http.client.HTTPSConnection(address.host, address.port, context=address.tls)

    def _exchange(self, connection: http.client.HTTPConnection, send: Send, until: float) -> tuple[Reply, bool]:
        """The answer, and whether the connection may be kept."""
        sock: socket.socket = connection.sock
        question = send.question
        _allow(sock, until)
        path = self._address.prefix + question.path
        connection.request(question.method, path, question.body, self._address.headers)
        _allow(sock, until)
        with connection.getresponse() as response:
            pieces = []
            while True:
                _allow(sock, until)
                if not (piece := response.read1(_PIECE)):
                    break
                pieces.append(piece)
            if response.length:
                raise http.client.IncompleteRead(b"", response.length)
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, headers, b"".join(pieces)), not response.will_close


def _connect(connection: http.client.HTTPConnection, within_s: float) -> Fault | None:
    connection.timeout = min(CONNECT_S, within_s)
    try:
        connection.connect()
    except ssl.SSLError as error:
        return Fault(f"no TLS connection ({error.reason or type(error).__name__})", again=False)
    except OSError as error:
        return Fault(f"no connection ({type(error).__name__})")
    return None


def _allow(sock: socket.socket, until: float) -> None:
    """Let the next step take what is left of the time."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    sock.settimeout(left)


def _dropped(sock: socket.socket) -> bool:
    """Whether a connection that nobody asks by has something to read: its end, or what no question is behind."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
