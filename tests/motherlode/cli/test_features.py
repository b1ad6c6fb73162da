"""`motherlode features list`, `describe` and `audit`, on a bank with a view of its own that has seen the answer."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from feature_repo import store
from feature_repo.features import catalogue
from feature_repo.warehouse import pipeline
from feature_repo.warehouse.mapping.read import read
from motherlode import names
from motherlode.cli.main import main
from motherlode.errors import DataError
from motherlode.settings import Settings

CLIENTS = 80
CALLS = '''"""Calls: how long the newest call took."""

import polars as pl

from feature_repo.features.frames import ROW, finish, seen
from feature_repo.features.view import Feature

READS = ("contacts",)
FEATURES = {"duration": Feature(pl.Float32(), "seconds", "of the newest call")}


def build(tables, snapshots):
    calls = seen(tables["contacts"].select("customer_id", "event_timestamp", "seconds"), snapshots)
    return finish(calls.group_by(ROW).agg(pl.col("seconds").max().alias("duration")), FEATURES)
'''
MAPPING = """
company: A Bank
time_zone: UTC
currency: EUR
sources:
  sales: {files: sales.csv}
  calls: {files: calls.csv}
tables:
  transactions:
    from: sales
    columns: {customer_id: who, item_id: what, amount: paid, event_timestamp: at}
  campaigns:
    from: calls
    where: who = 'c0'
    columns:
      campaign_id: {value: k}
      campaign_type: {value: Calls}
      started_at: {value: "2025-02-01"}
      ended_at: {value: "2025-03-01"}
  contacts:
    from: calls
    columns:
      customer_id: who
      campaign_id: {value: k}
      event_timestamp: at
      seconds: {from: seconds, type: integer}
privacy: {pseudonym: none}
"""
DECLARED = MAPPING.replace("type: integer}", "type: integer, after_outcome: true}")
SAID_YES = {f"c{number}": number % 3 == 0 for number in range(CLIENTS)}


def sales() -> str:
    start = datetime(2025, 1, 1, 12)
    lines = [
        f"c{number},bread,{1 + (number * day) % 7}.50,{start + timedelta(days=day)}"
        for number in range(CLIENTS)
        for day in range(0, 70, 5 + number % 9)
    ]
    return "\n".join(["who,what,paid,at", *lines, ""])


def calls() -> str:
    """Whoever says yes stays on the line."""
    at = datetime(2025, 2, 10, 9)
    lines = [
        f"{who},{at + timedelta(minutes=number)},{(300 if yes else 20) + number}"
        for number, (who, yes) in enumerate(SAID_YES.items())
    ]
    return "\n".join(["who,at,seconds", *lines, ""])


Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A bank's folder, loaded and built, with its own view."""
    folder = tmp_path_factory.mktemp("a bank")
    (folder / "sales.csv").write_text(sales())
    (folder / "calls.csv").write_text(calls())
    (folder / "motherlode.yaml").write_text(MAPPING)
    (folder / "features").mkdir()
    (folder / "features" / "calls.py").write_text(CALLS)
    settings = Settings(home=folder / ".motherlode", mapping=folder, device="cpu")
    pipeline.load(settings, read(folder))
    with pytest.raises(SystemExit) as left, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTHERLODE_MAPPING", str(folder))
        patch.setenv("MOTHERLODE_DEVICE", "cpu")
        main(["features", "--home", str(settings.home)])
    assert left.value.code == 0
    return settings


