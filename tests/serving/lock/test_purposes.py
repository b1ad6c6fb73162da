"""What a caller's requests may be for: keys and tokens that are bound to purposes, and calls that must name theirs."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from litestar.testing import TestClient

from motherlode import access, audit
from motherlode.api import SERVICE, FeaturesRequest, RecommendRequest, ScoreRequest
from motherlode.consent import Ledger
from motherlode.settings import Settings
from serving import audit as journal
from serving.front import Front
from serving.http import build
from serving.lock import denials
from serving.lock.caller import STATE, Caller
from serving.lock.purposes import Purposes
from serving.problems import Refusal

if TYPE_CHECKING:
    from tests.serving.conftest import Company
    from tests.serving.lock.conftest import Issuer

ONE = {"customer_ids": [1]}
CONTACT = {"customer_id": 1, "channel": "email", "contact_id": "a", "purpose": "profiling"}


@contextmanager
def served(settings: Settings, **changes: Any) -> Iterator[TestClient[Front]]:
    with TestClient(build(replace(settings, **changes))) as client:
        yield client


def asked(client: TestClient[Front], path: str, token: str = "", purpose: str | None = None) -> Any:
    """Everything that names a purpose, asked the same way."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    said = {} if purpose is None else {"purpose": purpose}
    if path == "/v1/customers/1":
        return client.get(path, params=said, headers=headers)
    return client.post(path, json={**(CONTACT if path == "/v1/contacts" else ONE), **said}, headers=headers)


PATHS = ("/v1/score", "/v1/recommend", "/v1/features", "/v1/customers/1")
SCOPES = [access.SCORE, access.RECOMMEND, access.PORTRAIT, access.EVENTS]


def test_a_key_that_is_bound_to_a_purpose_is_answered_for_that_one_alone(company: "Company") -> None:
    settings = company.settings
    key, token = access.add(settings, "mailer", SCOPES, purposes=["marketing"])
    _, free = access.add(settings, "shop", SCOPES)
    with served(settings, lock="on", caps="marketing=2/7d") as client:
        for path in PATHS:
            for purpose in (None, "marketing"):
                assert asked(client, path, token, purpose).status_code == 200, (path, purpose)
            for purpose in ("service", "profiling"):
                refused = asked(client, path, token, purpose)
                problem = refused.json()["error"]
                assert refused.status_code == 403, (path, purpose)
                assert problem["message"] == f"Key {key.id} is for marketing alone."
                assert "marketing" in problem["remedy"]
                assert problem["path"] == ("purpose" if path == "/v1/customers/1" else "$.purpose")
                assert asked(client, path, free, purpose).status_code == 200
        assert asked(client, "/v1/contacts", token).status_code == 403
        assert asked(client, "/v1/contacts", token, "marketing").status_code == 200
        assert asked(client, "/v1/contacts", free).status_code == 200
    told = [each for each in audit.read(settings) if each.action == denials.ACTION]
    assert {(each.details["status"], each.details["caller"]) for each in told} == {(403, key.id)}
    assert {each.subject for each in told} == {*PATHS[:3], "/v1/customers/", "/v1/contacts"}
    assert "profiling" not in (settings.home / audit.LOG).read_text(), "what is sent makes no two refusals differ"
    noted = [each for each in journal.asked_for(settings, 1) if each.actor == key.id]
    assert {each.details["purpose"] for each in noted} == {"marketing"}, "what it stood for, not what was left out"


def test_a_request_of_a_bound_key_that_names_no_purpose_needs_the_consent_of_its_own(company: "Company") -> None:
    _, token = access.add(company.settings, "analyst", [access.SCORE], purposes=["profiling"])
    _, free = access.add(company.settings, "shop", [access.SCORE])
    with served(company.settings, lock="on") as client:

        def status(each: str) -> Any:
            return asked(client, "/v1/score", each).json()["results"][0]["status"]

        assert (status(free), status(token)) == ("ok", "withheld"), "nobody agreed to profiling"


def test_one_bound_to_several_must_name_one_unless_the_service_is_among_them(company: "Company") -> None:
    _, two = access.add(company.settings, "till", SCOPES, purposes=["marketing", "profiling"])
    _, three = access.add(company.settings, "app", SCOPES, purposes=["marketing", "service", "profiling"])
    with served(company.settings, lock="on") as client:
        for path in PATHS:
            unnamed = asked(client, path, two)
            assert unnamed.status_code == 422
            assert unnamed.json()["error"]["remedy"] == "Name one of marketing, profiling."
            assert asked(client, path, two, "profiling").status_code == 200
            assert asked(client, path, two, "service").status_code == 403
            assert asked(client, path, three).status_code == 200
            assert asked(client, path, three, "service").status_code == 200


