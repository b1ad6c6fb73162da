"""The gate alone: who is admitted, who is not and why."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from motherlode import access, audit
from motherlode.settings import Settings
from serving.lock.caller import ANYONE
from serving.lock.denials import Denials
from serving.lock.gate import Gate
from serving.lock.routes import SCOPE_OF
from serving.problems import Refusal


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def gate_of(settings: Settings) -> Gate:
    return Gate(access.read(settings), Denials(settings))


def sent(token: str, scheme: str = "Bearer") -> list[tuple[bytes, bytes]]:
    return [(b"host", b"here"), (b"authorization", f"{scheme} {token}".encode("latin-1"))]


def refused(gate: Gate, headers: Any, path: str = "/v1/score") -> Refusal:
    with pytest.raises(Refusal) as caught:
        gate.admit("POST", path, headers, "192.0.2.7")
    assert caught.value.problem.message
    assert caught.value.problem.remedy
    return caught.value


def test_a_key_opens_what_its_scopes_say_and_nothing_else(settings: Settings) -> None:
    key, token = access.add(settings, "shop", ["score", "portrait"])
    gate = gate_of(settings)
    caller = gate.admit("POST", "/v1/score", sent(token), "")
    assert (caller.id, caller.name, caller.scopes) == (key.id, "shop", {"score", "portrait"})
    for scheme in ("bearer", "BEARER", "Bearer "):
        assert gate.admit("POST", "/v1/features", sent(token, scheme), "") == caller
    assert gate.admit("GET", "/v1/customers/a%2Fb", sent(token), "") == caller
    for path, scope in (("/v1/recommend", "recommend"), ("/v1/events", "events"), ("/metrics", "metrics")):
        refusal = refused(gate, sent(token), path)
        assert refusal.status_code == 403
        assert f'error="insufficient_scope", scope="{scope}"' in (refusal.headers or {})["WWW-Authenticate"]


def test_missing_wrong_expired_and_revoked_keys_are_401(settings: Settings) -> None:
    key, token = access.add(settings, "shop", ["score"], timedelta(days=1))
    ended, old = access.add(settings, "till", ["score"])
    access.revoke(settings, ended.id)
    gate = gate_of(settings)
    later = Gate([key.__class__(**{**_fields(key), "expires": datetime.now(UTC)})], Denials(settings))
    wrong = token[:-1] + ("0" if token[-1] != "0" else "1")
    cases = [
        (gate, [], "There is no key."),
        (gate, sent(token, "Basic"), "no bearer"),
        (gate, sent(wrong), "unknown"),
        (gate, sent("ml_" + "0" * 12 + "_" + "0" * 64), "unknown"),
        (gate, sent("ü" * 9), "unknown"),
        (gate, sent(""), "unknown"),
        (gate, sent(old), "is revoked"),
        (later, sent(token), "is expired"),
    ]
    for each, headers, message in cases:
        refusal = refused(each, headers)
        assert refusal.status_code == 401
        assert message in refusal.problem.message
        assert (refusal.headers or {})["WWW-Authenticate"].startswith("Bearer")
        for secret in (token, wrong, old):
            assert secret.rpartition("_")[2] not in repr(refusal.problem)


def _fields(key: access.Key) -> dict[str, Any]:
    return {name: getattr(key, name) for name in key.__struct_fields__}


def test_a_wrong_secret_learns_nothing_of_the_keys_state(settings: Settings) -> None:
    key, token = access.add(settings, "shop", ["score"])
    wrong = token[:-1] + ("0" if token[-1] != "0" else "1")
    before = refused(gate_of(settings), sent(wrong)).problem
    access.revoke(settings, key.id)
    assert refused(gate_of(settings), sent(wrong)).problem == before
    assert refused(gate_of(settings), sent("ml_" + "0" * 12 + "_" + "0" * 64)).problem == before


def test_who_asks_too_often_is_told_when_to_come_again(settings: Settings) -> None:
    _, token = access.add(settings, "shop", ["score"], rate=0.5, burst=3)
    _, other = access.add(settings, "till", ["score"])
    gate = gate_of(settings)
    for _ in range(3):
        gate.admit("POST", "/v1/score", sent(token), "")
    refusal = refused(gate, sent(token))
    assert (refusal.status_code, refusal.headers) == (429, {"Retry-After": "2"})
    assert gate.admit("POST", "/v1/score", sent(other), "").name == "till"


def test_what_is_not_there_is_404_for_everybody_and_no_refusal(settings: Settings) -> None:
    _, token = access.add(settings, "shop", list(access.SCOPES))
    kept = Denials(settings)
    gate = Gate(access.read(settings), kept)
    assert gate.admit("GET", "/healthz", [], "") is ANYONE
    for path in ("//v1/score", "/V1/score", "/docs/../v1/score", "/healthz/x", "", "/v1/customers", "/nowhere"):
        for headers in ([], sent(token)):
            assert refused(gate, headers, path).status_code == 404, path
    asyncio.run(kept.close())
    assert [each.action for each in audit.read(settings)] == ["access add"]


def test_metrics_have_a_scope_of_their_own_and_who_may_all_may_them(settings: Settings) -> None:
    tokens = {scope: access.add(settings, scope, [scope])[1] for scope in access.SCOPES}
    gate = gate_of(settings)
    for scope, token in tokens.items():
        if scope in (access.METRICS, access.ADMIN):
            assert gate.admit("GET", "/metrics", sent(token), "").name == scope
        else:
            assert refused(gate, sent(token), "/metrics").status_code == 403, scope
    assert refused(gate, sent(tokens[access.METRICS]), "/v1/score").status_code == 403
    assert refused(gate, sent(tokens[access.ADMIN]), "/v1/score").status_code == 403


def test_the_documentation_names_every_path_beside_its_scope() -> None:
    page = (Path(__file__).parents[3] / "docs" / "security.md").read_text()
    rows = [line.split("|") for line in page.splitlines() if line.startswith("| ") and line.count("|") == 3]
    told = {row[1].strip(" `"): row[2] for row in rows}
    for path, scope in SCOPE_OF.items():
        if path not in ("/", "/docs/openapi.json"):
            assert f"`{path}`" in told[scope or "none"], path


def test_a_request_costs_microseconds(settings: Settings) -> None:
    _, token = access.add(settings, "shop", ["score"], rate=1e9)
    gate, headers = gate_of(settings), sent(token)
    best = float("inf")
    for _ in range(5):
        began = time.process_time()
        for _ in range(2000):
            gate.admit("POST", "/v1/score", headers, "")
        best = min(best, (time.process_time() - began) / 2000)
    assert best < 20e-6, "2 µs where it was measured"
