"""The ASGI application: requests with a body, which are nearly all, take the short way to their handler.

Litestar keeps the routes, their documentation and everything rare. What is hot is decoded, handled and encoded here, by
the same handlers and with the same refusals, at a third of what Litestar takes for it.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from inspect import signature
from typing import Any, Final
from urllib.parse import quote

import msgspec
from litestar import Litestar
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.types import Receive, Scope, Send

from motherlode.api import MAX_BODY
from serving import problems
from serving.audit import Journal
from serving.lock.caller import STATE
from serving.lock.gate import Gate
from serving.lock.purposes import Purposes
from serving.lock.routes import plain
from serving.sight import Sight
from serving.sight.metrics import BODY, DECODE, ENCODE, JOURNAL, LOCK, SEND
from serving.sight.sight import GONE

_log: Final = logging.getLogger(__name__)

DECODER: Final = "decoder"
"""The option of a handler that says how its body is read."""
PURPOSES: Final = "purposes"
"""Where the application's state keeps `Purposes`."""

_ENCODER: Final = msgspec.json.Encoder()
_JSON: Final = (b"content-type", b"application/json")
_REQUEST_ID: Final = b"x-request-id"
"""Either proxy gives one to a request that has none."""
_LONGEST_ID: Final = 128
_UNROUTED: Final = "other"
_BODY_S: Final = 10.0
"""For a body to come: one that drips in holds a place that others want."""
CUSTOMERS: Final = "/v1/customers/"
"""What paths begin with that name a customer."""
_CALLS: Final = "/v1/"
"""What paths begin with whose answers take time."""


_Answer = tuple[int, bytes, Sequence[tuple[bytes, bytes]]]
"""Status, body, and headers besides those of every answer."""


@dataclass(frozen=True)
class _Quick:
    """A route that is answered here.

    Attributes:
        path: its own.
        handle: from the body and the application's state to the answer.
        decoder: of the body.
        status: of the answer.
    """

    path: str
    handle: Callable[..., Awaitable[Any]]
    decoder: msgspec.json.Decoder[Any]
    status: int


class Front:
    """The application.

    Args:
        app: Litestar's, with all routes.
        sight: what counts the requests.
        gate: who may ask; None where the lock is off.
        most: requests in hand, above which others are refused with 429 at once.
        journal: where it is written down who asked for whom; None: nowhere.
    """

    def __init__(
        self,
        app: Litestar,
        sight: Sight | None = None,
        gate: Gate | None = None,
        most: int = 64,
        journal: Journal | None = None,
    ) -> None:
        self._app = app
        self._journal = journal
        self._gate = gate
        self._most = most
        self._in_hand = 0
        self._sight = sight or Sight()
        self._state: State = app.state
        self._purposes: Purposes = app.state.get(PURPOSES) or Purposes()
        self._quick: Mapping[str, _Quick] = dict(_quick(app))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        method: Any = scope.get("method")
        if method is None:  # no HTTP: Litestar's lifespan
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        if path not in self._quick:
            # Litestar takes some paths for the same, so they must be one for the lock and the log too.
            path = scope["path"] = plain(_sent(scope) if path.startswith(CUSTOMERS) else path)
        quick = self._quick.get(path) if method == "POST" else None
        counted = path.startswith(_CALLS)
        self._in_hand += counted
        begun, told = self._sight.begin(method, scope["headers"]), _Told(send)
        try:
            answer: _Answer | None = None
            try:
                if counted and self._in_hand > self._most:
                    raise problems.busy()
                if self._gate is not None:
                    _admit(self._gate, scope)
                    self._sight.stage(LOCK, begun[0])
                if quick is not None:
                    answer = await self._answer(quick, scope, receive)
            except _GoneError:
                return
            except Exception as error:  # noqa: BLE001 - every failure is answered
                answer = refusal(error, path, _UNROUTED if quick is None else quick.path, scope["headers"])
            if answer is None:
                await self._app(scope, receive, told)
            else:
                answered = time.perf_counter()
                await _send(told, *answer)
                self._sight.stage(SEND, answered)
        finally:
            self._in_hand -= counted
            # Only Litestar finds out which of its routes it is: a path may hold a customer's id.
            self._sight.end(begun, template(scope) if quick is None else quick.path, told.status)

    async def _answer(self, quick: _Quick, scope: Scope, receive: Receive) -> _Answer:
        """The short way.

        Raises:
            _GoneError: whoever asked has hung up.
            Exception: whatever is wrong with the request, or went wrong.
        """
        if self._journal is not None:
            self._journal.require()
        began = time.perf_counter()
        sent = await _body(scope, receive)
        came = self._sight.stage(BODY, began)
        data = self._purposes.settle(scope, problems.decode(sent, quick.decoder))
        self._sight.stage(DECODE, came)
        answer = await quick.handle(data, self._state)
        handled = time.perf_counter()
        if self._journal is not None:
            self._journal.answered(scope, quick.path, data, answer)
            handled = self._sight.stage(JOURNAL, handled)
        body = _ENCODER.encode(answer)
        self._sight.stage(ENCODE, handled)
        return quick.status, body, ()


