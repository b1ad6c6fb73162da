"""The HTTP layer: the calls as documented, and every wrong one answered with its path and remedy."""

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from motherlode import access
from motherlode.api import MAX_BODY
from serving.audit import asked_for
from serving.engine import Engine
from serving.http import build, from_env
from tests.serving.listening import listening

if TYPE_CHECKING:
    from tests.serving.conftest import Company

Client = TestClient[Litestar]


@pytest.fixture
def client(company: "Company") -> Iterator[Client]:
    app: Any = build(company.settings)
    with TestClient(app) as asked:
        yield asked


def test_score_answers_as_documented(client: Client) -> None:
    response = client.post("/v1/score", json={"customer_ids": [1, "abc", 99], "campaign": {"type": "Type A"}})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert {"bundle": "v1", "device": "cpu"}.items() <= answer.items()
    assert [each["customer_id"] for each in answer["results"]] == [1, "abc", 99]
    assert list(answer["results"][0]) == ["customer_id", "status", "segment", "scores", "features_age_s", "notes"]
    assert answer["results"][0]["segment"] == {"id": 0, "name": "Loyal"}
    assert answer["results"][2]["status"] == "cold"


def test_recommend_answers_as_documented(client: Client) -> None:
    answer = client.post("/v1/recommend", json={"customer_ids": [1], "k": 10, "exclude_purchased": False}).json()
    (result,) = answer["results"]
    assert (result["customer_id"], result["source"], result["notes"]) == (1, "personal", [])
    assert len(result["items"]) == 10
    assert list(result["items"][0]) == ["item_id", "score", "name"]
    assert isinstance(result["items"][0]["item_id"], int)


def test_similar_items_answer_as_documented(client: Client) -> None:
    body = {"item_ids": [1003, "nowhere"], "k": 4, "exclude_items": [1004], "categories": ["c"]}
    answer = client.post("/v1/similar/items", json=body).json()
    known, unknown = answer["results"]
    assert {"bundle": "v1", "device": "cpu"}.items() <= answer.items()
    assert (known["item_id"], len(known["items"]), known["notes"]) == (1003, 4, [])
    assert not {1003, 1004} & {item["item_id"] for item in known["items"]}
    assert list(known["items"][0]) == ["item_id", "score", "name"]
    assert (unknown["items"], unknown["notes"]) == ([], ["there is no such item in the catalogue"])
    many = client.post("/v1/similar/items", json={"item_ids": [1] * 101})
    assert (many.status_code, many.json()["error"]["path"]) == (413, "$.item_ids")


@pytest.mark.parametrize(
    ("path", "ids"), [("/v1/recommend", {"customer_ids": [1]}), ("/v1/similar/items", {"item_ids": [1003]})]
)
def test_a_filter_that_the_bundle_cannot_answer_is_refused_naming_what_there_is(
    client: Client, path: str, ids: dict[str, list[int]]
) -> None:
    response = client.post(path, json={**ids, "max_price": 3})
    assert response.status_code == 422
    error = response.json()["error"]
    assert (error["path"], error["message"]) == ("$.max_price", "This bundle's items have no prices.")
    assert error["remedy"].startswith("It knows their categories.")


def test_features_answer_as_documented(client: Client) -> None:
    answer = client.post("/v1/features", json={"customer_ids": [1, "nobody", 1], "service": "scoring"}).json()
    assert (answer["bundle"], answer["customer_ids"], answer["notes"]) == ("v1", [1, "nobody", 1], [])
    assert set(answer["features"]) == {"rfm", "spending"}
    rfm = answer["features"]["rfm"]
    assert rfm["status"] == ["present", "unknown", "present"]
    assert rfm["values"] == {"recency_days": [4.0, None, 4.0], "recency_score": [5, None, 5]}
    assert rfm["age_s"][1] is None


def test_features_of_an_unknown_service_are_refused_naming_the_known(client: Client) -> None:
    response = client.post("/v1/features", json={"customer_ids": [1], "service": "nothing"})
    assert response.status_code == 422
    error = response.json()["error"]
    assert (error["path"], error["remedy"]) == ("$.service", "Use one of recommendation, scoring.")


