"""Which folders hold backups, and the ledger's copy in each."""

from pathlib import Path

import pytest

from motherlode.backup import places
from motherlode.errors import DataError, StoreError
from motherlode.settings import Settings
from tests.motherlode.backup.example import erased

TELLING = bytes(range(32))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One that has its first, empty copy."""
    made = tmp_path / "backups"
    made.mkdir()
    places.tell(made, TELLING, [], anew=True)
    return made


def test_a_folder_is_remembered_once_and_by_its_newest_key(settings: Settings, tmp_path: Path) -> None:
    assert places.known(settings) == []
    for folder, telling in (("one", bytes(32)), ("two", bytes(32)), ("one", TELLING), ("one", TELLING)):
        places.register(settings, tmp_path / folder, telling)
    assert {each.path: each.telling for each in places.known(settings)} == {
        tmp_path / "one": TELLING,
        tmp_path / "two": bytes(32),
    }
    assert len(places.known(settings)) == 2
    assert (settings.home / places.PLACES).stat().st_mode & 0o777 == 0o600, "it holds a key"


def test_a_damaged_list_is_named_with_the_remedy(settings: Settings) -> None:
    (settings.home / places.PLACES).write_text("{")
    with pytest.raises(DataError, match=r"backups\.json is no list of folders.*motherlode backup"):
        places.known(settings)


def test_a_tombstone_is_told_once(settings: Settings, folder: Path) -> None:
    one, two = erased(settings, "one"), erased(settings, "two")
    assert places.told(folder, TELLING) == []
    assert places.tell(folder, TELLING, [one]) == 1
    assert places.tell(folder, TELLING, [one, two]) == 1
    assert places.told(folder, TELLING) == [one, two]
    assert [path.name for path in folder.iterdir()] == ["tombstones.jsonl"]


def test_a_copy_that_is_missing_cut_anywhere_or_changed_is_refused(settings: Settings, folder: Path) -> None:
    before = (folder / "tombstones.jsonl").read_bytes()
    places.tell(folder, TELLING, [erased(settings, "one"), erased(settings, "two")])
    ledger = folder / "tombstones.jsonl"
    content = ledger.read_bytes()
    lines = content.splitlines(keepends=True)
    flipped = [content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :] for at in range(len(content))]
    cut = [content[:at] for at in range(len(content))]
    others = [lines[1] + lines[2], lines[0] + lines[2], lines[1] + lines[0] + lines[2], content + lines[0]]
    for harmed in (*flipped, *cut, *others, lines[0] + before):
        ledger.write_bytes(harmed)
        with pytest.raises(StoreError, match=r"tombstones\.jsonl was changed or cut short.*--full"):
            places.told(folder, TELLING)
    with pytest.raises(StoreError, match="was changed"):
        places.tell(folder, TELLING, [erased(settings, "three")])
    ledger.write_bytes(content)
    with pytest.raises(StoreError, match="was changed"):
        places.told(folder, bytes(32))
    ledger.unlink()
    with pytest.raises(StoreError, match=r"tombstones\.jsonl is missing.*who was erased"):
        places.told(folder, TELLING)


def test_it_is_written_anew_where_that_is_asked_for(settings: Settings, folder: Path) -> None:
    (folder / "tombstones.jsonl").write_text("nonsense")
    assert places.tell(folder, TELLING, [erased(settings, "one")], anew=True) == 1
    assert len(places.told(folder, TELLING)) == 1


def test_a_folder_that_is_not_there_is_an_error_of_the_system(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        places.tell(tmp_path / "unplugged", TELLING, [erased(settings, "one")])
