"""`motherlode merges`: the ledger is shown, and a merge can be undone and done again."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from feature_repo.warehouse import state as states
from feature_repo.warehouse.matching import MATCHES
from feature_repo.warehouse.state import Load, Part, State
from motherlode import audit
from motherlode.cli import main
from motherlode.settings import Settings

KEY = "a key of sixteen bytes or more"
LEDGER = [("2", "1", 0.99999, "same name, same e-mail"), ("3", "1", 0.961, "same name, same address")]


def loaded(home: Path, key: str | None = None, rows: list[tuple[str, str, float, str]] | None = None) -> Settings:
    """A home whose last load merged customers 2 and 3 into 1."""
    settings = Settings(home=home, pseudonym_key=key)
    known = [
        (*(settings.identity.join_key(customer) for customer in row[:2]), *row[2:])
        for row in (LEDGER if rows is None else rows)
    ]
    home.mkdir(parents=True)
    pl.DataFrame(known, schema=MATCHES, orient="row").write_parquet(home / "matches.parquet")
    load = Load(number=1, at=datetime(2026, 1, 1, tzinfo=UTC), seconds=1.0, mapping="", landed=(), rows={})
    matches = Part(path="matches.parquet", rows=len(known), sha256="")
    states.write(settings, State(loads=(load,), matches=matches))
    return settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MOTHERLODE_PSEUDONYM_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "a home" / ".motherlode"


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    code = ended.value.code
    return code if isinstance(code, int) else 0


def test_the_ledger_is_listed_with_the_least_sure_first(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loaded(home)
    assert run("merges", "--home", str(home)) == 0
    told = capsys.readouterr().out
    assert told.index("0.9610") < told.index("0.9999")
    assert "same name, same address" in " ".join(told.split())
    assert run("merges", "list", "--customer", "2", "--limit", "5", "--home", str(home)) == 0
    assert "0.9610" not in capsys.readouterr().out


@pytest.mark.parametrize("key", [None, KEY])
def test_an_undone_merge_is_kept_apart_until_it_is_done_again(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], key: str | None
) -> None:
    settings = loaded(home, key)
    if key is not None:
        monkeypatch.setenv("MOTHERLODE_PSEUDONYM_KEY", key)
    before = states.read(settings)
    pair = (settings.identity.join_key("2"), settings.identity.join_key("1"))
    assert run("merges", "undo", "2", "1", "--home", str(home)) == 0
    assert "motherlode ingest" in capsys.readouterr().out
    after = states.read(settings)
    assert after.kept_apart == (pair,)
    assert after.matches == before.matches
    assert run("merges", "--home", str(home)) == 0
    assert "Kept apart" in capsys.readouterr().out
    assert run("merges", "redo", pair[1], "2", "--home", str(home)) == 0  # in any order, by join key or outside id
    assert states.read(settings) == before
    entries = (home / audit.LOG).read_text()
    assert audit.verify(settings) == 2
    assert "unmerge" in entries and "remerge" in entries
    assert (f'"customer":"{pair[0]}"' in entries) == (key is not None)


def test_two_who_went_into_a_third_can_be_told_apart(home: Path) -> None:
    settings = loaded(home)
    assert run("merges", "undo", "3", "2", "--home", str(home)) == 0
    assert states.read(settings).kept_apart == (("3", "2"),)


def test_what_is_not_merged_cannot_be_undone_and_changes_nothing(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = loaded(home, rows=[*LEDGER, ("5", "4", 0.99, "same name")])
    before = (home / states.STATE).read_bytes()
    for arguments, problem in (
        (("undo", "2", "99"), "are not merged"),
        (("undo", "98", "99"), "are not merged"),
        (("undo", "5", "1"), "are not merged"),
        (("undo", "2", "2"), "are not merged"),
        (("redo", "2", "1"), "are not kept apart"),
    ):
        assert run("merges", *arguments, "--home", str(home)) == 1
        assert problem in " ".join(capsys.readouterr().err.split())
    assert (home / states.STATE).read_bytes() == before
    assert run("merges", "undo", "2", "1", "--home", str(home)) == 0
    assert run("merges", "undo", "1", "2", "--home", str(home)) == 1
    assert len(states.read(settings).kept_apart) == 1


def test_where_nothing_was_loaded_it_says_what_to_run(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("merges", "--home", str(home)) == 1
    assert "motherlode ingest" in capsys.readouterr().err
    assert not (home / states.STATE).exists()


def test_a_ledger_of_a_load_that_compared_nobody_is_empty(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loaded(home)
    pl.DataFrame(schema={"customer_id": pl.String, "into_customer_id": pl.String}).write_parquet(
        home / "matches.parquet"
    )
    assert run("merges", "--home", str(home)) == 0
    assert "0 of 0" in capsys.readouterr().out