def test_the_portrait_shows_every_feature_with_its_age(client: Client) -> None:
    answer = client.get("/v1/customers/1").json()
    assert (answer["customer_id"], answer["status"]) == (1, "ok")
    assert set(answer["features"]) == {"rfm", "spending", "history", "purchases"}
    rfm = answer["features"]["rfm"]
    assert (rfm["status"], rfm["values"]) == ("present", {"recency_days": 4.0, "recency_score": 5})
    assert 60 <= rfm["age_s"] < 120
    assert answer["scores"]["inactive_28d"] is not None
    with_campaign = client.get("/v1/customers/1", params={"campaign_type": "Type B"}).json()
    assert with_campaign["scores"]["response"] is not None
    assert client.get("/v1/customers/nobody").json()["status"] == "cold"
    assert client.get("/v1/customers/abc").json()["customer_id"] == "abc"
    assert client.get("/v1/customers/007").json()["customer_id"] == "007", "not written like an integer"


def test_alive_and_ready(client: Client, company: "Company") -> None:
    assert client.get("/healthz").json() == {"status": "alive"}
    ready = client.get("/readyz").json()
    assert (ready["status"], ready["bundle"], ready["redis"], ready["refused"]) == ("ready", "v1", "ok", None)
    with company.hanging():
        hanging = client.get("/readyz")
    assert (hanging.status_code, hanging.json()["status"]) == (200, "degraded")


def test_empty_batches_and_duplicates_are_answered(client: Client) -> None:
    assert client.post("/v1/score", json={"customer_ids": []}).json()["results"] == []
    assert client.post("/v1/recommend", json={"customer_ids": []}).json()["results"] == []
    results = client.post("/v1/score", json={"customer_ids": [2, 1, 2]}).json()["results"]
    assert [each["customer_id"] for each in results] == [2, 1, 2]


DEEP = b"[" * 1000
BAD_BODIES = [
    (b"", 400, "$"),
    (b"{", 400, "$"),
    (b"no json", 400, "$"),
    (b'{"customer_ids": [1]} x', 400, "$"),
    (b'{"customer_ids": ["\xff"]}', 400, "$"),
    (rb'{"customer_ids": ["\ud800"]}', 422, "$.customer_ids[0]"),
    (b'{"customer_ids": NaN}', 400, "$"),
    (b"null", 422, "$"),
    (b"[]", 422, "$"),
    (b"{}", 422, "$"),
    (b'{"customer_ids": 1}', 422, "$.customer_ids"),
    (b'{"customer_ids": [1, null]}', 422, "$.customer_ids[1]"),
    (b'{"customer_ids": [true]}', 422, "$.customer_ids[0]"),
    (b'{"customer_ids": [1.5]}', 422, "$.customer_ids[0]"),
    (b'{"customer_ids": [{}]}', 422, "$.customer_ids[0]"),
    (b'{"customer_ids": [""]}', 422, "$.customer_ids[0]"),
    (b'{"customer_ids": [1e400]}', 422, "$.customer_ids[0]"),
    (b'{"customer_ids": [1' + b"0" * 400 + b"]}", 422, "$.customer_ids[0]"),
    (b'{"customer_ids": [1' + b"0" * 500_000 + b"]}", 422, "$.customer_ids[0]"),
    (b'{"customer_ids": ["' + b"x" * 257 + b'"]}', 422, "$.customer_ids[0]"),
    (b'{"customer_ids": [1], "surprise": 1}', 422, "$"),
    (b'{"customer_ids": [1], "surprise": ' + DEEP, 422, "$"),
    (b'{"customer_ids": ' + DEEP, 422, "$.customer_ids[0]"),
    (DEEP, 422, "$"),
    (b'{"customer_ids": ' + b'{"a":' * 100_000, 422, "$.customer_ids"),
]


