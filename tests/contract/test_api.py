"""The running service keeps its own OpenAPI document, and a generator makes a client of it that reads its answers.

Schemathesis draws requests from the document, right ones and wrong ones, and holds each answer against it.
"""

import importlib.util
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode, checks

from motherlode.api import ScoreRequest
from motherlode.identity import id_text
from tests.serving.listening import listening, small_company

CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]
KNOWN: dict[str, Any] = {
    "campaign": {"type": "Type A"},
    "campaign_type": "Type B",
    "service": "scoring",
    "purpose": "service",
    "at": "2026-01-01T00:00:00Z",
    "min_price": None,
    "max_price": None,
    "in_stock": False,
}
"""What this company has: campaigns, purposes, no prices and no stock."""
FEW = settings(max_examples=20, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
ROUTES = [
    ("POST", "/v1/score"),
    ("POST", "/v1/recommend"),
    ("POST", "/v1/similar/items"),
    ("POST", "/v1/features"),
    ("POST", "/v1/consent"),
    ("POST", "/v1/contacts"),
    ("POST", "/v1/events"),
    ("GET", "/v1/customers/{customer_id}"),
]
GENERATOR = [
    *("--input-file-type", "openapi", "--output-model-type", "msgspec.Struct"),
    *("--target-python-version", "3.11", "--formatters", "builtin"),
]
ASKED: list[tuple[str, str, Any]] = [
    ("/v1/score", "ScoreAnswer", {"customer_ids": [1, "nobody"], "campaign": {"type": "Type A"}}),
    ("/v1/recommend", "RecommendAnswer", {"customer_ids": [1, "nobody"], "k": 3}),
    ("/v1/features", "FeaturesAnswer", {"customer_ids": [1, "nobody"]}),
    ("/v1/customers/2", "Portrait", None),
    ("/readyz", "Ready", None),
]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the real application under uvicorn, over a real Valkey."""
    with small_company(tmp_path_factory.mktemp("company") / "home", 2.0) as company, listening(company.settings) as url:
        yield url


@pytest.fixture(scope="module")
def document(served: str) -> Any:
    return json.loads(_ask(f"{served}/openapi.json"))


@pytest.fixture(scope="module")
def api(served: str) -> Any:
    return schemathesis.openapi.from_url(f"{served}/openapi.json")


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=lambda part: part.rsplit("/", 1)[-1])
def test_what_the_document_allows_is_answered_as_it_says(api: Any, method: str, path: str) -> None:
    @given(case=api[path][method].as_strategy(generation_mode=GenerationMode.POSITIVE))
    @FEW
    def check(case: schemathesis.Case[Any]) -> None:
        case.body = _of_the_company(case.body)
        case.query.update({name: KNOWN[name] for name in case.query.keys() & KNOWN.keys()})
        assert case.call_and_validate(checks=CHECKS, timeout=10).status_code in (200, 202)

    check()


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=lambda part: part.rsplit("/", 1)[-1])
def test_what_the_document_forbids_is_refused_as_it_says(api: Any, method: str, path: str) -> None:
    @given(case=api[path][method].as_strategy(generation_mode=GenerationMode.NEGATIVE))
    @FEW
    def check(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(checks=CHECKS, timeout=10)

    check()


def _of_the_company(body: Any) -> Any:
    """A body with what no document can say: what this company has, a visitor for each event, and a past time.

    And with `7` for `7.0`, which JSON Schema takes for an integer and the service does not.
    """
    if isinstance(body, float) and body.is_integer():
        return int(body)
    if isinstance(body, list):
        return [_of_the_company(each) for each in body]
    if not isinstance(body, dict):
        return body
    body = {name: _of_the_company(value) for name, value in body.items()}
    body |= {name: KNOWN[name] for name in body.keys() & KNOWN.keys() if body[name] is not None}
    if "granted" in body or "contact_id" in body:
        body["purpose"] = "marketing"  # `service` needs no consent, and has no cap
    if "event_id" in body:
        ids = {name: body[name] for name in ("customer_id", "session_id", "item_id") if not _blank(body.get(name))}
        others = {name: body[name] for name in body if not name.endswith(("_id", "_timestamp"))}
        return (
            others | ids | {"event_id": body["event_id"], "visitor_id": "v", "event_timestamp": "2026-01-01T00:00:00Z"}
        )
    return body


def _blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and id_text(value) is None)


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_what_takes_nothing_answers_what_the_document_says(api: Any, path: str) -> None:
    api[path]["GET"].Case().call_and_validate(checks=CHECKS)


def test_what_is_held_against_the_document_is_all_of_it(document: Any) -> None:
    found = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert found == {*ROUTES, ("GET", "/healthz"), ("GET", "/readyz")}


def test_a_generator_makes_models_of_the_document_that_read_real_answers(
    served: str, document: Any, tmp_path: Path
) -> None:
    source, made = tmp_path / "openapi.json", tmp_path / "made.py"
    source.write_text(json.dumps(document))
    command = [sys.executable, "-m", "datamodel_code_generator", "--input", str(source), "--output", str(made)]
    done = subprocess.run([*command, *GENERATOR], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    models = _load("made_of_openapi", made)
    for path, kind, request in ASKED:
        answer = msgspec.json.decode(_ask(f"{served}{path}", request), type=getattr(models, kind))
        assert answer.bundle == "v1"
    score = msgspec.json.decode(_ask(f"{served}/v1/score", {"customer_ids": [1]}), type=models.ScoreAnswer)
    assert (score.results[0].customer_id, score.results[0].segment.name) == (1, "Loyal")
    asked = models.ScoreRequest(customer_ids=["abc", 7], campaign=models.Campaign(type="Type A"))
    assert msgspec.json.decode(msgspec.json.encode(asked), type=ScoreRequest).customer_ids == ("abc", 7)
    with pytest.raises(msgspec.ValidationError, match="<= 256"):
        msgspec.json.decode(msgspec.json.encode({"customer_ids": ["x" * 257]}), type=models.FeaturesRequest)


def _ask(url: str, request: Any = None) -> bytes:
    body = None if request is None else json.dumps(request).encode()
    with urllib.request.urlopen(urllib.request.Request(url, body), timeout=10) as answer:
        content: bytes = answer.read()
        return content


def _load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
