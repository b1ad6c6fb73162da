"""`motherlode features list`, `describe` and `audit`, on a bank with a view of its own that has seen the answer."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from feature_repo import store
from feature_repo.features import catalogue, tags, windows
from feature_repo.warehouse import pipeline
from feature_repo.warehouse.mapping.read import read
from motherlode import names
from motherlode.cli.main import main
from motherlode.errors import DataError, StoreError
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
    assert "1 feature, 35 d" in mine
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
    printed = capsys.readouterr().out
    assert printed.count("not built") == len(catalogue.MODULES)
    assert f"Nothing was built in {tmp_path / 'new' / 'home'}" in "".join(printed.splitlines())


def test_a_row_is_an_items_and_a_customers(run: Run) -> None:
    printed = run("list", "--markdown")[1]
    assert "one row an item and snapshot" in printed
    assert "one row a customer and snapshot" in printed


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


def test_describe_says_of_each_label_by_a_rule_what_it_holds_for(run: Run) -> None:
    printed = " ".join(run("describe", "tags")[1].split())
    assert f"big_baskets 1 {windows.BIG} lines a basket or more" in printed
    assert all(f"{rule.tag} {rule.version} " in printed for rule in tags.RULES)


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
    assert f"{CLIENTS} of {CLIENTS} labels have any feature" in printed
    code, lower = run("audit", "--labels", str(labels), "--threshold", "0.5")
    assert code == 0, "chance alone reaches more than the strongest of them does"
    assert "too few labels to suspect anything at 0.5" in lower


def test_audit_takes_the_labels_of_training_where_none_are_given(run: Run) -> None:
    code, printed = run("audit")
    assert code == 0, printed
    assert names.INACTIVE_28D in printed
    assert f"{names.RESPONSE}: {CLIENTS} labels, all of one kind" in printed


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("customer_id,event_timestamp\nc0,2025-03-01\n", "has no column 'label'; it has customer_id, event_timestamp"),
        ("customer_id,event_timestamp,label\nc0,soon,1\nc1,soon,0\n", "event_timestamp 'soon'. remedy: Give ISO 8601"),
        (
            "customer_id,event_timestamp,label\nc0,07.09.2026,1\nc1,07.09.2026,0\n",
            "event_timestamp '07.09.2026'. remedy: Give ISO 8601",
        ),
        ("customer_id,event_timestamp,label\nc0,2025-13-01,1\nc1,2025-03-01,0\n", "a time cannot be read"),
        ("customer_id,event_timestamp,label\n", "has 0 rows, 0 with a label, and 0 kind"),
        ("customer_id,event_timestamp,label\nc0,2025-03-01,1\n", "has 1 rows, 1 with a label, and 1 kind"),
        ("customer_id,event_timestamp,label\nc0,2025-03-01,1\nc1,2025-03-01,\n", "has 2 rows, 1 with a label"),
        ("customer_id,event_timestamp,label\nc0,2025-03-01,NaN\nc1,2025-03-01,NaN\n", "has 2 rows, 0 with a label"),
        (
            "customer_id,event_timestamp,label\nc0x,2025-03-01,1\nc1x,2025-03-01,0\n",
            "not one of 2 labels is of a customer that is known; the first is of 'c0x'. remedy: Give the company's own "
            "ids, such as 'c",
        ),
        (
            "customer_id,event_timestamp,label\nc0,2015-03-01,1\nc1,2015-03-01,0\n",
            "None of 2 labels of labels.csv has any feature of scoring at its time",
        ),
        ("customer_id,event_timestamp,label\nc0,2025-03-01,1,9\nc1,2025-03-01,0\n", "Write it as Parquet, or as CSV"),
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
    assert "truncate_ragged_lines" not in printed


def test_audit_counts_the_labels_of_customers_that_are_unknown_and_takes_any_spelling_of_csv(
    run: Run, tmp_path: Path
) -> None:
    some = asked(datetime(2025, 3, 1, tzinfo=UTC))
    who = pl.when(pl.int_range(pl.len()) < 3).then(pl.lit("nobody")).otherwise(pl.col(names.CUSTOMER_ID))
    some.with_columns(who.alias(names.CUSTOMER_ID)).write_csv(tmp_path / "labels.CSV")
    code, printed = run("audit", "--labels", str(tmp_path / "labels.CSV"))
    assert code == 0, printed
    assert f"labels.CSV: 3 of {CLIENTS} labels are of customers unknown here, as 'nobody'" in printed
    assert f"{CLIENTS - 3} of {CLIENTS} labels have any feature" in printed


def test_an_unknown_service_is_told_before_anything_else(run: Run) -> None:
    code, printed = run("audit", "--service", "nope")
    assert code == 1
    assert "no feature service 'nope'" in printed
    assert "all of one kind" not in printed


@pytest.mark.parametrize("option", [("--cadence", "7"), ("--engine", "ray"), ("--rebuild",)])
def test_an_option_of_a_build_is_not_dropped_before_another_command(run: Run, option: tuple[str, ...]) -> None:
    code, printed = run(*option, "list")
    assert code == 2
    assert f"{option[0]} is for building" in printed


def test_what_a_training_frame_cannot_use_is_refused_at_once(bank: Settings) -> None:
    labels = asked(datetime(2025, 3, 1, tzinfo=UTC))
    with pytest.raises(DataError, match=r"are a pandas DataFrame\. Give a Polars DataFrame: pl\.from_pandas"):
        store.training_frame(bank, labels.to_pandas(), names.SCORING)
    with pytest.raises(DataError, match="no column 'churned'"):
        store.training_frame(bank, labels, names.SCORING, label="churned")
    with pytest.raises(StoreError, match="a column 'rfm__recency_days', and so is a feature called") as caught:
        store.training_frame(bank, labels.with_columns(rfm__recency_days=1), names.SCORING)
    assert "full_feature_names" not in str(caught.value)


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
    with pytest.raises(DataError, match="the column 'label' in a file"):
        store.training_frame(settings, labels.rename({"label": "other"}), names.SCORING, label="other")


def test_a_home_used_without_its_mapping_does_not_lose_the_views_of_its_own(bank: Settings, tmp_path: Path) -> None:
    elsewhere = tmp_path / "moved" / "home"
    (elsewhere / "mart").mkdir(parents=True)
    for name in ("warehouse.json", "mart/manifest.json"):
        (elsewhere / name).write_bytes((bank.home / name).read_bytes())
    with pytest.raises(DataError, match="holds the company's own view 'calls', and no mapping says"):
        store.apply(replace(bank, home=elsewhere, mapping=None))
