"""An erasure from its tombstones to its certificate, on a real warehouse and Valkey; and again after a restore."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from feature_repo.erasure import certificate, job
from feature_repo.warehouse import pipeline, state, tables, vault
from feature_repo.warehouse.mapping.read import read
from motherlode import audit, names
from motherlode.backup import places as backups
from motherlode.errors import DataError, StoreError
from motherlode.lock import exclusive
from motherlode.online.keys import entity_text, row_key
from motherlode.online.tombstones import LEDGER, Tombstones
from motherlode.online.writer import OnlineWriter, Target
from motherlode.packed import Column, Schema
from motherlode.redis_server import connect, running
from motherlode.settings import Settings

MAPPING = """
version: 1
company: A corner shop
privacy: { pseudonym: none }
sources:
  people: { files: "people*.csv" }
tables:
  customers: { from: people, columns: { customer_id: id } }
  transactions:
    from: people
    columns: { customer_id: id, basket_id: basket, item_id: id, amount: { value: 1.0 }, event_timestamp: at }
"""
OLD, NEW = "the pseudonym key that was", "the pseudonym key that is"
ROW = bytes(16) + (1).to_bytes(8, "little") + bytes(8)
VIEW = Target("v", owned=True)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A company's folder with a home that knows Anna, Ben and Cleo."""
    folder = tmp_path_factory.mktemp("company")
    (folder / "motherlode.yaml").write_text(MAPPING)
    rows = "".join(f"{who},{who}-1,2025-03-0{day} 10:00\n" for day, who in enumerate(("Anna-1", "Ben-2", "Cleo-3"), 1))
    (folder / "people.csv").write_text(f"id,basket,at\n{rows}")
    pipeline.load(Settings(home=folder / "home"), read(folder / "motherlode.yaml"))
    return folder


@pytest.fixture
def settings(loaded: Path, tmp_path: Path) -> Settings:
    shutil.copytree(loaded, tmp_path / "company")
    return Settings(home=tmp_path / "company" / "home", mapping=tmp_path / "company" / "motherlode.yaml")


@pytest.fixture
def served(settings: Settings) -> Iterator[tuple[Settings, Any]]:
    """With a row of each online."""
    with running(settings) as bound, connect(bound) as client:
        write(bound, client, ["Anna-1", "Ben-2", "Cleo-3"])
        yield bound, client


def write(settings: Settings, client: Any, keys: list[str]) -> None:
    writer = OnlineWriter(client, settings.project, Tombstones(settings).of_entity)
    writer.declare(Schema("v", (Column("x", "int64"),)), VIEW)
    writer.write(VIEW, [entity_text([key]) for key in keys], [ROW] * len(keys))


def customers(settings: Settings) -> set[str]:
    return set(tables.scan(settings, names.CUSTOMERS).select(names.CUSTOMER_ID).collect()[names.CUSTOMER_ID])


def test_a_customer_goes_from_the_warehouse_and_online_and_the_certificate_tells(served: tuple[Settings, Any]) -> None:
    settings, client = served
    steps: list[str] = []
    told = job.erase(settings, ["Anna-1"], on_step=steps.append)
    assert told.complete
    assert tuple(steps) == job.STEPS
    assert customers(settings) == {"Ben-2", "Cleo-3"}
    assert not client.exists(row_key(settings.project, "v", "Anna-1"))
    assert {"raw", "integrated", "online"} <= {each.name for each in told.places}
    assert certificate.every(settings) == [told]
    assert told.actor
    assert "Anna" not in (settings.home / certificate.CERTIFICATES / f"{told.id}.json").read_text()
    assert "Anna" not in (settings.home / audit.LOG).read_text()
    known = Tombstones(settings)
    assert known.has("outside", "Anna-1")
    assert known.has("customer", "Anna-1")
    assert {each.certificate for each in known.all()} == {told.id}
    again = job.erase(settings, ["Anna-1"])
    assert again.complete
    assert again.places == ()


