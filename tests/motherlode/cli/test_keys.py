"""`motherlode keys` makes keys that nobody else can read, and shows their ids alone."""

import stat
from pathlib import Path

import pyarrow as pa
import pytest

from feature_repo.warehouse import state, vault
from feature_repo.warehouse.state import Part, State
from motherlode.cli.main import main
from motherlode.identity import Identity
from motherlode.settings import Settings

PSEUDONYM, OLD, RAW = "the pseudonym key of the day", "the pseudonym key before it", "the key of all of raw"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    printed = capsys.readouterr()
    assert isinstance(left.value.code, int)
    return left.value.code, printed.out + printed.err


def test_a_new_key_is_random_and_its_file_is_for_its_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = run(capsys, "keys", "new", "--out", "key file")
    path = tmp_path / "key file"
    assert code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(bytes.fromhex(path.read_text().strip())) == 32
    assert path.read_text().strip() not in told
    monkeypatch.setenv("MOTHERLODE_PSEUDONYM_KEY_FILE", str(path))
    assert Settings.from_env().pseudonym_key == path.read_text().strip()
    _, printed = run(capsys, "keys", "new")
    assert len(bytes.fromhex(printed.strip())) == 32
    assert printed.strip() != path.read_text().strip()


def test_a_key_file_that_is_there_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "key").write_text("a key that is in use")
    code, told = run(capsys, "keys", "new", "--out", "key")
    assert code == 1
    assert "key exists" in told
    assert (tmp_path / "key").read_text() == "a key that is in use"


def test_the_keys_in_use_are_shown_by_their_ids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(home=tmp_path / "home", raw_key=RAW)
    (settings.raw / "identities").mkdir(parents=True)
    part = Part(path="raw/identities/ids.parquet", rows=0, sha256="")
    table = pa.table({"outside_id": ["1"]})
    with vault.writer(settings.home / part.path, table.schema, settings) as writer:
        writer.write_table(table)
    known = Identity(PSEUDONYM, (OLD,))
    state.write(settings, State(key_ids=known.key_ids, identities=(part,)))
    monkeypatch.setenv("MOTHERLODE_HOME", str(settings.home))
    monkeypatch.setenv("MOTHERLODE_PSEUDONYM_KEY", PSEUDONYM)
    code, shown = run(capsys, "keys", "show")
    assert code == 0
    pseudonyms, raw = (next(line for line in shown.splitlines() if name in line) for name in ("pseudonyms", "raw"))
    assert pseudonyms.count(known.key_id) == 2
    assert pseudonyms.count(known.key_ids[1]) == 1, "in use, and not given here"
    assert raw.count(vault.key_id(RAW)) == 1, "no raw key is needed to see which one is in use"
    for secret in (PSEUDONYM, OLD, RAW):
        assert secret not in shown


def test_a_home_without_anything_shows_what_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    code, shown = run(capsys, "keys", "show")
    assert code == 0
    assert "none" in shown
