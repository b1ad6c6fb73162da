"""What is counted is what happened, on a real Valkey with real faults; and the dashboard asks for what there is."""

import asyncio
import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml
from litestar.testing import TestClient

from feature_repo.freshness import metrics as freshness
from motherlode import bundle
from motherlode.api import ScoreRequest
from motherlode.runtime import Runtime
from serving.engine import Engine
from serving.http import build
from serving.reading import connect
from serving.sight import Health, Sight, unseen
from serving.sight.metrics import METRICS, REASONS
from tests.serving.sight.conftest import Client, Scrape, scrape

if TYPE_CHECKING:
    from tests.serving.conftest import Company

ROOT = Path(__file__).resolve().parents[3]
NAME = re.compile(r"\bmotherlode_\w+")


def ask(client: Client, route: str, *ids: int | str, **more: Any) -> Any:
    return client.post(f"/v1/{route}", json={"customer_ids": list(ids), **more})


def everything(client: Client) -> Scrape:
    """A scrape after a call of every kind."""
    for route, more in (("score", {}), ("recommend", {"k": 3}), ("features", {"service": "scoring"})):
        assert ask(client, route, 1, 2, **more).status_code == 200
    assert client.get("/v1/customers/1").status_code == 200
    return scrape(client)


def test_requests_are_counted_by_route_and_status(client: Client) -> None:
    ask(client, "score", 1)
    ask(client, "score", 2)
    ask(client, "score", 1, campaign={"type": "none such"})
    client.post("/v1/score", content=b"{")
    client.get("/v1/customers/1")
    client.get("/v1/customers/2?campaign_type=none")
    client.get("/nowhere/4711")
    client.get("/v1/score")
    found = scrape(client)

    def count(route: str, status: int) -> float:
        return found.value("motherlode_request_seconds_count", route=route, status=str(status))

    assert [count("/v1/score", each) for each in (200, 400, 422)] == [2, 1, 1]
    assert [count("/v1/customers/{customer_id}", each) for each in (200, 422)] == [1, 1]
    assert [count("other", each) for each in (404, 405)] == [1, 1]
    assert found.value("motherlode_requests_in_flight") == 1  # this one
    assert 0 < found.value("motherlode_request_seconds_sum", route="/v1/score", status="200") < 10


def test_answers_are_counted_by_status_bundle_and_source(client: Client, company: "Company") -> None:
    company.put("rfm", "7", recency_days=1.0, recency_score=2)
    ask(client, "score", 1, "abc", 99)
    ask(client, "recommend", 1, 7, 99, k=3)
    ask(client, "features", 1, 7, 99, service="scoring")
    found = scrape(client)

    def count(route: str, status: str, source: str = "") -> float:
        return found.value("motherlode_answers_total", route=route, bundle="v1", status=status, source=source)

    assert (count("score", "ok"), count("score", "cold")) == (2, 1)
    assert (count("recommend", "ok", "personal"), count("recommend", "cold", "popular")) == (1, 1)
    assert sum(count("recommend", "degraded", each) for each in ("segment", "popular")) == 1
    assert [count("features", each) for each in ("ok", "degraded", "cold")] == [1, 1, 1]
    assert found.value("motherlode_batch_customers_sum") == 9


def test_every_reason_for_an_answer_on_less_is_told(client: Client, company: "Company") -> None:
    before = scrape(client)
    assert {each: before.value("motherlode_degraded_total", reason=each) for each in REASONS} == dict.fromkeys(
        REASONS, 0
    )
    company.put_customer("11", age_s=40 * 86_400)
    company.put("rfm", "12", recency_days=1.0, recency_score=2)
    company.put_customer("13")
    company.damage("rfm", "13")
    company.put("rfm", "14", recency_days=1.0)
    company.put("spending", "14", basket_value_mean=1.0, trend_4w_12w=1.0)
    for each in (11, 12, 13, 14):
        ask(client, "score", each)
    found = scrape(client)

    def count(reason: str) -> float:
        return found.value("motherlode_degraded_total", reason=reason)

    assert [count(each) for each in ("stale", "missing_row", "corrupt", "imputed")] == [1, 1, 1, 4]
    with company.hanging():
        answer = ask(client, "score", 1, 2).json()
        assert [each["status"] for each in answer["results"]] == ["degraded"] * 2
        found = scrape(client)
    assert count("redis_timeout") == 2
    assert found.value("motherlode_redis_up") == 0
    assert scrape(client).value("motherlode_redis_up") == 1


def test_stages_take_no_longer_than_their_requests(client: Client) -> None:
    found = everything(client)
    stages = {
        each: found.value("motherlode_stage_seconds_sum", stage=each) for each in ("redis", "models", "rank", "encode")
    }
    assert all(stages.values())
    assert sum(stages.values()) < found.value("motherlode_request_seconds_sum")
    assert found.value("motherlode_stage_seconds_count", stage="redis") == 4


async def several(company: "Company", sight: Sight, requests: int) -> None:
    """So many requests at once, of an engine without HTTP."""
    found = bundle.load(bundle.current(company.settings.models))
    client = connect(company.settings)
    engine = Engine(company.settings, found, Runtime(found), client, sight=sight)
    await asyncio.gather(*(engine.score(ScoreRequest(customer_ids=(1, 2))) for _ in range(requests)))
    await client.aclose()


def test_what_waited_is_told_and_counts_as_one_batch(company: "Company") -> None:
    sight = Sight()
    asyncio.run(several(company, sight, 9))
    found = Scrape(asyncio.run(sight.text(Health("v1", "cpu", None, True))))
    assert found.value("motherlode_stage_seconds_count", stage="queue") == 1
    assert found.value("motherlode_batch_customers_count", route="score") == 3  # two at once, seven together
    assert found.value("motherlode_batch_customers_sum", route="score") == 18
    waited = found.value("motherlode_stage_seconds_sum", stage="queue")
    assert 0 < waited < sum(found.value("motherlode_stage_seconds_sum", stage=each) for each in ("redis", "models"))


