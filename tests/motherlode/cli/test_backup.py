"""`motherlode backup` takes, lists and verifies backups, and says what it did."""

from pathlib import Path

import pytest

from motherlode import audit
from motherlode.cli.main import main
from motherlode.settings import Settings

KEY = "a key of backups that is long enough"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("MOTHERLODE_BACKUP_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    made = tmp_path / "a home"
    (made / "raw").mkdir(parents=True)
    (made / "raw" / "a.parquet").write_bytes(b"x" * 2_000_000)
    return made


def run(capsys: pytest.CaptureFixture[str], home: Path, *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as left:
        main(["backup", str(home.parent / "backups"), *arguments, "--home", str(home)])
    printed = capsys.readouterr()
    assert isinstance(left.value.code, int)
    return left.value.code, printed.out + printed.err


def test_full_then_incremental_then_listed_and_verified(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, first = run(capsys, home, "--keep-days", "7")
    assert code == 0 and "(full)" in first and "2.0 MB stored anew" in first
    code, second = run(capsys, home)
    assert code == 0 and "(incremental)" in second and "0.0 MB stored anew" in second
    code, third = run(capsys, home, "--full")
    assert code == 0 and "(full)" in third
    code, listed = run(capsys, home, "--list")
    assert code == 0 and "kept for 7 days" in listed and listed.count("│ incremental │") == 1
    code, verified = run(capsys, home, "--verify")
    assert code == 0 and "2.0 MB read, none changed" in verified
    entries = audit.read(Settings(home=home))
    assert [(each.action, each.details["kind"]) for each in entries] == [
        ("backup", "full"),
        ("backup", "incremental"),
        ("backup", "full"),
    ]


def test_without_a_key_the_remedy_is_said(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MOTHERLODE_BACKUP_KEY")
    for option in ((), ("--list",), ("--verify",)):
        code, said = run(capsys, home, *option)
        assert code == 1 and "no key to encrypt backups by" in said and "keys new" in said
    assert not (home.parent / "backups").exists()


def test_a_damaged_folder_is_named(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, home)
    harmed = max((home.parent / "backups" / "objects").glob("??/*"), key=lambda path: path.stat().st_size)
    content = bytearray(harmed.read_bytes())
    content[1_000_000] ^= 1
    harmed.write_bytes(content)
    code, said = run(capsys, home, "--verify")
    assert code == 1 and harmed.name in said and "was changed" in said