def test_what_is_found_is_told_before_and_nothing_is_changed(served: tuple[Settings, Any]) -> None:
    settings, _ = served
    found = job.find(settings, ["Anna-1"])
    assert {"raw", "integrated", "online"} <= {each.name for each in found}
    assert not Tombstones(settings)
    assert customers(settings) == {"Anna-1", "Ben-2", "Cleo-3"}
    assert job.strangers(settings, ["Anna-1", "nobody"]) == ["nobody"]


def test_a_file_of_before_makes_nobody_known(settings: Settings) -> None:
    part = next((settings.home / "clean").rglob("*.parquet"))
    shutil.copyfile(part, part.with_name(f"before-{part.name}"))
    assert [(each.name, each.rows) for each in job.find(settings, ["a typo"])] == [("old", 0)]
    assert job.strangers(settings, ["a typo"]) == ["a typo"]


def test_who_is_not_known_is_kept_out_all_the_same(settings: Settings) -> None:
    assert job.erase(settings, ["Dora-4"]).complete
    more = settings.home.parent / "people-2.csv"
    more.write_text("id,basket,at\nDora-4,Dora-4-1,2025-03-04 10:00\nEmil-5,Emil-5-1,2025-03-05 10:00\n")
    pipeline.load(settings, read(settings.home.parent / "motherlode.yaml"))
    assert customers(settings) == {"Anna-1", "Ben-2", "Cleo-3", "Emil-5"}


def test_a_customer_is_kept_out_under_previous_keys_too(settings: Settings) -> None:
    keyed = replace(settings, pseudonym_key=NEW, previous_pseudonym_keys=(OLD, "none"))
    job.erase(keyed, ["Dora-4"])
    known = Tombstones(keyed)
    assert all(known.has("customer", key) for key in keyed.identity.join_keys("Dora-4"))


@pytest.mark.parametrize("served_too", [True, False], ids=["with its server", "without"])
def test_a_restored_home_is_erased_again(settings: Settings, tmp_path: Path, served_too: bool) -> None:
    """Nobody knows the id any more: it is found by its digest in what came back."""
    if served_too:
        with running(settings) as bound, connect(bound) as client:
            write(bound, client, ["Anna-1", "Ben-2", "unknown to the warehouse"])
    backup = tmp_path / "backup"
    shutil.copytree(settings.home, backup, ignore=shutil.ignore_patterns("*.sock"))
    job.erase(settings, ["Anna-1", "unknown to the warehouse"])
    ledger = shutil.copytree(settings.home / "erasure", tmp_path / "ledger")
    shutil.rmtree(settings.home)
    shutil.copytree(backup, settings.home)
    shutil.copytree(ledger, settings.home / "erasure", dirs_exist_ok=True)
    assert "Anna-1" in customers(settings)
    assert {"raw", "integrated"} <= {each.name for each in job.reapply(settings)}
    assert customers(settings) == {"Ben-2", "Cleo-3"}
    if served_too:
        with running(settings) as bound, connect(bound) as client:
            rows = list(client.scan_iter(f"{settings.project}/v/*"))
            assert [key.decode().partition("}")[2] for key in rows] == ["Ben-2"]
    held = [path for path in settings.home.rglob("*") if path.is_file() and b"Anna-1" in path.read_bytes()]
    assert held == []
    assert job.reapply(settings) == []


def test_backups_are_told_and_one_that_is_not_there_is_told_of(settings: Settings, tmp_path: Path) -> None:
    here, away = tmp_path / "here", tmp_path / "away"
    here.mkdir()
    backups.tell(here, bytes(32), [], anew=True)
    for folder in (here, away):
        backups.register(settings, folder, bytes(32))
    told = job.erase(settings, ["Anna-1"])
    assert not told.complete
    assert [(each.folder, each.told) for each in told.backups] == [(str(here), True), (str(away), False)]
    assert len(backups.told(here, bytes(32))) == len(Tombstones(settings))
    away.mkdir()
    again = job.erase(settings, ["Anna-1"])
    assert not again.complete
    assert "tombstones.jsonl is missing" in again.backups[1].problem
    backups.tell(away, bytes(32), [], anew=True)
    assert job.erase(settings, ["Anna-1"]).complete
    assert (away / LEDGER).is_file()


