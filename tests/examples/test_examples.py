"""The examples' companies, ingested as their READMEs say."""

import runpy
import shutil
from pathlib import Path

import polars as pl
import pytest

from feature_repo.warehouse import pipeline, tables
from feature_repo.warehouse.examples import example, examples
from feature_repo.warehouse.lineage import Lineage
from feature_repo.warehouse.mapping.read import read
from motherlode.settings import Settings

MADE_UP = ("bank_calls", "online_shop")


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Settings, Lineage]]:
    """The made-up examples, loaded: where, and what became of their rows."""
    made = {}
    for name in MADE_UP:
        settings = Settings(home=tmp_path_factory.mktemp(name))
        made[name] = settings, pipeline.load(settings, read(example(name)))
    return made


@pytest.fixture(params=MADE_UP)
def loaded(request: pytest.FixtureRequest, homes: dict[str, tuple[Settings, Lineage]]) -> tuple[str, Settings, Lineage]:
    """One of them after the other, by its name."""
    return (request.param, *homes[request.param])


def test_every_example_is_a_folder_with_a_mapping_that_can_be_read() -> None:
    assert set(examples()) == {*MADE_UP, "demo"}
    for name in examples():
        assert read(example(name)).mapping.company


def test_every_row_of_an_example_is_found_again(loaded: tuple[str, Settings, Lineage]) -> None:
    assert [row for row in loaded[2].tables if not row.balanced] == []


def test_what_the_readme_calls_wrong_is_what_is_in_quarantine(loaded: tuple[str, Settings, Lineage]) -> None:
    name, settings, _ = loaded
    found = tables.quarantine(settings).filter(pl.col("rule") != "excluded").select("file", "line", "rule").collect()
    assert {(Path(file).name, line, rule) for file, line, rule in found.rows()} == told(example(name) / "README.md")


def test_an_example_loaded_twice_changes_nothing(loaded: tuple[str, Settings, Lineage]) -> None:
    name, settings, before = loaded
    again = pipeline.load(settings, read(example(name)))
    assert not again.changed
    assert again.tables == before.tables


@pytest.mark.parametrize("name", MADE_UP)
def test_the_script_writes_the_files_that_are_committed(name: str, tmp_path: Path) -> None:
    shutil.copy(example(name) / "make_data.py", tmp_path)
    runpy.run_path(str(tmp_path / "make_data.py"), run_name="__main__")
    committed = {path.relative_to(example(name)): path.read_bytes() for path in (example(name) / "data").rglob("*.*")}
    written = {path.relative_to(tmp_path): path.read_bytes() for path in (tmp_path / "data").rglob("*.*")}
    assert written.keys() == committed.keys()
    assert [path for path in written if written[path] != committed[path]] == []
    assert sum(map(len, committed.values())) < 300_000


def test_returns_are_negative_lines_and_consents_are_kept(homes: dict[str, tuple[Settings, Lineage]]) -> None:
    settings, _ = homes["online_shop"]
    lines = tables.scan(settings, "transactions").collect()
    returned = lines.filter(pl.col("line_id").str.starts_with("R"))
    assert returned.height == 82
    assert (returned["quantity"] < 0).all()
    assert (returned["amount"] < 0).all()
    assert lines.filter(pl.col("quantity") < 0).height == returned.height
    customers = tables.scan(settings, "customers").collect()
    assert customers["email"].null_count() == customers.height, "without a key an identifier does not leave raw"
    assert customers["consent_profiling"].null_count() > 0, "never asked is neither yes nor no"
    feedback = tables.scan(settings, "feedback").collect()
    assert set(feedback["language"]) == {"en", "zh"}


def test_cents_become_euros_and_unknown_becomes_null_with_a_flag(homes: dict[str, tuple[Settings, Lineage]]) -> None:
    settings, _ = homes["bank_calls"]
    postings = tables.scan(settings, "transactions").collect()
    cents = pl.read_csv(example("bank_calls") / "data" / "postings.csv", separator=";", infer_schema=False)
    first = cents.filter(pl.col("posting") == postings["basket_id"][0])["amount_cents"][0]
    assert postings["amount"][0] == pytest.approx(-int(first) / 100)
    customers = tables.scan(settings, "customers").collect()
    assert "unknown" not in set(customers["education"])
    assert customers["education_missing"].any()


def test_the_later_call_of_a_client_makes_the_profile(homes: dict[str, tuple[Settings, Lineage]]) -> None:
    settings, _ = homes["bank_calls"]
    calls = pl.read_csv(example("bank_calls") / "data" / "phone_calls.csv", separator=";", infer_schema=False)
    calls = calls.filter(pl.col("client_id").is_not_null()).unique(maintain_order=True)
    called = calls.group_by("client_id", maintain_order=True).agg(pl.len(), pl.col("job").first(), last=pl.last("job"))
    learnt = called.filter((pl.col("job") == "unknown") & (pl.col("last") != "unknown"))
    assert learnt.height
    customers = tables.scan(settings, "customers").select(client_id="customer_id", known="job").collect()
    assert learnt.join(customers, on="client_id").filter(pl.col("known") == pl.col("last")).height == learnt.height
    contacts = tables.scan(settings, "contacts").group_by(client_id="customer_id").agg(made=pl.len()).collect()
    twice = called.filter(pl.col("len") > 1).join(contacts, on="client_id")
    assert twice.height == 18
    assert (twice["made"] == 2).all()


def told(readme: Path) -> set[tuple[str, int, str]]:
    """File, line and rule of every row that a README calls wrong."""
    text = readme.read_text(encoding="utf-8").split("Wrong on purpose")[1]
    rows, file = set(), ""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        number = cells[0].rsplit(",", 1)[-1].strip()
        if not line.startswith("|") or not number.isdigit():
            continue
        file = cells[0].split("`")[1] if "`" in cells[0] else file
        rows.add((Path(file).name, int(number), cells[-1]))
    return rows
