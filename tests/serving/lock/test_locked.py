"""The application with its lock: both ways into it, changes of the key ring while it runs, and what is written down."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from litestar.testing import TestClient

from motherlode import access, audit, bundles, last_used
from motherlode.settings import Settings
from serving.front import Front
from serving.http import build
from serving.lock import denials, opening
from serving.lock.caller import STATE
from serving.lock.denials import Denial, Denials

if TYPE_CHECKING:
    from tests.serving.conftest import Company
    from tests.serving.lock.conftest import Issuer

Client = TestClient[Front]
ONE = {"customer_ids": [1]}
EVENT = {"events": [{"event_id": "a", "customer_id": 1}]}


@contextmanager
def locked(settings: Settings, **changes: Any) -> Iterator[Client]:
    with TestClient(build(replace(settings, lock="on", **changes))) as asked:
        yield asked


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


CALLS: list[tuple[str, str, Any, str]] = [
    ("POST", "/v1/score", ONE, "score"),
    ("POST", "/v1/features", ONE, "score"),
    ("POST", "/v1/recommend", ONE, "recommend"),
    ("POST", "/v1/events", EVENT, "events"),
    ("GET", "/v1/customers/1", None, "portrait"),
    ("GET", "/metrics", None, "metrics"),
]


def test_every_route_wants_its_scope_whichever_way_it_goes(company: "Company") -> None:
    tokens = {scope: access.add(company.settings, scope, [scope])[1] for scope in access.SCOPES}
    with locked(company.settings) as client:
        for method, path, body, needed in CALLS:
            for scope, token in [*tokens.items(), ("", "")]:
                answer = client.request(method, path, json=body, headers=bearer(token) if token else {})
                if scope == needed or needed in access.IMPLIED.get(scope, ()):
                    assert answer.status_code in (200, 202), (path, scope, answer.text)
                    continue
                assert answer.status_code == (403 if scope else 401), (path, scope)
                assert answer.headers["www-authenticate"].startswith("Bearer")
                assert answer.json()["error"]["path"] == "Authorization"
        for path in ("/healthz", "/readyz", "/docs", "/openapi.json"):
            assert client.get(path).status_code == 200
        for token in ("", tokens["admin"]):
            assert client.get("/nowhere", headers=bearer(token)).status_code == 404


def test_who_has_no_key_learns_whether_the_server_is_ready_and_no_more(company: "Company") -> None:
    access.add(company.settings, "shop", ["score"])
    (company.publish("bad") / "response.onnx").unlink()
    bundles.flip(company.settings.models, "v1")
    with locked(company.settings) as client:
        bundles.flip(company.settings.models, "bad")
        assert within(5, lambda: client.get("/readyz").json()["refused"] is not None)
        ready = client.get("/readyz").json()
    assert (ready["status"], ready["bundle"], ready["redis"]) == ("ready", "v1", "ok")
    assert (ready["refused"], ready["device_reason"]) == ("See the server's log.", "")


def test_a_refused_request_is_refused_before_its_body_is_read(company: "Company") -> None:
    access.add(company.settings, "shop", ["score"])
    with locked(company.settings) as client:
        assert client.post("/v1/score", content=b"{").status_code == 401
        assert client.post("/v1/score", content=b" " * (2**20 + 1)).status_code == 401


def test_the_handlers_know_who_calls(company: "Company") -> None:
    key, token = access.add(company.settings, "shop", ["score"])
    front = build(replace(company.settings, lock="on"))
    scope: Any = {
        "type": "http",
        "method": "POST",
        "path": "/v1/score",
        "headers": [(b"authorization", f"Bearer {token}".encode())],
        "client": ("192.0.2.7", 1),
    }

    async def receive() -> Any:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(_: Any) -> None:
        pass

    asyncio.run(front(scope, receive, send))
    assert scope["state"][STATE].id == key.id


def test_keys_are_revoked_made_and_rotated_while_it_runs_within_a_second(company: "Company") -> None:
    settings = company.settings
    key, token = access.add(settings, "shop", ["score"])
    with locked(settings) as client:

        def status(each: str) -> int:
            return int(client.post("/v1/score", json=ONE, headers=bearer(each)).status_code)

        assert status(token) == 200
        other, another = access.add(settings, "till", ["score"])
        assert within(1, lambda: status(another) == 200)
        _, rotated = access.rotate(settings, other.id, timedelta(0))
        assert within(1, lambda: status(another) == 401)
        assert status(rotated) == 200
        access.revoke(settings, key.id)
        assert within(1, lambda: status(token) == 401)
        content = access.path_of(settings).read_bytes()
        access.path_of(settings).write_bytes(content[:-7])
        time.sleep(0.7)
        assert status(rotated) == 200, "a ring that is damaged changes nothing"
        access.path_of(settings).write_bytes(content)
        access.path_of(settings).unlink()
        assert within(1.2, lambda: status(rotated) == 401), "without a ring nobody has a key"


def test_when_a_key_was_used_is_written_down_and_a_wrong_one_uses_none(
    company: "Company", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "_USED_S", 0.0)
    key, token = access.add(company.settings, "shop", ["score"])
    other, secret = access.add(company.settings, "till", ["score"])
    wrong = secret[:-1] + ("0" if secret[-1] != "0" else "1")
    began = datetime.now(UTC).replace(microsecond=0)
    with locked(company.settings) as client:
        client.post("/v1/score", json=ONE, headers=bearer(wrong))
        client.post("/v1/score", json=ONE, headers=bearer(token))
        assert within(3, lambda: key.id in last_used.read(company.settings))
        client.post("/v1/recommend", json=ONE, headers=bearer(secret))
    used = last_used.read(company.settings)
    assert used.keys() == {key.id, other.id}, "what was not written yet is when the server ends"
    assert all(began <= at <= datetime.now(UTC) for at in used.values())


def test_a_token_opens_what_its_scopes_say(company: "Company", issuer: "Issuer") -> None:
    names = {"jwks": issuer.url, "jwt_issuer": "https://id.example/", "jwt_audience": "motherlode"}
    with locked(company.settings, **names) as client:

        def status(path: str, token: str) -> int:
            return int(client.post(path, json=ONE, headers=bearer(token)).status_code)

        token = issuer.token("one")
        assert within(2, lambda: status("/v1/score", token) == 200)
        assert status("/v1/recommend", token) == 403
        assert status("/v1/score", issuer.token("one", exp=time.time() - 60)) == 401
        assert status("/v1/score", issuer.token("one", aud="others")) == 401
        _, key = access.add(company.settings, "shop", ["score"])
        assert within(1, lambda: status("/v1/score", key) == 200), "keys and tokens stand side by side"


def test_refusals_are_in_the_audit_log_with_whom_and_never_with_a_key(
    company: "Company", caplog: pytest.LogCaptureFixture
) -> None:
    settings = company.settings
    key, token = access.add(settings, "shop", ["score"], rate=0.001, burst=1)
    ended, old = access.add(settings, "till", ["score"])
    access.revoke(settings, ended.id)
    wrong = token[:-1] + ("0" if token[-1] != "0" else "1")
    with locked(settings) as client:
        for _ in range(5):
            client.post("/v1/score", json=ONE)
            client.post("/v1/score", json=ONE, headers=bearer(wrong))
        client.post("/v1/score", json=ONE, headers=bearer(old))
        client.get("/v1/customers/ann@example.org", headers=bearer(token))
        client.post("/v1/score", json=ONE, headers=bearer(token))
        client.post("/v1/score", json=ONE, headers=bearer(token))
    told = [each for each in audit.read(settings) if each.action == denials.ACTION]
    found = {(each.details["status"], each.details["caller"], each.subject) for each in told}
    assert found == {
        (401, "unknown", "/v1/score"),
        (401, ended.id, "/v1/score"),
        (403, key.id, "/v1/customers/"),
        (429, key.id, "/v1/score"),
    }
    times = [int(each.details["times"]) for each in told if each.details["caller"] == "unknown"]
    assert sum(times) == 10
    audit.verify(settings)
    written = (settings.home / audit.LOG).read_text() + caplog.text
    for secret in (token, wrong, old):
        assert secret.rpartition("_")[2] not in written
    assert "ann" not in written


def test_a_flood_of_refusals_fills_no_disk_and_no_memory(company: "Company", monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Denials(company.settings)
    for second in range(3):
        for _ in range(1000):
            kept.note(Denial(401, "", "POST", "/v1/score", "There is no key.", f"192.0.2.{second}"))
        asyncio.run(kept.flush())
    asyncio.run(kept.close())
    told = [each for each in audit.read(company.settings) if each.action == denials.ACTION]
    assert [each.details["times"] for each in told] == [1000, 2000]
    monkeypatch.setattr(denials, "_MOST", 10)
    for caller in range(100):
        kept.note(Denial(403, str(caller), "POST", "/v1/score", "no", ""))
    assert len(kept._seen) <= 11


def test_a_log_that_cannot_be_written_stops_nobody(company: "Company", caplog: pytest.LogCaptureFixture) -> None:
    key, token = access.add(company.settings, "shop", ["score"])
    path = company.settings.home / audit.LOG
    path.write_bytes(path.read_bytes()[:-4])
    with locked(company.settings) as client:
        assert client.post("/v1/score", json=ONE).status_code == 401
        assert within(2, lambda: "not in the audit log" in caplog.text)
        assert client.post("/v1/score", json=ONE, headers=bearer(token)).status_code == 200
    assert key.id not in caplog.text


def test_without_a_lock_nothing_is_asked_for(company: "Company") -> None:
    with TestClient(build(company.settings)) as client:
        assert client.post("/v1/score", json=ONE).status_code == 200