@pytest.mark.parametrize("path", ["/v1/score", "/v1/recommend"])
@pytest.mark.parametrize(("body", "status", "where"), BAD_BODIES, ids=lambda value: str(value)[:40])
def test_a_bad_body_is_refused_by_its_path_and_costs_nothing(
    client: Client, path: str, body: bytes, status: int, where: str
) -> None:
    started = time.process_time()
    response = client.post(path, content=body)
    assert time.process_time() - started < 0.25
    assert response.status_code == status
    error = response.json()["error"]
    assert error["path"] == where
    assert error["message"]
    assert error["remedy"]


@pytest.mark.parametrize(
    ("path", "body", "where"),
    [
        ("/v1/score", {"customer_ids": [1], "campaign": {"type": "Z"}}, "$.campaign.type"),
        ("/v1/score", {"customer_ids": [1], "campaign": {"kind": "Type A"}}, "$.campaign"),
        ("/v1/score", {"customer_ids": [1], "campaign": "Type A"}, "$.campaign"),
        ("/v1/recommend", {"customer_ids": [1], "k": 0}, "$.k"),
        ("/v1/recommend", {"customer_ids": [1], "k": -3}, "$.k"),
        ("/v1/recommend", {"customer_ids": [1], "k": "10"}, "$.k"),
        ("/v1/recommend", {"customer_ids": [1], "exclude_purchased": "yes"}, "$.exclude_purchased"),
    ],
)
def test_a_wrong_field_is_refused_by_its_path(client: Client, path: str, body: Any, where: str) -> None:
    response = client.post(path, json=body)
    assert (response.status_code, response.json()["error"]["path"]) == (422, where)


def test_an_unknown_campaign_type_names_the_known(client: Client) -> None:
    body = client.post("/v1/score", json={"customer_ids": [1], "campaign": {"type": "Z"}}).json()
    assert body["error"]["remedy"] == "Use one of Type A, Type B."
    query = client.get("/v1/customers/1", params={"campaign_type": "Z"})
    assert (query.status_code, query.json()["error"]["path"]) == (422, "campaign_type")


def test_too_much_is_refused_with_413_naming_the_limit(client: Client) -> None:
    large = client.post("/v1/score", content=b" " * (MAX_BODY + 1))
    assert (large.status_code, large.json()["error"]["path"]) == (413, "$")
    assert str(MAX_BODY) in large.json()["error"]["message"]
    many = client.post("/v1/score", json={"customer_ids": [1] * 1001})
    assert (many.status_code, many.json()["error"]["path"]) == (413, "$.customer_ids")
    items = client.post("/v1/recommend", json={"customer_ids": [1] * 500, "k": 500})
    assert (items.status_code, items.json()["error"]["path"]) == (413, "$.k")
    assert client.post("/v1/score", json={"customer_ids": [1] * 1000}).status_code == 200


def test_a_k_beyond_what_there_is_is_a_short_list(client: Client) -> None:
    (result,) = client.post("/v1/recommend", json={"customer_ids": [1], "k": 2_000_000_000}).json()["results"]
    assert len(result["items"]) == 30
    assert result["notes"] == ["30 of 2000000000 items: the catalogue has 30"]


def test_other_paths_and_methods_are_refused_in_the_same_form(client: Client) -> None:
    nowhere = client.get("/v1/nowhere")
    assert (nowhere.status_code, nowhere.json()["error"]["path"]) == (404, "/v1/nowhere")
    assert client.get("/v1/score").status_code == 405
    assert client.get("/v1/score").json()["error"]["remedy"]


def test_a_slash_at_the_end_is_the_same_path_and_written_down_as_it(company: "Company") -> None:
    app: Any = build(company.settings)
    with TestClient(app) as asked:
        answer = asked.post("/v1/score/", json={"customer_ids": [1]})
    assert answer.json()["results"][0]["status"] == "ok"
    assert [entry.subject for entry in asked_for(company.settings, 1)] == ["/v1/score"]