class _Told:
    """Sends what is answered, and keeps its status."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = GONE

    async def __call__(self, message: Any) -> None:
        """See ASGI."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


def _admit(gate: Gate, scope: Any) -> None:
    """Leave the caller in the scope's state, before the body is read.

    Raises:
        Refusal: whoever asks may not.
    """
    client = scope.get("client")
    caller = gate.admit(scope["method"], scope["path"], scope["headers"], client[0] if client else "")
    scope.setdefault("state", {})[STATE] = caller


def _sent(scope: Any) -> str:
    """A request's path as it was sent, percent-encoded: an id may hold any character, a slash too."""
    sent: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    return sent.partition(b"?")[0].decode("latin-1")


def template(scope: Scope) -> str:
    """A request's route, once it is known; paths that are nobody's are one."""
    known: Any = scope
    found: str = known.get("path_template") or _UNROUTED
    return found


def refusal(error: Exception, path: str, route: str, headers: Iterable[tuple[bytes, bytes]]) -> _Answer:
    """Status, body and headers for an exception; what is nobody's fault but ours is logged.

    Args:
        error: the exception.
        path: for whoever asked.
        route: for the log, which is to name no customer.
        headers: of the request.
    """
    asked = next((value.decode("latin-1")[:_LONGEST_ID] for name, value in headers if name == _REQUEST_ID), "")
    status, answer = problems.answer(error, path, asked)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, HTTPException):
        extra = {"route": route, "status": status, "request_id": asked or None}
        _log.error("%s failed.", route, exc_info=error, extra=extra)
    told = error.headers if isinstance(error, HTTPException) else None
    return status, _ENCODER.encode(answer), [(name.encode(), value.encode()) for name, value in (told or {}).items()]


class _GoneError(Exception):
    """Whoever asked has hung up."""


def _quick(app: Litestar) -> list[tuple[str, _Quick]]:
    """The routes whose handlers need nothing but the body and the state."""
    return [
        (route.path, _Quick(route.path, handler.fn, handler.opt[DECODER], handler.status_code))
        for route in app.routes
        for handler in getattr(route, "route_handlers", ())
        if isinstance(handler, HTTPRouteHandler)
        and DECODER in handler.opt
        and list(signature(handler.fn).parameters) == ["data", "state"]
    ]


async def _body(scope: Scope, receive: Receive) -> bytes:
    """A request's body.

    Raises:
        Refusal: 413 where it is too large, before it is read where its length was told; 408 where it does not end.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and int(value) > MAX_BODY:
            raise problems.too_large()
    body, more = await _piece(receive)
    if more:
        try:
            async with asyncio.timeout(_BODY_S):
                while more:
                    if len(body) > MAX_BODY:
                        raise problems.too_large()
                    piece, more = await _piece(receive)
                    body += piece
        except TimeoutError:
            raise problems.too_slow(_BODY_S) from None
    if len(body) > MAX_BODY:
        raise problems.too_large()
    return body


async def _piece(receive: Receive) -> tuple[bytes, bool]:
    """The next piece of a body, and whether more is to come."""
    message: Any = await receive()
    if message["type"] == "http.disconnect":
        raise _GoneError
    return message.get("body", b""), message.get("more_body", False)


async def _send(send: Send, status: int, body: bytes, headers: Sequence[tuple[bytes, bytes]]) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [_JSON, length, *headers]})
    await send({"type": "http.response.body", "body": body, "more_body": False})