def test_answers_that_nobody_gets_are_not_counted(company: "Company") -> None:
    """A shadow's: those of a bundle on trial."""
    sight = Sight()
    with unseen():
        asyncio.run(several(company, sight, 9))
    found = Scrape(asyncio.run(sight.text(Health("v1", "cpu", None, True))))
    assert found.value("motherlode_batch_customers_count") == 0
    assert found.value("motherlode_answers_total") == 0
    assert found.value("motherlode_stage_seconds_count") == 0
    assert found.value("motherlode_served_feature_age_seconds_count") == 0


def test_ages_are_those_of_the_rows_that_were_served(client: Client, company: "Company") -> None:
    company.put_customer("8", age_s=4.5 * 86_400)
    ask(client, "score", 1, 2, 8)
    found = scrape(client)
    assert found.value("motherlode_served_feature_age_seconds_count", view="rfm") == 3
    name = "motherlode_served_feature_age_seconds_bucket"
    assert [found.value(name, view="rfm", le=repr(days * 86_400.0)) for days in (1, 3, 5)] == [2, 2, 3]


def test_drift_is_told_once_enough_customers_were_served(client: Client) -> None:
    """Everybody is of the segment Loyal, and 60 % were in training."""
    ask(client, "score", *[1] * 200)
    assert scrape(client).value("motherlode_drift_customers") == 200
    assert "motherlode_score_psi{" not in scrape(client).text
    for _ in range(2):
        ask(client, "score", *[1] * 200)
        found = scrape(client)
    assert found.value("motherlode_score_psi", model="segments") > 0.25


def test_a_swap_and_a_refused_bundle_are_seen(company: "Company", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.live._EVERY_S", 0.02)
    with TestClient(build(company.settings)) as client:

        def until(name: str, **labels: str) -> Scrape:
            until = time.monotonic() + 10
            while not (found := scrape(client)).value(name, **labels) and time.monotonic() < until:
                time.sleep(0.02)
            return found

        assert scrape(client).value("motherlode_bundle_info", version="v1", device="cpu") == 1
        company.publish("v2", shift=0.1)
        found = until("motherlode_bundle_info", version="v2")
        assert found.value("motherlode_bundle_info") == 1
        assert (found.value("motherlode_bundle_swaps_total"), found.value("motherlode_bundle_refused")) == (1, 0)
        assert found.value("motherlode_bundle_created_timestamp_seconds") == 1767225600
        company.publish("v3", segments__answer=np.ones(16, np.int64) * 9)
        found = until("motherlode_bundle_refused")
        assert found.value("motherlode_bundle_refusals_total") == 1
        assert found.value("motherlode_bundle_info", version="v2") == 1


def test_every_metric_is_told_and_none_is_anothers(client: Client) -> None:
    ask(client, "score", *[1] * 600)
    ask(client, "score", *[1] * 600)
    found = everything(client)
    families = set(re.findall(r"^# TYPE (\S+)", found.text, re.MULTILINE))
    assert families == {metric.name for metric in METRICS} - {"motherlode_feature_psi"}  # no profile in this bundle
    source = Path(str(freshness.__file__)).read_text()
    theirs = {f"motherlode_feature_{each}" for each in re.findall(r'_Gauge\(\s*"(\w+)"', source)}
    theirs |= {f"motherlode_{each}" for each in re.findall(r'_family\(\s*"(\w+)"', source)}
    assert len(theirs) > 20
    assert not theirs & {metric.name for metric in METRICS}


def known(found: Scrape) -> set[str]:
    return found.names | {"motherlode_feature_psi", "motherlode_score_psi"}


def test_the_dashboard_and_the_alerts_ask_for_metrics_and_labels_that_there_are(client: Client) -> None:
    client.post("/v1/score", content=b"{")
    names = known(everything(client))
    board = json.loads((ROOT / "infra/grafana/motherlode.json").read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    rules = yaml.safe_load((ROOT / "infra/prometheus/alerts.yml").read_text())["groups"][0]["rules"]
    asked += [rule["expr"] for rule in rules]
    assert len(asked) > 40
    for expression in asked:
        strange = set(NAME.findall(expression)) - names
        assert not strange, (expression, strange)
        labels = {label for metric in METRICS if metric.name in expression for label in metric.labels}
        used = re.findall(r"\bby \(([^)]*)\)", expression)
        used += [
            each for matchers in re.findall(r"\{([^}]*)\}", expression) for each in re.findall(r"(\w+)[=!]", matchers)
        ]
        wanted = {each.strip() for group in used for each in group.split(",")} - {"instance", "le", "job"}
        assert wanted <= labels, expression


@pytest.mark.parametrize("kind", ["table", "alerts"])
def test_the_documentation_lists_every_metric_and_every_alert(kind: str) -> None:
    text = (ROOT / "docs/operations.md").read_text()
    if kind == "table":
        rows = dict(re.findall(r"^\| `(motherlode_\w+)(?:\{[\w, ]+\})?` \| (\w+) \|", text, re.MULTILINE))
        assert rows == {metric.name: metric.kind for metric in METRICS}
        for metric in METRICS:
            labels = f"{{{', '.join(metric.labels)}}}" if metric.labels else ""
            assert f"| `{metric.name}{labels}` |" in text
        return
    rules = yaml.safe_load((ROOT / "infra/prometheus/alerts.yml").read_text())["groups"][0]["rules"]
    assert set(re.findall(r"^\| `(Motherlode\w+)` \|", text, re.MULTILINE)) == {rule["alert"] for rule in rules}
