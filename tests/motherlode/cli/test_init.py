"""`motherlode init`: what it prints leads on, and what it writes is ingested."""

from pathlib import Path

import pytest

from motherlode.cli.main import main


def test_an_example_is_ingested_by_the_commands_that_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["init", "bank", "--example", "bank_calls"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "motherlode ingest" in said
    monkeypatch.chdir(tmp_path / "bank")
    variable, _, value = next(line for line in said.splitlines() if "export" in line).split()[1].partition("=")
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as ended:
        main(["ingest"])
    assert ended.value.code == 0
    assert "feedback" in capsys.readouterr().out


def test_an_unknown_example_ends_with_1_and_names_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["init", str(tmp_path / "x"), "--example", "nothing"])
    assert ended.value.code == 1
    assert "bank_calls" in capsys.readouterr().err
