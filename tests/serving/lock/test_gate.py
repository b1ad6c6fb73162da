"""The gate alone: who is admitted, who is not and why, and that no route stands open by an oversight."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from motherlode import access
from motherlode.settings import Settings
from serving.http import build
from serving.lock.caller import ANYONE
from serving.lock.denials import Denials
from serving.lock.gate import BELOW, SCOPE_OF, Gate, scope_of
from serving.problems import Refusal

if TYPE_CHECKING:
    from tests.serving.conftest import Company


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
    for path, scope in (("/v1/recommend", "recommend"), ("/v1/events", "events"), ("/metrics", "admin")):
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


def test_every_route_of_the_application_has_its_scope_and_an_unknown_path_is_closed(company: "Company") -> None:
    routes = {route.path.replace("{customer_id:str}", "1") for route in build(company.settings)._app.routes}
    opened = {"/healthz", "/readyz", "/docs", "/docs/openapi.json", "/openapi.json", "/"}
    assert routes >= opened | {"/v1/score", "/v1/customers/1"}
    assert {path for path in routes if scope_of(path) == ""} == opened
    for path in routes - opened:
        assert path in SCOPE_OF or path.startswith((*BELOW, "/docs/")), f"{path} needs a scope"
    gate = Gate([], Denials(company.settings))
    assert gate.admit("GET", "/healthz", [], "") is ANYONE
    for path in (
        "/v1/score/",
        "//v1/score",
        "/V1/score",
        "/docs/",
        "/docs/../v1/score",
        "/healthz/x",
        "",
        "/v1/customers",
    ):
        assert refused(gate, [], path).status_code == 401, path


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