def test_nothing_is_touched_where_another_works_or_the_log_was_changed(settings: Settings) -> None:
    before = customers(settings)
    with exclusive(settings), pytest.raises(StoreError, match="is being changed"):
        job.erase(settings, ["Anna-1"])
    log = settings.home / audit.LOG
    log.write_bytes(log.read_bytes()[:-20])
    with pytest.raises(DataError, match="its end was changed"):
        job.erase(settings, ["Anna-1"])
    assert customers(settings) == before
    assert not Tombstones(settings)


def test_an_id_that_still_stands_somewhere_is_a_failure(settings: Settings) -> None:
    settings.logs.mkdir(exist_ok=True)
    (settings.logs / "run.log").write_text("the call of Anna-1 failed")
    told = job.erase(settings, ["Anna-1"])
    assert told.failures == ("logs/run.log",)
    assert not told.complete
    (settings.logs / "run.log").unlink()
    again = job.erase(settings, ["Anna-1"])
    assert again.complete
    assert again.id == told.id, "it goes on under its certificate"
    assert {each.name for each in again.places} >= {"raw", "integrated"}


def test_exports_that_lie_elsewhere_are_told_of(settings: Settings, tmp_path: Path) -> None:
    out = tmp_path / "scores.parquet"
    pl.DataFrame({names.OUTSIDE_ID: ["Anna-1"]}).write_parquet(out)
    audit.record(settings, "export", str(out))
    assert any(str(out) in text for text in job.erase(settings, ["Anna-1"], verify=False).remains)


def test_who_is_not_known_is_a_stranger_whatever_lies_about(settings: Settings) -> None:
    """A file that no state names goes with any erasure, whosever it is."""
    left = next((settings.home / "raw").rglob("*.parquet"))
    shutil.copy(left, left.with_name("left-over.0000000000000000.parquet"))
    assert any(place.name == "old" for place in job.find(settings, ["Dora-4"]))
    assert job.strangers(settings, ["Dora-4", "Anna-1"]) == ["Dora-4"]


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_anothers_time_that_equals_the_number_of_an_id_stays_and_is_told(tmp_path: Path, form: str) -> None:
    """Nobody else's row may lose its time; a number that may be an id goes."""
    company, id_ = tmp_path / "company", 1735689600
    company.mkdir()
    (company / "motherlode.yaml").write_text(
        "version: 1\ncompany: A shop\nprivacy: { pseudonym: none }\n"
        f'sources: {{ till: {{ files: "till*.{form}" }} }}\n'
        "tables:\n  transactions:\n    from: till\n    columns: { customer_id: id, basket_id: basket, item_id: item, "
        "amount: sum, event_timestamp: { from: at, format: epoch_s } }\n"
    )
    rows = pl.DataFrame(
        {
            "id": [id_, 1735689601, 1735689602],
            "basket": ["B1", "B2", "B3"],
            "item": ["i", "i", "i"],
            "sum": [1, 2, id_],
            "at": [1735000000, id_, 1735000001],
            "brought_by": [None, id_, None],
        }
    )
    (rows.write_parquet if form == "parquet" else rows.write_csv)(company / f"till.{form}")
    settings = Settings(home=company / "home", mapping=company / "motherlode.yaml")
    pipeline.load(settings, read(company / "motherlode.yaml"))
    told = job.erase(settings, [str(id_)])
    assert told.complete, told.failures
    assert [each for each in told.remains if each.endswith("the number of an id: at, sum")]
    left = tables.scan(settings, names.TRANSACTIONS).sort(names.BASKET_ID).collect()
    assert left[names.BASKET_ID].to_list() == ["B2", "B3"]
    assert [int(each.timestamp()) for each in left[names.EVENT_TIMESTAMP]] == [id_, 1735000001]
    (landed,) = state.read(settings).raw
    raw = vault.reader(settings.home / landed.path, settings).read().to_pylist()
    assert [row["brought_by"] for row in raw] == ["(erased)" if form == "csv" else None, None]
