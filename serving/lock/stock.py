"""What stands before Ray Serve's own proxy (`--profile safe`), as HAProxy stands before the replicas.

Ray's proxy answers paths of its own, which tell what is deployed, takes orders from callers' headers, and fails on some
of their values. It is named to Ray by `HOOK`, which Ray calls in the proxy's process; it is slim, since each request
passes it.
"""

import re
from http import HTTPStatus
from typing import Any, Final
from uuid import uuid4

import msgspec
from starlette.middleware import Middleware

from motherlode.api import ErrorAnswer, Problem
from serving.lock.routes import NOWHERE, plain, scope_of

HOOK: Final = "serving.lock.stock.middlewares"
"""For `RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH`."""

_RAYS: Final = re.compile(rb"x[-_]request[-_]timeout[-_]seconds|x[-_]session[-_]id|serve[-_].*", re.DOTALL)
_REQUEST_ID: Final = b"x-request-id"
_GOOD_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,128}")


def middlewares() -> list[Middleware]:
    """What Ray puts around its proxy."""
    return [Middleware(Guard)]


class Guard:
    """An ASGI application around another: it lets through requests for paths that there are, without orders to Ray.

    There is no WebSocket behind it: one is refused before it opens, whatever its path and its headers.

    Args:
        app: the other.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """See ASGI."""
        if scope["type"] == "http":
            if scope_of(plain(scope["path"])) is None:
                await _nowhere(scope, send)
                return
            scope["headers"] = [each for each in scope["headers"] if _may_pass(*each)]
        elif scope["type"] != "lifespan":
            await send({"type": "websocket.close"})
            return
        await self._app(scope, receive, send)


def _may_pass(name: bytes, value: bytes) -> bool:
    if name == _REQUEST_ID:
        return _GOOD_ID.fullmatch(value) is not None
    return _RAYS.fullmatch(name) is None


async def _nowhere(scope: Any, send: Any) -> None:
    sent = (value for name, value in scope["headers"] if name == _REQUEST_ID and _may_pass(name, value))
    known = next(sent, str(uuid4()).encode())
    body = msgspec.json.encode(ErrorAnswer(Problem(scope["path"], *NOWHERE), known.decode()))
    length = (b"content-length", str(len(body)).encode())
    headers = [(b"content-type", b"application/json"), length, (_REQUEST_ID, known)]
    await send({"type": "http.response.start", "status": HTTPStatus.NOT_FOUND.value, "headers": headers})
    await send({"type": "http.response.body", "body": body})
