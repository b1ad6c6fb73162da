"""What is counted is what happened, on a real Valkey with real faults; and the dashboard asks for what there is."""

import asyncio
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
import yaml
from litestar.testing import TestClient

from feature_repo.freshness import metrics as freshness
from motherlode import access, bundle, bundles, stability
from motherlode.api import ScoreRequest
from motherlode.manifest import Input
from motherlode.runtime import Runtime
from serving.engine import Engine
from serving.http import build
from serving.reading import connect
from serving.sight import Health, Sight, unseen
from serving.sight.metrics import METRICS, REASONS, STAGE_NAMES
from tests.serving.conftest import bundle_files, make_manifest
from tests.serving.sight.conftest import Client, Scrape, scrape

if TYPE_CHECKING:
    from tests.serving.conftest import Company

ROOT = Path(__file__).resolve().parents[3]


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


def test_who_is_told_no_features_counts_as_such_and_not_as_answered(client: Client, company: "Company") -> None:
    """Nobody agreed to `profiling`; whoever is unknown is withheld all the same."""
    for _ in range(2):  # alone, and beside one who is unknown
        ask(client, "features", 1, 2, service="scoring", purpose="profiling")
        ask(client, "features", 1, 99, service="scoring")
    found = scrape(client)

    def count(status: str) -> float:
        return found.value("motherlode_answers_total", route="features", status=status)

    assert [count(each) for each in ("withheld", "ok", "cold")] == [4, 2, 2]
    ask(client, "features", 1, 99, service="scoring", purpose="profiling")
    found = scrape(client)
    assert [count(each) for each in ("withheld", "ok", "cold")] == [6, 2, 2]


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


def test_stages_are_nearly_the_whole_of_their_requests_and_no_more(client: Client) -> None:
    for _ in range(50):
        for route, more in (("score", {}), ("recommend", {"k": 3}), ("features", {"service": "scoring"})):
            ask(client, route, *[1, 2] * 20, **more)
    found = scrape(client)
    stages = {each: found.value("motherlode_stage_seconds_sum", stage=each) for each in STAGE_NAMES}
    assert [each for each in STAGE_NAMES if not stages[each]] == ["lock", "queue"]  # no key is asked for, nobody waits
    assert 0.7 < sum(stages.values()) / found.value("motherlode_request_seconds_sum") < 1
    for each in ("body", "decode", "journal", "encode", "send", "redis"):
        assert found.value("motherlode_stage_seconds_count", stage=each) == 150


def test_what_the_lock_takes_is_a_stage(company: "Company") -> None:
    """Of whoever may: the one who scores, and the one who scrapes."""
    _, token = access.add(company.settings, "shop", ["score", "metrics"])
    with TestClient(build(replace(company.settings, lock="on"))) as client:
        assert ask(client, "score", 1).status_code == 401
        client.headers["authorization"] = f"Bearer {token}"
        assert ask(client, "score", 1).status_code == 200
        assert scrape(client).value("motherlode_stage_seconds_count", stage="lock") == 2


async def told_of(health: Health, sight: Sight) -> Scrape:
    return Scrape(await sight.text(health))


def test_what_an_operator_must_know_at_once_is_told() -> None:
    sight = Sight()
    bad = Health("v1", "cpu", None, True, waits=False, fell_back=True, log_failing=True, log_waiting=7, log_lost=3)
    names = ("breaker_open", "gpu_fallbacks", "access_log_failing", "access_log_waiting", "access_log_lost_total")
    for health, values in ((Health("v1", "cpu", None, True), [0, 0, 0, 0, 0]), (bad, [1, 1, 1, 7, 3])):
        found = asyncio.run(told_of(health, sight))
        assert [found.value(f"motherlode_{name}") for name in names] == values


def test_the_breaker_and_the_lag_of_consents_are_told_while_redis_hangs(client: Client, company: "Company") -> None:
    assert scrape(client).value("motherlode_consent_lag_seconds") < 5
    with company.hanging():
        until = time.monotonic() + 10
        for _ in range(3):
            ask(client, "score", 1)
        # It closes for a moment every half second, so that one request may try.
        while not (found := scrape(client)).value("motherlode_breaker_open") and time.monotonic() < until:
            ask(client, "score", 1)
        assert found.value("motherlode_breaker_open") == 1
        lag = found.value("motherlode_consent_lag_seconds")
        time.sleep(1.1)
        assert scrape(client).value("motherlode_consent_lag_seconds") > lag + 1
    until = time.monotonic() + 10
    while scrape(client).value("motherlode_consent_lag_seconds") > 1 and time.monotonic() < until:
        time.sleep(0.1)
    assert scrape(client).value("motherlode_consent_lag_seconds") < 5
    ask(client, "score", 1)
    assert scrape(client).value("motherlode_breaker_open") == 0


def test_an_access_log_that_cannot_be_written_is_told(company: "Company") -> None:
    company.settings.logs.mkdir(parents=True, exist_ok=True)
    (company.settings.logs / "access").write_text("in the way")
    with TestClient(build(company.settings)) as client:
        ask(client, "score", 1, 2)
        until = time.monotonic() + 10
        while not (found := scrape(client)).value("motherlode_access_log_failing") and time.monotonic() < until:
            time.sleep(0.05)
        assert found.value("motherlode_access_log_failing") == 1
        assert found.value("motherlode_access_log_waiting") >= 2
        (company.settings.logs / "access").unlink()


