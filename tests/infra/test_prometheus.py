"""The alert rules by Prometheus' own tool, and the dashboard as far as Grafana's schema can be held without it."""

import json
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import yaml

INFRA = Path(__file__).resolve().parents[2] / "infra"
ALERTS, TESTS = INFRA / "prometheus/alerts.yml", INFRA / "prometheus/alerts_test.yml"
BOARD: dict[str, Any] = json.loads((INFRA / "grafana/motherlode.json").read_text())
PANELS: list[dict[str, Any]] = [each for each in BOARD["panels"] if each["type"] != "row"]


def run(tool: str, *arguments: str | Path) -> tuple[int, str]:
    done = subprocess.run([tool, *map(str, arguments)], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def rules() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
    return found


def test_the_rules_are_valid(promtool: str) -> None:
    code, told = run(promtool, "check", "rules", "--lint-fatal", ALERTS)
    assert code == 0, told


def test_each_alert_fires_where_it_should_and_nowhere_else(promtool: str) -> None:
    code, told = run(promtool, "test", "rules", TESTS)
    assert code == 0, told


def test_each_alert_has_a_case_of_both_kinds() -> None:
    cases = yaml.safe_load(TESTS.read_text())["tests"]
    tried = {(each["alertname"], bool(each["exp_alerts"])) for case in cases for each in case["alert_rule_test"]}
    assert tried == {(rule["alert"], fires) for rule in rules() for fires in (True, False)}


def test_the_rules_test_can_fail(promtool: str, tmp_path: Path) -> None:
    """Each rule turned round breaks its cases."""
    turned = ALERTS.read_text().replace(" > ", " <= ").replace(" == ", " != ").replace(" < max", " >= max")
    (tmp_path / "alerts.yml").write_text(turned)
    (tmp_path / "alerts_test.yml").write_text(TESTS.read_text())
    code, told = run(promtool, "test", "rules", tmp_path / "alerts_test.yml")
    assert code != 0
    for rule in rules():
        assert f"name: {rule['alert']} does not" in told or f"name: {rule['alert']} fires" in told


def test_every_expression_of_the_dashboard_is_promql(promtool: str, tmp_path: Path) -> None:
    expressions = [target["expr"] for panel in PANELS for target in panel["targets"]]
    expressions += [each["expr"] for each in BOARD["annotations"]["list"]]
    found = [
        {"record": f"panel:{i}", "expr": each.replace("$__rate_interval", "5m").replace("$server", ".*")}
        for i, each in enumerate(expressions)
    ]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": found}]}))
    code, told = run(promtool, "check", "rules", tmp_path / "rules.yml")
    assert code == 0, told
    assert f"{len(expressions)} rules found" in told
    assert not any("$" in each["expr"] for each in found)


def test_the_dashboard_is_laid_out_as_grafana_wants_it() -> None:
    assert (BOARD["uid"], BOARD["schemaVersion"], "id" in BOARD) == ("motherlode", 39, False)
    ids = [each["id"] for each in BOARD["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert panel["title"]
    for one, other in combinations((each["gridPos"] for each in BOARD["panels"]), 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above
    for panel in PANELS:
        assert panel["type"] in ("stat", "table", "timeseries")
        refs = [target["refId"] for target in panel["targets"]]
        assert refs
        assert len(set(refs)) == len(refs)


def test_the_dashboard_asks_the_prometheus_that_was_chosen_for_the_servers_that_were() -> None:
    variables = {each["name"]: each["type"] for each in BOARD["templating"]["list"]}
    assert variables == {"source": "datasource", "server": "query"}
    for panel in PANELS:
        for asked in (panel, *panel["targets"]):
            assert asked["datasource"] == {"type": "prometheus", "uid": "${source}"}
        for target in panel["targets"]:
            selectors = target["expr"].count("motherlode_")
            assert target["expr"].count('{instance=~"$server"') == selectors, target["expr"]