def test_under_uvicorn_alone_the_lock_is_on_unless_it_is_told_to_be_off(
    company: "Company", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTHERLODE_HOME", str(company.settings.home))
    monkeypatch.setenv("REDIS_URL", str(company.settings.redis_url))
    access.add(company.settings, "an application", ("score",))
    locked: Any = from_env()
    with TestClient(locked) as asked:
        assert asked.post("/v1/score", json={"customer_ids": [1]}).status_code == 401
    monkeypatch.setenv("MOTHERLODE_LOCK", "off")
    open_to_all: Any = from_env()
    with TestClient(open_to_all) as asked:
        assert asked.post("/v1/score", json={"customer_ids": [1]}).status_code == 200


@pytest.mark.parametrize("method", ["TRACE", "PUT", "GET"])
def test_another_method_is_refused_naming_those_there_are(client: Client, method: str) -> None:
    response = client.request(method, "/v1/score")
    assert response.status_code == 405
    assert "POST" in response.headers["allow"]


def test_an_error_of_ours_is_500_without_its_details(company: "Company", monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(Engine, "score", fail)
    with TestClient(build(company.settings), raise_server_exceptions=False) as client:
        response = client.post("/v1/score", json={"customer_ids": [1]})
    assert response.status_code == 500
    assert "secret" not in response.text
    assert response.json()["error"]["remedy"]


def test_answers_and_requests_are_what_the_openapi_document_says(client: Client) -> None:
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    calls: dict[tuple[str, str], Any] = {
        ("/v1/score", "post"): {"customer_ids": [1, "nobody"], "campaign": {"type": "Type A"}},
        ("/v1/recommend", "post"): {"customer_ids": ["abc"], "k": 3},
        ("/v1/similar/items", "post"): {"item_ids": [1003, "nowhere"], "k": 3},
        ("/v1/features", "post"): {"customer_ids": [1, "nobody"]},
        ("/v1/events", "post"): {"events": []},
        ("/v1/consent", "post"): {"customer_id": 1, "purpose": "marketing", "granted": False},
        ("/v1/contacts", "post"): {"customer_id": 1, "purpose": "marketing", "channel": "email", "contact_id": "c"},
        ("/v1/customers/{customer_id}", "get"): None,
        ("/healthz", "get"): None,
        ("/readyz", "get"): None,
    }
    assert {(path, method) for path, methods in document["paths"].items() for method in methods} == set(calls)
    for (path, method), body in calls.items():
        operation = document["paths"][path][method]
        if body is not None:
            validate(document, operation["requestBody"]["content"]["application/json"]["schema"], body)
        answer = client.request(method.upper(), path.replace("{customer_id}", "1"), json=body)
        documented = operation["responses"][str(answer.status_code)]["content"]["application/json"]["schema"]
        validate(document, documented, answer.json())
    refusal = client.post("/v1/score", content=b"{").json()
    validate(document, {"$ref": "#/components/schemas/ErrorAnswer"}, refusal)


def validate(document: Any, schema: Any, instance: Any) -> None:
    jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(instance)


def test_the_limits_stand_in_the_openapi_document(client: Client) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    ids = schemas["ScoreRequest"]["properties"]["customer_ids"]
    assert {"type": "string", "minLength": 1, "maxLength": 256} in ids["items"]["anyOf"]
    assert schemas["ScoreRequest"]["additionalProperties"] is False
    assert "duplicates" in ids["description"]


@pytest.fixture
def port(company: "Company") -> Iterator[int]:
    """The application under uvicorn, on a real socket."""
    with listening(company.settings) as url:
        yield int(url.rpartition(":")[2])


def test_it_runs_under_uvicorn_and_refuses_a_body_by_its_announced_length(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", "/v1/score", json.dumps({"customer_ids": [1]}))
    assert json.loads(connection.getresponse().read())["results"][0]["status"] == "ok"
    # The body never comes: the answer must not wait for it.
    connection.putrequest("POST", "/v1/score")
    connection.putheader("Content-Length", str(10 * MAX_BODY))
    connection.endheaders()
    assert connection.getresponse().status == 413


def test_serving_imports_no_training_library() -> None:
    code = (
        "import sys, serving.http, serving.server; "
        "heavy = {'torch', 'sklearn', 'feast', 'polars', 'pandas', 'xgboost', 'ray', 'onnx'}; "
        "print(sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