async def several(company: "Company", sight: Sight, requests: int) -> None:
    """So many requests at once, of an engine without HTTP."""
    found = bundle.load(bundles.current(company.settings.models))
    client = connect(company.settings)
    engine = Engine(company.settings, found, Runtime(found), client, sight=sight)
    await asyncio.gather(*(engine.score(ScoreRequest(customer_ids=(1, 2))) for _ in range(requests)))
    await client.aclose()


def test_what_waited_is_told_and_counts_as_one_batch(company: "Company") -> None:
    sight = Sight()
    asyncio.run(several(company, sight, 9))
    found = Scrape(asyncio.run(sight.text(Health("v1", "cpu", None, True))))
    assert found.value("motherlode_stage_seconds_count", stage="queue") == 1
    assert found.value("motherlode_batch_customers_count", route="score") == 2  # one at once, eight together
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


async def switched(company: "Company", sights: list[Sight], version: str) -> None:
    """Each loads a bundle, answers ten customers by it and tells."""
    found = bundle.load(company.settings.models / version)
    client = connect(company.settings)
    for sight in sights:
        await Engine(company.settings, found, Runtime(found), client, sight=sight).score(ScoreRequest((1, 2) * 5))
        await sight.beat(Health(version, "cpu", None, True))
    await client.aclose()


def bundles_told(found: Scrape) -> dict[str, float]:
    return {
        each: found.value("motherlode_answers_total", bundle=each) for each in re.findall(r'bundle="(\w+)"', found.text)
    }


def test_bundles_that_nobody_keeps_any_more_are_told_no_more(company: "Company", tmp_path: Path) -> None:
    """As a whole, once the last replica has let them go: a part of them would be a counter that went back."""
    for version in ("b1", "b2", "b3", "b4", "b5"):
        company.publish(version)
    folder = tmp_path / "metrics"
    ahead, behind = Sight(folder), Sight(folder)
    behind._me = ("elsewhere", 1, 0.0)  # both are this process
    for version in ("b1", "b2", "b3"):
        asyncio.run(switched(company, [ahead, behind], version))
    for version in ("b4", "b5"):
        asyncio.run(switched(company, [ahead], version))
    told = bundles_told(Scrape(asyncio.run(ahead.text(Health("b5", "cpu", None, True)))))
    assert told == {"b1": 20, "b2": 20, "b3": 20, "b4": 10, "b5": 10}
    for version in ("b4", "b5"):
        asyncio.run(switched(company, [behind], version))
    for sight in (ahead, behind):
        text = asyncio.run(sight.text(Health("b5", "cpu", None, True)))
        assert bundles_told(Scrape(text)) == {"b3": 20, "b4": 20, "b5": 20}
    for sight in (ahead, behind):
        asyncio.run(sight.beat(Health("b5", "cpu", None, True)))
    kept = [each.read_text() for each in folder.glob("*.json")]
    assert ['"b3"' in each for each in kept] == [True, True]
    assert not any('"b1"' in each or '"b2"' in each for each in kept)


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


def with_profile(company: "Company") -> None:
    """Publish a bundle whose training saw a recency of 4 days, like that of customers 1 and 2, and no null."""
    manifest = make_manifest("v2", company.settings.project)
    kept = stability.seen(np.full(1000, 4.0))
    models = {
        name: msgspec.structs.replace(
            model,
            inputs=tuple(Input(each.view, each.name, each.default, *kept, moved=0.3) for each in model.inputs[:1])
            + model.inputs[1:],
        )
        for name, model in manifest.models.items()
    }
    manifest = msgspec.structs.replace(manifest, models=models)
    bundle.write(company.settings.models, manifest, bundle_files(), lambda _: None)
    bundles.flip(company.settings.models, "v2")


def test_nulls_are_drift_and_customers_of_whom_nothing_is_known_are_not(company: "Company") -> None:
    with_profile(company)
    company.put("rfm", "5", recency_score=3)  # recency is null
    company.put("spending", "6", basket_value_mean=1.0, trend_4w_12w=1.0)  # no row of recency
    feature = {"view": "rfm", "feature": "recency_days"}
    with TestClient(build(company.settings)) as client:
        for _ in range(3):
            ask(client, "score", *[1] * 200, *[99] * 100)
            found = scrape(client)
        assert found.value("motherlode_feature_psi", **feature) == pytest.approx(0)
        assert found.value("motherlode_feature_null_share", **feature) == 0
        assert found.value("motherlode_feature_training_psi", **feature) == 0.3
        assert 'motherlode_feature_training_null_share{view="rfm",feature="recency_days"} 0.0' in found.text
        ask(client, "score", *[5] * 100, *[6] * 100)
        found = scrape(client)
        assert found.value("motherlode_feature_null_share", **feature) == pytest.approx(0.25, abs=0.01)
        assert found.value("motherlode_feature_psi", **feature) > 0.25


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
    # No feature of this bundle has a profile, and there is no HAProxy.
    missing = {f"motherlode_feature_{each}" for each in ("psi", "training_psi", "null_share", "training_null_share")}
    missing |= {metric.name for metric in METRICS if metric.name.startswith("motherlode_haproxy_")}
    assert families == {metric.name for metric in METRICS} - missing
    source = Path(str(freshness.__file__)).read_text()
    theirs = {f"motherlode_feature_{each}" for each in re.findall(r'_Gauge\(\s*"(\w+)"', source)}
    theirs |= {f"motherlode_{each}" for each in re.findall(r'_family\(\s*"(\w+)"', source)}
    assert len(theirs) > 20
    assert not theirs & {metric.name for metric in METRICS}


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