@pytest.mark.parametrize("lock", ["on", "off"])
def test_every_call_names_its_purpose_where_that_is_asked_for(company: "Company", lock: str) -> None:
    _, token = access.add(company.settings, "shop", SCOPES)
    _, bound = access.add(company.settings, "mailer", SCOPES, purposes=["marketing"])
    with served(company.settings, lock=lock, purpose_required="on") as client:
        for path in PATHS:
            for each in (token, bound):
                refused = asked(client, path, each)
                assert refused.status_code == 422, path
                assert "names no purpose" in refused.json()["error"]["message"]
                assert asked(client, path, each, "marketing").status_code == 200, path
            assert asked(client, path, token, "service").status_code == 200, "who says it has named it"
        headers = {"Authorization": f"Bearer {token}"}
        similar = client.post("/v1/similar/items", json={"item_ids": [1001]}, headers=headers)
        assert similar.status_code == 200, "it names no customer, and so no purpose"


def test_a_tokens_claim_binds_it(company: "Company", issuer: "Issuer") -> None:
    names = {"jwks": issuer.url, "jwt_issuer": "https://id.example/", "jwt_audience": "motherlode"}
    with served(company.settings, lock="on", **names) as client:
        until = time.monotonic() + 5
        while asked(client, "/v1/score", issuer.token("one")).status_code != 200:
            assert time.monotonic() < until
        for claim in (["marketing"], "marketing"):
            token = issuer.token("one", purposes=claim)
            assert asked(client, "/v1/score", token, "marketing").status_code == 200
            refused = asked(client, "/v1/score", token, "service")
            assert refused.status_code == 403
            assert refused.json()["error"]["message"].startswith("Token of jwt-")


@pytest.mark.parametrize("request_type", [ScoreRequest, RecommendRequest, FeaturesRequest])
def test_a_purpose_that_is_not_named_is_told_from_one_that_is(request_type: type[Any]) -> None:
    unnamed = msgspec.json.decode(b'{"customer_ids":[1]}', type=request_type)
    named = msgspec.json.decode(b'{"customer_ids":[1],"purpose":"service"}', type=request_type)
    assert unnamed == named
    assert unnamed.purpose is SERVICE
    assert named.purpose is not SERVICE
    assert b"purpose" not in msgspec.json.encode(unnamed), "nor does a client of ours say what nobody said"


def test_who_may_ask_for_anything_pays_next_to_nothing() -> None:
    free, purposes = Caller("a", "shop", frozenset(), 1.0, 1.0), Purposes()
    scope, data = {"state": {STATE: free}}, ScoreRequest((1,))
    best = float("inf")
    for _ in range(5):
        began = time.process_time()
        for _ in range(2000):
            purposes.settle(scope, data)
        best = min(best, (time.process_time() - began) / 2000)
    assert purposes.settle(scope, data) is data
    assert best < 5e-6, "0.1 µs where it was measured"


def test_a_purpose_of_a_key_is_refused_before_it_is_looked_whether_there_is_one() -> None:
    bound = Caller("a", "shop", frozenset(), 1.0, 1.0, ("marketing",))
    scope = {"state": {STATE: bound}, "method": "POST", "path": "/v1/score"}
    with pytest.raises(Refusal) as caught:
        Purposes().settle(scope, ScoreRequest((1,), purpose="nonsense"))
    assert caught.value.status_code == 403


def test_a_key_agrees_to_its_own_purposes_and_withdraws_from_any(company: "Company") -> None:
    settings = company.settings
    _, token = access.add(settings, "mailer", [access.EVENTS], purposes=["marketing"])
    with served(settings, lock="on") as client:

        def said(purpose: str, granted: bool) -> Any:
            body = {"customer_id": 1, "purpose": purpose, "granted": granted}
            return client.post("/v1/consent", json=body, headers={"Authorization": f"Bearer {token}"})

        refused = said("profiling", True)
        assert (refused.status_code, refused.json()["error"]["path"]) == (403, "$.purpose")
        assert not Ledger(settings)
        for purpose, granted in (("profiling", False), ("marketing", True), ("marketing", False)):
            assert said(purpose, granted).status_code == 200
    assert len(Ledger(settings).standing()) == 2
