"""Every selector of the dashboard and of the alerts finds a series in what the service tells: name, labels, values.

The service is driven through everything that it counts: answers of every kind, failures, refusals, drift, and a real
HAProxy before it.
"""

import json
import re
import subprocess
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import yaml
from litestar.testing import TestClient
from prometheus_client.parser import text_string_to_metric_families

from motherlode import bundle, bundles, stability
from serving.haproxy import SOCKET, SOCKET_VARIABLE
from serving.http import build
from tests.serving.conftest import Company, bundle_files, make_manifest
from tests.serving.listening import listening, small_company
from tests.serving.sight.conftest import fronted

INFRA = Path(__file__).resolve().parents[2] / "infra"
OF_PROMETHEUS = {"instance", "job", "le"}
Sample = tuple[str, dict[str, str]]


def expressions() -> list[str]:
    board = json.loads((INFRA / "grafana/motherlode.json").read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    asked += [each["expr"] for each in board["annotations"]["list"]]
    asked += [each["query"]["query"] for each in board["templating"]["list"] if each["type"] == "query"]
    rules = yaml.safe_load((INFRA / "prometheus/alerts.yml").read_text())["groups"][0]["rules"]
    return asked + [rule["expr"] for rule in rules]


def with_profile(company: Company) -> None:
    """Publish a bundle whose training tells how recency was distributed, and how far it moves by itself."""
    manifest = make_manifest("v2", company.settings.project)
    told = stability.seen(np.arange(1000) % 30)
    models = {
        name: msgspec.structs.replace(
            model,
            inputs=tuple(
                msgspec.structs.replace(each, edges=told.edges, shares=told.shares, nulls=told.nulls, moved=0.3)
                if each.name == "recency_days"
                else each
                for each in model.inputs
            ),
        )
        for name, model in manifest.models.items()
    }
    bundle.write(
        company.settings.models, msgspec.structs.replace(manifest, models=models), bundle_files(), lambda _: None
    )
    bundles.flip(company.settings.models, "v2")


def fail(*_: Any) -> Any:
    raise ValueError("on purpose")


def drive(company: Company, monkeypatch: pytest.MonkeyPatch) -> str:
    """What `/metrics` tells after everything has happened."""
    company.put_customer("8", age_s=40 * 86_400)
    front = build(replace(company.settings, access_log="on"))
    with TestClient(front, raise_server_exceptions=False) as client:
        for _ in range(4):
            assert client.post("/v1/score", json={"customer_ids": [1, 2, 8, *[1] * 200]}).status_code == 200
            client.get("/metrics")  # takes the sample in
        client.post("/v1/recommend", json={"customer_ids": [1, 99], "k": 3})
        client.post("/v1/features", json={"customer_ids": [1], "service": "scoring"})
        monkeypatch.setattr(front, "_most", 0)
        assert client.post("/v1/score", json={"customer_ids": [1]}).status_code == 429
        monkeypatch.undo()
        monkeypatch.setattr("serving.engine.Engine.score", fail)
        assert client.post("/v1/score", json={"customer_ids": [1]}).status_code == 500
        return client.get("/metrics").text


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            found: int = answer.status
    except urllib.error.HTTPError as error:
        return error.code
    return found


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What `/metrics` tells when all has happened."""
    home = tmp_path_factory.mktemp("a home")
    with pytest.MonkeyPatch.context() as patch, small_company(home, redis_budget_s=0.25) as company:
        with_profile(company)
        with listening(company.settings) as url, fronted(int(url.rpartition(":")[2]), most=0) as (address, folder):
            assert status(f"{address}/v1/score") == 429
            patch.setenv(SOCKET_VARIABLE, str(folder / SOCKET))
            with pytest.MonkeyPatch.context() as within:
                return drive(company, within)


@pytest.fixture(scope="module")
def told(text: str) -> list[Sample]:
    """Every sample: its name and its labels."""
    return [(each.name, each.labels) for family in text_string_to_metric_families(text) for each in family.samples]


def test_prometheus_reads_what_is_told_and_finds_nothing_odd(promtool: str, text: str) -> None:
    checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    broken = text.replace("_total", "_sum_up")
    assert subprocess.run([promtool, "check", "metrics"], input=broken, capture_output=True, text=True).returncode != 0


def selectors(expression: str) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """The metrics that an expression asks for, and by which label, operator and value."""
    return [
        (name, re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', matchers or ""))
        for name, matchers in re.findall(r"\b(motherlode_\w+)(\{[^}]*\})?", expression)
    ]


def fits(sample: Sample, name: str, matchers: list[tuple[str, str, str]]) -> bool:
    if sample[0] != name:
        return False
    for label, operator, value in matchers:
        if label in OF_PROMETHEUS:
            continue
        found = sample[1].get(label, "")
        same = re.fullmatch(value, found) is not None if "~" in operator else value == found
        if same == operator.startswith("!"):
            return False
    return True


def test_every_selector_finds_a_series(told: list[Sample]) -> None:
    asked = expressions()
    assert len(asked) > 60
    for expression in asked:
        for name, matchers in selectors(expression):
            assert any(fits(each, name, matchers) for each in told), (expression, name, matchers)


def test_every_label_that_is_grouped_by_or_compared_is_one_of_the_metrics(told: list[Sample]) -> None:
    for expression in expressions():
        labels = {label for name, _ in selectors(expression) for each, of in told if each == name for label in of}
        grouped = {each.strip() for group in re.findall(r"\bby \(([^)]*)\)", expression) for each in group.split(",")}
        compared = {label for _, matchers in selectors(expression) for label, _, _ in matchers}
        assert (grouped | compared) - OF_PROMETHEUS <= labels, expression


def test_what_is_written_on_a_line_or_in_an_alert_is_a_label_of_it(told: list[Sample]) -> None:
    board = json.loads((INFRA / "grafana/motherlode.json").read_text())
    rules = yaml.safe_load((INFRA / "prometheus/alerts.yml").read_text())["groups"][0]["rules"]
    said = [
        (target["expr"], re.findall(r"\{\{\s*(\w+)\s*\}\}", target["legendFormat"]))
        for panel in board["panels"]
        for target in panel.get("targets", ())
    ]
    said += [
        (rule["expr"], re.findall(r"\$labels\.(\w+)", each)) for rule in rules for each in rule["annotations"].values()
    ]
    for expression, wanted in said:
        labels = {label for name, _ in selectors(expression) for each, of in told if each == name for label in of}
        grouped = re.findall(r"\bby \(([^)]*)\)", expression)
        kept = {each.strip() for each in grouped[0].split(",")} if grouped else labels
        assert set(wanted) <= kept | {"instance", "job"}, (expression, wanted)
