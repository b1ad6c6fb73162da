"""Which folders hold backups, and the ledger's copy in each."""

from pathlib import Path

import pytest

from motherlode.backup import places
from motherlode.errors import DataError
from motherlode.settings import Settings
from tests.motherlode.backup.example import erased


def test_a_folder_is_remembered_once(settings: Settings, tmp_path: Path) -> None:
    assert places.known(settings) == []
    for folder in (tmp_path / "one", tmp_path / "two", tmp_path / "one"):
        places.register(settings, folder)
    assert places.known(settings) == [tmp_path / "one", tmp_path / "two"]


def test_a_damaged_list_is_named_with_the_remedy(settings: Settings) -> None:
    (settings.home / places.PLACES).write_text("{")
    with pytest.raises(DataError, match=r"backups\.json is no list of folders.*motherlode backup"):
        places.known(settings)


def test_a_tombstone_is_told_once(settings: Settings, tmp_path: Path) -> None:
    one, two = erased(settings, "one"), erased(settings, "two")
    assert places.tell(tmp_path, [one]) == 1
    assert places.tell(tmp_path, [one, two]) == 1
    assert places.told(tmp_path) == [one, two]


def test_a_line_that_a_kill_cut_short_is_passed_over_and_the_next_is_whole(settings: Settings, tmp_path: Path) -> None:
    one, two = erased(settings, "one"), erased(settings, "two")
    places.tell(tmp_path, [one])
    ledger = tmp_path / "tombstones.jsonl"
    line = ledger.read_bytes()
    for cut in range(1, len(line) - 1):
        ledger.write_bytes(line + line[:cut])
        assert places.told(tmp_path) == [one]
        assert places.tell(tmp_path, [two]) == 1
        assert places.told(tmp_path) == [one, two]


def test_a_line_that_somebody_changed_is_refused(settings: Settings, tmp_path: Path) -> None:
    places.tell(tmp_path, [erased(settings, "one")])
    ledger = tmp_path / "tombstones.jsonl"
    ledger.write_bytes(ledger.read_bytes().replace(b'"kind":"outside"', b'"kind":"nobody"'))
    with pytest.raises(DataError, match=r"Line 1 of .*tombstones\.jsonl is no tombstone"):
        places.told(tmp_path)


def test_a_folder_that_is_not_there_is_an_error_of_the_system(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        places.tell(tmp_path / "unplugged", [erased(settings, "one")])