@pytest.fixture
def run(bank: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`motherlode features …`: its exit status, and all that it printed."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("MOTHERLODE_MAPPING", str(bank.mapping))

    def features(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as left:
            main(["features", *arguments, "--home", str(bank.home)])
        printed = capsys.readouterr()
        assert isinstance(left.value.code, int)
        return left.value.code, printed.out + printed.err

    return features


def asked(at: datetime) -> pl.DataFrame:
    return pl.DataFrame(
        {
            names.CUSTOMER_ID: list(SAID_YES),
            names.EVENT_TIMESTAMP: [at] * CLIENTS,
            names.LABEL_START: [at] * CLIENTS,
            names.LABEL: [int(yes) for yes in SAID_YES.values()],
        }
    )


def test_list_names_every_view_with_what_it_holds(run: Run) -> None:
    code, printed = run("list")
    assert code == 0
    for view in (*catalogue.MODULES, "calls"):
        assert any(line.startswith(f"{view} ") for line in printed.splitlines())
    mine = next(line for line in printed.splitlines() if line.startswith("calls "))
    assert "1 features, 35 d" in mine
    last = max(line.split(",")[3] for line in sales().splitlines()[1:])
    newest = datetime.fromisoformat(last) + timedelta(days=1)
    assert f"snapshots to {newest:%Y-%m-%d} " in mine, "the newest is of midnight after the last day"
    assert "    Calls: how long the newest call took." in printed.splitlines()


def test_list_as_json_has_everything(run: Run, bank: Settings) -> None:
    told = {view["view"]: view for view in json.loads(run("list", "--json")[1])}
    assert [view for view in told if told[view]["own"]] == ["calls"]
    assert told["calls"]["features"] == [
        {"feature": "duration", "type": "Float32", "unit": "seconds", "doc": "of the newest call"}
    ]
    assert (told["calls"]["entity"], told["calls"]["reads"], told["calls"]["ttl_days"]) == (
        "customer",
        ["contacts"],
        35,
    )
    rows = store.training_frame(bank, asked(datetime(2025, 3, 12, tzinfo=UTC)), names.PORTRAIT)
    assert rows["calls__duration"].null_count() == 0
    assert told["calls"]["rows"] % CLIENTS == 0
    assert told[names.PURCHASES]["snapshots"] == 1


def test_before_anything_is_built_list_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["features", "list", "--home", str(tmp_path / "new" / "home")])
    assert capsys.readouterr().out.count("not built") == len(catalogue.MODULES)


def test_describe_tells_a_feature_its_source_and_how_often_it_is_missing(run: Run) -> None:
    code, printed = run("describe", "rfm.recency_days")
    assert code == 0
    assert "reads: transactions" in printed
    row = next(line.split() for line in printed.splitlines() if line.startswith(" recency_days"))
    assert row[:4] == ["recency_days", "Float32", "days", "0.0%"]
    assert "tenure_days" not in printed
    whole = run("describe", "calls")[1]
    assert "of the newest call" in whole
    assert "code " in whole


def test_describe_prints_the_catalogue_with_its_windows(run: Run) -> None:
    printed = run("describe")[1]
    for word in ("MONTH", "28 days", "LONG_HALF_LIFE", "182 days", "evening", *catalogue.MODULES, "calls"):
        assert word in printed


@pytest.mark.parametrize(
    ("name", "told"), [("rmf", "There is no view 'rmf'"), ("rfm.age", "The view 'rfm' has no feature 'age'")]
)
def test_describe_of_what_is_not_there_tells_what_is(run: Run, name: str, told: str) -> None:
    code, printed = run("describe", name)
    assert code == 1
    assert told in printed


def test_audit_names_a_feature_that_has_seen_the_answer(run: Run, tmp_path: Path) -> None:
    labels = tmp_path / "said yes.csv"
    asked(datetime(2025, 3, 1, tzinfo=UTC)).write_csv(labels)
    code, printed = run("audit", "--service", names.PORTRAIT, "--labels", str(labels))
    assert code == 1, printed
    first = next(line.split() for line in printed.splitlines() if line.startswith(" calls.duration"))
    assert first[:3] == ["calls.duration", "1.000", str(CLIENTS)]
    assert "Too good to be true at 0.95" in printed
    assert "calls.duration. Look" in " ".join(printed.split())


def test_audit_of_honest_features_ends_well_and_lists_the_strongest(run: Run, tmp_path: Path) -> None:
    labels = tmp_path / "said yes.parquet"
    asked(datetime(2025, 3, 1, tzinfo=UTC)).write_parquet(labels)
    code, printed = run("audit", "--labels", str(labels))
    assert code == 0, printed
    assert f"{CLIENTS} labels, 27 of them ones" in printed
    assert "Nothing predicts the label too well" in printed
    assert "calls.duration" not in printed
    assert run("audit", "--labels", str(labels), "--threshold", "0.5")[0] in (0, 1)


def test_audit_takes_the_labels_of_training_where_none_are_given(run: Run) -> None:
    code, printed = run("audit")
    assert code == 0, printed
    assert names.INACTIVE_28D in printed
    assert f"{names.RESPONSE}: {CLIENTS} labels, all of one kind" in printed


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("customer_id,event_timestamp\nc0,2025-03-01\n", "has no column 'label'; it has customer_id, event_timestamp"),
        ("customer_id,event_timestamp,label\nc0,soon,1\n", "a time cannot be read"),
        (
            "customer_id,event_timestamp,label_start,label\nc0,2025-03-01 00:00:00,2025-02-01 00:00:00,1\n"
            "c1,2025-03-01 00:00:00,2025-03-01 00:00:00,0\n",
            "Row 1 of 2 labels is measured from label_start 2025-02-01",
        ),
    ],
)
def test_labels_that_do_not_fit_are_told(run: Run, tmp_path: Path, text: str, told: str) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text(text)
    code, printed = run("audit", "--labels", str(labels))
    assert code == 1
    assert told in " ".join(printed.split())


def test_a_column_declared_after_outcome_is_refused_in_a_view_and_beside_a_label(tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text(sales())
    (tmp_path / "calls.csv").write_text(calls())
    (tmp_path / "motherlode.yaml").write_text(DECLARED)
    settings = Settings(home=tmp_path / ".motherlode", mapping=tmp_path, device="cpu")
    pipeline.load(settings, read(tmp_path))
    store.apply(settings)
    labels = asked(datetime(2025, 3, 1, tzinfo=UTC)).with_columns(seconds=pl.lit(3))
    line = next(number for number, text in enumerate(DECLARED.splitlines(), 1) if "after_outcome" in text)
    with pytest.raises(DataError, match=rf"carry 'seconds'.*line {line} of the mapping says .* of contacts\.seconds"):
        store.training_frame(settings, labels, names.SCORING)
    with pytest.raises(DataError, match="carry 'seconds'"):
        store.training_frame(settings, labels.rename({"label": "other"}), names.SCORING, label="other")


def test_a_home_used_without_its_mapping_does_not_lose_the_views_of_its_own(bank: Settings, tmp_path: Path) -> None:
    elsewhere = tmp_path / "moved" / "home"
    (elsewhere / "mart").mkdir(parents=True)
    for name in ("warehouse.json", "mart/manifest.json"):
        (elsewhere / name).write_bytes((bank.home / name).read_bytes())
    with pytest.raises(DataError, match="holds the company's own view 'calls', and no mapping says"):
        store.apply(replace(bank, home=elsewhere, mapping=None))
