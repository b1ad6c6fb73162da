"""The front of the application: the short way answers as Litestar would, and refuses at once what it cannot hold."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from motherlode.api import MAX_BODY
from serving import front
from serving.front import Front
from serving.http import build

if TYPE_CHECKING:
    from tests.serving.conftest import Company

SCORE: dict[str, Any] = {"customer_ids": [1]}


def client(app: Front) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://here")  # type: ignore[arg-type]


def test_what_is_more_than_it_can_hold_is_refused_at_once_and_the_rest_is_answered(company: "Company") -> None:
    app = build(replace(company.settings, max_in_hand=2, redis_budget_s=0.5))

    async def run() -> None:
        async with client(app) as asked:
            with company.hanging():
                held = [asyncio.create_task(asked.post("/v1/score", json=SCORE)) for _ in range(2)]
                await asyncio.sleep(0.1)
                began = time.monotonic()
                refused = await asked.post("/v1/score", json=SCORE)
                assert time.monotonic() - began < 0.25
                assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
                assert refused.json()["error"]["message"] == "The server is busy."
                assert (await asked.get("/healthz")).status_code == 200
                assert [each.status_code for each in await asyncio.gather(*held)] == [200, 200]
            assert (await asked.post("/v1/score", json=SCORE)).status_code == 200

    asyncio.run(run())


def test_a_refusal_names_its_request_whichever_way_it_goes(company: "Company") -> None:
    app = build(company.settings)

    async def run() -> None:
        async with client(app) as asked:
            for method, path, body in (
                ("POST", "/v1/score", {}),
                ("GET", "/nowhere", None),
                ("GET", "/v1/score", None),
            ):
                named = await asked.request(method, path, json=body, headers={"x-request-id": "r-7" + "x" * 200})
                assert named.json()["request_id"] == ("r-7" + "x" * 200)[:128], path
                assert "request_id" not in (await asked.request(method, path, json=body)).json()

    asyncio.run(run())


def test_every_call_counts_for_what_it_can_hold_by_whatever_path_it_comes(company: "Company") -> None:
    app = build(replace(company.settings, max_in_hand=1, redis_budget_s=0.5))

    async def run() -> None:
        async with client(app) as asked:
            with company.hanging():
                held = asyncio.create_task(asked.get("/v1/customers/1"))
                await asyncio.sleep(0.1)
                refused = [await asked.get("/v1/customers/2"), await asked.post("/v1//score/", json=SCORE)]
                assert [each.status_code for each in refused] == [429, 429]
                assert (await held).status_code == 200
            assert (await asked.post("/v1//score/", json=SCORE)).json()["results"][0]["status"] == "ok"

    asyncio.run(run())


@pytest.mark.parametrize("told", [True, False], ids=["by its length", "by what comes"])
def test_a_body_beyond_the_limit_is_refused_before_it_is_read_to_its_end(company: "Company", told: bool) -> None:
    app, sent, taken = build(company.settings), [], 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": b" " * (MAX_BODY // 4), "more_body": taken < 100}

    async def send(message: Any) -> None:
        sent.append(message)

    length = [(b"content-length", str(100 * MAX_BODY).encode())] if told else []
    scope: Any = {"type": "http", "method": "POST", "path": "/v1/score", "headers": length}
    asyncio.run(app(scope, receive, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 413
    assert taken == (0 if told else 5)


def test_a_body_that_drips_in_is_ended_and_gives_its_place_back(
    company: "Company", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front, "_BODY_S", 0.1)
    app, sent = build(replace(company.settings, max_in_hand=1)), []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.03)
        return {"type": "http.request", "body": b" ", "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    scope: Any = {"type": "http", "method": "POST", "path": "/v1/score", "headers": []}

    async def run() -> None:
        await app(scope, receive, send)  # type: ignore[arg-type]
        assert sent[0]["status"] == 408
        async with client(app) as asked:
            assert (await asked.post("/v1/score", json=SCORE)).status_code == 200

    asyncio.run(run())


def test_whoever_hangs_up_in_the_middle_of_a_body_is_answered_nothing(company: "Company") -> None:
    app, sent = build(company.settings), []
    messages: Iterator[dict[str, Any]] = iter(
        [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    )

    async def receive() -> dict[str, Any]:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    scope: Any = {"type": "http", "method": "POST", "path": "/v1/score", "headers": []}
    asyncio.run(app(scope, receive, send))  # type: ignore[arg-type]
    assert sent == []
