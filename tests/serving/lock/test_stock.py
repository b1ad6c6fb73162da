"""What stands before Ray Serve's own proxy, on a real socket before an application that tells what reached it."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from starlette.middleware import Middleware

from serving import profiles
from serving.lock import stock
from tests.serving.raw import SPELLINGS, got


async def tell(scope: Any, receive: Any, send: Any) -> None:
    """Answers 200 with the headers that it was given; opens every WebSocket."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    body = json.dumps({name.decode(): value.decode("latin-1") for name, value in scope["headers"]}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def port() -> Iterator[int]:
    (around,) = stock.middlewares()
    assert isinstance(around, Middleware)
    made = uvicorn.Server(
        uvicorn.Config(around.cls(tell, *around.args, **around.kwargs), port=0, log_level="critical", lifespan="off")
    )
    thread = threading.Thread(target=made.run)
    thread.start()
    while not made.started:
        thread.join(0.01)
    yield int(made.servers[0].sockets[0].getsockname()[1])
    made.should_exit = True
    thread.join()


def test_ray_is_told_of_it_by_its_name() -> None:
    named = profiles.environment(profiles.SAFE, token="t")["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"]
    assert named == stock.HOOK == f"{stock.__name__}.{stock.middlewares.__name__}"


def test_no_spelling_of_a_path_reaches_what_is_not_the_applications(port: int) -> None:
    for target in SPELLINGS:
        status, head, body = got("127.0.0.1", port, target)
        assert status == 404, target
        assert f"x-request-id: {json.loads(body)['request_id']}".encode() in head
        assert json.loads(body)["error"]["message"] == "There is nothing at this path."
    assert json.loads(got("127.0.0.1", port, b"/-/routes", b"x-request-id: r-7")[2])["request_id"] == "r-7"
    for target in (b"/", b"/healthz", b"/docs/", b"//v1/score", b"/v1/customers/a%2Fb"):
        assert got("127.0.0.1", port, target)[0] == 200, target


def test_callers_give_ray_no_orders(port: int) -> None:
    sent = (
        b"x-request-timeout-seconds: 0.0001",
        b"X-Request_Timeout-Seconds: 1",
        b"serve_multiplexed_model_id: \xff",
        b"Serve-Multiplexed-Model-Id: a",
        b"x-session-id: \xff",
        b"x-request-id: \xff\xfe",
        b"authorization: Bearer a",
    )
    _, _, body = got("127.0.0.1", port, b"/healthz", *sent)
    assert json.loads(body) == {"host": "x", "connection": "close", "authorization": "Bearer a"}
    _, _, body = got("127.0.0.1", port, b"/healthz", b"x-request-id: shop-17.a:b")
    assert json.loads(body)["x-request-id"] == "shop-17.a:b"


def test_no_websocket_opens_wherever_it_goes(port: int) -> None:
    asked = (b"Upgrade: websocket", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    for target in (b"/-/routes", b"/healthz", b"/v1/score"):
        # The later `Connection` counts beside the first one.
        status, _, body = got(
            "127.0.0.1", port, target, b"Connection: upgrade", *asked, b"serve_multiplexed_model_id: a"
        )
        assert (status, body) == (403, b""), target
