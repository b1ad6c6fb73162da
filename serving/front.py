"""The ASGI application: requests with a body, which are nearly all, take the short way to their handler.

Litestar keeps the routes, their documentation and everything rare. What is hot is decoded, handled and encoded here, by
the same handlers and with the same refusals, at a third of what Litestar takes for it.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from inspect import signature
from typing import Any, Final

import msgspec
from litestar import Litestar
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.types import Receive, Scope, Send

from motherlode.api import MAX_BODY
from serving import problems

_log: Final = logging.getLogger(__name__)

DECODER: Final = "decoder"
"""The option of a handler that says how its body is read."""

_ENCODER: Final = msgspec.json.Encoder()
_JSON: Final = (b"content-type", b"application/json")


@dataclass(frozen=True)
class _Quick:
    """A route that is answered here.

    Attributes:
        handle: from the body and the application's state to the answer.
        decoder: of the body.
        status: of the answer.
    """

    handle: Callable[..., Awaitable[Any]]
    decoder: msgspec.json.Decoder[Any]
    status: int


class Front:
    """The application.

    Args:
        app: Litestar's, with all routes.
    """

    def __init__(self, app: Litestar) -> None:
        self._app = app
        self._state: State = app.state
        self._quick: Mapping[str, _Quick] = dict(_quick(app))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        quick = self._quick.get(scope.get("path", ""))
        if quick is None or scope.get("method") != "POST":
            await self._app(scope, receive, send)
            return
        headers: Sequence[tuple[bytes, bytes]] = ()
        try:
            data = problems.decode(await _body(scope, receive), quick.decoder)
            answer = await quick.handle(data, self._state)
            status, body = quick.status, _ENCODER.encode(answer)
        except _GoneError:
            return
        except Exception as error:  # noqa: BLE001 - every failure is answered
            status, body, headers = refusal(error, scope["path"])
        await _send(send, status, body, headers)


def refusal(error: Exception, path: str) -> tuple[int, bytes, Sequence[tuple[bytes, bytes]]]:
    """Status, body and headers for an exception; what is nobody's fault but ours is logged."""
    status, answer = problems.answer(error, path)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, HTTPException):
        _log.error("%s failed.", path, exc_info=error)
    told = error.headers if isinstance(error, problems.Refusal) else None
    return status, _ENCODER.encode(answer), [(name.encode(), value.encode()) for name, value in (told or {}).items()]


class _GoneError(Exception):
    """Whoever asked has hung up."""


def _quick(app: Litestar) -> list[tuple[str, _Quick]]:
    """The routes whose handlers need nothing but the body and the state."""
    return [
        (route.path, _Quick(handler.fn, handler.opt[DECODER], handler.status_code))
        for route in app.routes
        for handler in getattr(route, "route_handlers", ())
        if isinstance(handler, HTTPRouteHandler)
        and DECODER in handler.opt
        and list(signature(handler.fn).parameters) == ["data", "state"]
    ]


async def _body(scope: Scope, receive: Receive) -> bytes:
    """A request's body.

    Raises:
        Refusal: 413 where it is too large, before it is read where its length was told.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and int(value) > MAX_BODY:
            raise problems.too_large()
    body, more = b"", True
    while more:
        message: Any = await receive()
        if message["type"] == "http.disconnect":
            raise _GoneError
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY:
            raise problems.too_large()
    return body


async def _send(send: Send, status: int, body: bytes, headers: Sequence[tuple[bytes, bytes]]) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [_JSON, length, *headers]})
    await send({"type": "http.response.body", "body": body, "more_body": False})
