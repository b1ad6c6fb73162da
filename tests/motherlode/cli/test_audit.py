"""`motherlode audit` shows what was done, and exits with 1 where the log is not whole."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from feature_repo.warehouse import state
from feature_repo.warehouse.state import Load
from motherlode import audit
from motherlode.cli.main import main
from motherlode.settings import Settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLUMNS", "200")
    settings = Settings(home=tmp_path / "a home")
    for number in range(30):
        audit.record(settings, "load", f"number [{number}]", rows=number)
    return settings.home


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    printed = capsys.readouterr()
    assert isinstance(left.value.code, int)
    return left.value.code, printed.out + printed.err


def test_the_newest_entries_are_shown_as_they_are(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, shown = run(capsys, "audit", "show", "--home", str(home), "--last", "3")
    assert code == 0
    assert "number [29]" in shown
    assert "number [27]" in shown
    assert "number [26]" not in shown
    assert "30 entries" in shown


def test_a_whole_log_is_verified_with_its_last_hash(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, shown = run(capsys, "audit", "verify", "--home", str(home))
    assert code == 0
    assert "30 entries, none changed" in shown
    assert audit.read(Settings(home=home))[-1].hash in shown


@pytest.mark.parametrize("command", ["verify", "show"])
def test_a_changed_log_is_an_error_that_names_the_entry(
    home: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    log = home / audit.LOG
    log.write_text(log.read_text().replace("[12]", "[13]"))
    code, shown = run(capsys, "audit", command, "--home", str(home))
    assert code == 1
    assert "Entry 13 of" in shown
    assert "remedy:" in shown


def test_without_a_command_it_shows(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MOTHERLODE_HOME", str(home))
    code, shown = run(capsys, "audit")
    assert code == 0
    assert "number [29]" in shown


def test_a_log_that_was_removed_is_missed_where_loads_were_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(home=tmp_path)
    load = Load(number=1, at=datetime.now(UTC), seconds=0, mapping="", landed=(), rows={})
    state.write(settings, state.State(loads=(load,)))
    code, shown = run(capsys, "audit", "verify", "--home", str(tmp_path))
    assert code == 1
    assert "1 loads were made there: it was removed" in shown
