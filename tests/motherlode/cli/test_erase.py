"""`motherlode erase`, as a person types it: shows, asks, erases, tells; and whom it does not know."""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from feature_repo.erasure import certificate
from feature_repo.warehouse import pipeline, tables
from feature_repo.warehouse.mapping.read import read
from motherlode import consent, names, people
from motherlode.cli.erase import erase
from motherlode.errors import DataError
from motherlode.online.tombstones import Tombstones
from motherlode.people import People
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
Command = Callable[..., Result]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("company")
    (folder / "motherlode.yaml").write_text(MAPPING)
    rows = "".join(f"{who},{who}-1,2025-03-0{day} 10:00\n" for day, who in enumerate(("Anna-1", "Ben-2", "Cleo-3"), 1))
    (folder / "people.csv").write_text(f"id,basket,at\n{rows}")
    pipeline.load(Settings(home=folder / "home"), read(folder / "motherlode.yaml"))
    return folder


@pytest.fixture
def settings(loaded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    shutil.copytree(loaded, tmp_path / "company")
    found = Settings(home=tmp_path / "company" / "home", mapping=tmp_path / "company" / "motherlode.yaml")
    monkeypatch.setenv("MOTHERLODE_HOME", str(found.home))
    monkeypatch.setenv("MOTHERLODE_MAPPING", str(found.mapping))
    monkeypatch.setenv("COLUMNS", "300")
    yield found


def run(*words: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(erase, list(words), input=typed, standalone_mode=False)


def customers(settings: Settings) -> set[str]:
    return set(tables.scan(settings, names.CUSTOMERS).select(names.CUSTOMER_ID).collect()[names.CUSTOMER_ID])


def test_a_dry_run_shows_what_would_go_and_changes_nothing(settings: Settings) -> None:
    answer = run("Anna-1", "--dry-run")
    assert answer.return_value == 0
    assert "What would go" in answer.output
    assert "raw" in answer.output
    assert customers(settings) == {"Anna-1", "Ben-2", "Cleo-3"}
    assert not Tombstones(settings)


def test_it_asks_unless_it_is_told_not_to(settings: Settings) -> None:
    answer = run("Anna-1", typed="n\n")
    assert "Erase 1 customer for good?" in answer.output
    assert "Anna-1" in customers(settings)
    answer = run("Anna-1", typed="y\n")
    assert answer.return_value == 0
    assert customers(settings) == {"Ben-2", "Cleo-3"}
    (told,) = certificate.every(settings)
    assert f"{told.id}.json" in answer.output
    assert "left: tombstones" in answer.output


def test_several_and_a_file_of_them(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("Cleo-3\n\n Anna-1 \n")
    assert run("Anna-1", "--from-file", str(tmp_path / "ids"), "--yes").return_value == 0
    assert customers(settings) == {"Ben-2"}
    assert len(certificate.every(settings)[0].who) == 2
    assert run("--from-file", "-", "--yes", typed="Ben-2\n").return_value == 0


def test_who_is_not_known_is_named_and_nobody_is_erased(settings: Settings) -> None:
    answer = run("Anna-1", "Dora-4", "--yes")
    assert isinstance(answer.exception, DataError)
    assert "Dora-4" in answer.exception.problem
    assert "--force" in answer.exception.remedy
    assert "Anna-1" in customers(settings)
    assert run("Dora-4", "--yes", "--force").return_value == 0
    assert Tombstones(settings).has("outside", "Dora-4")
    assert run("Dora-4", "--yes").return_value == 0, "who was erased is known as such"


def test_without_a_name_it_says_how(settings: Settings) -> None:
    answer = run("--yes")
    assert isinstance(answer.exception, DataError)
    assert "--from-file" in answer.exception.remedy


def test_what_is_left_ends_with_1_and_is_told_loudly(settings: Settings) -> None:
    settings.logs.mkdir(exist_ok=True)
    (settings.logs / "run.log").write_text("Anna-1 failed")
    answer = run("Anna-1", "--yes")
    assert answer.return_value == 1
    assert "STILL THERE: logs/run.log" in answer.output


def test_the_lock_does_not_keep_the_id_that_the_command_was_given(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["motherlode", "erase", "Anna-1", "--yes"])
    assert run("Anna-1", "--yes").return_value == 0
    assert "motherlode erase" in (settings.home / "pipeline.lock").read_text()
    held = [path for path in settings.home.rglob("*") if path.is_file() and b"Anna-1" in path.read_bytes()]
    assert held == []


@pytest.mark.parametrize("damaged", [False, True])
def test_who_is_one_person_with_them_is_told_in_the_certificate_and_damaged_stops_nothing(
    settings: Settings, damaged: bool
) -> None:
    people.publish(settings, [["Anna-1", "Ben-2", "Cleo-3"]])
    file = settings.home / consent.FOLDER / people.FILE
    if damaged:
        file.write_bytes(b"no database, however long it is" * 100)
    assert run("Anna-1", "--yes").return_value == 0
    (told,) = certificate.every(settings)
    assert [each.rows for each in told.places if each.path == "consent/people.db"] == [0 if damaged else 1]
    assert file.exists() != damaged
    assert People(settings).others(["Ben-2"]) == ([] if damaged else ["Cleo-3"])
