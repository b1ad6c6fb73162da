"""A benchmark's figures: a goal that was missed is seen, at a glance and in the record."""

import json
from pathlib import Path

import pytest

from benchmarks import features, results
from benchmarks.features import Build, Measured
from benchmarks.results import Row


@pytest.mark.parametrize(
    ("value", "goal", "kept"),
    [
        (600.0, "<= 600", "met"),
        (600.1, "<= 600", "MISSED"),
        (1_000_000.0, ">= 1,000,000", "met"),
        (999_999.0, ">= 1,000,000", "MISSED"),
        (0.9899, ">= 0.99", "MISSED"),
        (1.0, "< 1", "MISSED"),
        (1.0, "", ""),
        (1.0, "as fast as may be", ""),
    ],
)
def test_a_figure_is_held_against_its_goal(value: float, goal: str, kept: str) -> None:
    assert Row("it", value, "s", goal=goal).kept == kept


@pytest.mark.parametrize(("ratio", "kept"), [(30.0, "met"), (29.9, "MISSED"), (None, "")])
def test_a_ratio_is_held_against_its_goal(ratio: float | None, kept: str) -> None:
    assert Row("it", 1.0, "rows/s", "a peer", ratio, "ratio >= 30").kept == kept


def test_a_missed_goal_stands_in_the_table_and_in_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    path = results.publish("it", [Row("quick", 1.0, "s", goal="<= 2"), Row("slow", 3.0, "s", goal="<= 2")])
    printed = capsys.readouterr().out
    assert printed.count("met") == 1
    assert printed.count("MISSED") == 1
    assert [row["kept"] for row in json.loads(path.read_text())["rows"]] == ["met", "MISSED"]


@pytest.mark.parametrize(("lines", "goals"), [(10**7, set()), (10**8, {"<= 600", "<= 12"})])
def test_goals_of_100_million_lines_stand_on_that_size_alone(lines: int, goals: set[str]) -> None:
    build = Build(700.0, 13 * 2**30)
    it = Measured(lines, build, build, build, build, build, build, {"rfm": 1.0}, rows=1, features=1, partitions=1)
    rows = features._rows(it, it)
    assert {row.goal for row in rows if row.goal} == goals
    assert {row.kept for row in rows if row.goal} <= {"MISSED"}
