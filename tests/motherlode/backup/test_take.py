"""Taking backups: what is in them, what the folder tells, what a kill or a full disk leaves, and how long they stay."""

import itertools
import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from motherlode.backup import content, places
from motherlode.backup.folder import Folder
from motherlode.backup.restore import listed, restored, verify
from motherlode.backup.take import expire, take
from motherlode.errors import SettingsError, StoreError
from motherlode.lock import exclusive
from motherlode.online.tombstones import Tombstones
from motherlode.settings import Settings
from tests.motherlode.backup.example import CANARY, KEY, digests, erased, holding, write_rows

TAKE = (
    "import sys; from pathlib import Path; from motherlode.settings import Settings; "
    "from motherlode.backup.take import take\n"
    "take(Settings(home=Path(sys.argv[1]), backup_key=sys.argv[3]), Path(sys.argv[2]))"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backups"


def test_everything_but_caches_locks_and_unfinished_files_belongs_to_a_backup(settings: Settings) -> None:
    found = set(map(str, content.files(settings.home)))
    assert found == {
        "audit.head",
        "audit.jsonl",
        "empty",
        "integrated/customers.parquet",
        "models/current",
        "models/latest",
        "models/v1/manifest.json",
        "quarantine/none.parquet",
        "raw/transactions/a.parquet",
        "registry.db",
        "warehouse.json",
    }


def test_what_names_other_files_is_read_before_them(settings: Settings) -> None:
    found = [str(path) for path in content.files(settings.home)]
    assert found.index("warehouse.json") < found.index("raw/transactions/a.parquet")


def test_nothing_in_the_folder_tells_a_name_an_id_or_a_content(settings: Settings, folder: Path) -> None:
    take(settings, folder)
    for text in (CANARY, "outside_id", "transactions", "parquet", "watermarks", "SQLite", "warehouse", "tester", KEY):
        assert holding(folder, text) == [], text


def test_an_incremental_backup_reads_what_was_written_since_and_names_everything(
    settings: Settings, folder: Path
) -> None:
    first = take(settings, folder)
    assert first.manifest.kind == "full" and first.read == len(first.manifest.files) - 1  # but for the link
    write_rows(settings.home / "raw" / "transactions" / "b.parquet", ["kept-3"])
    (settings.home / "integrated" / "customers.parquet").unlink()
    second = take(settings, folder)
    assert second.manifest.kind == "incremental" and second.read == 1
    assert {each.path for each in second.manifest.files} == {*map(str, content.files(settings.home))}
    assert len(list((folder / "objects").glob("??/*"))) == len(first.manifest.contents() | second.manifest.contents())


def test_a_file_rewritten_at_its_size_and_time_is_read_again(settings: Settings, folder: Path) -> None:
    """A rewrite as the layers make it: a new file renamed into place."""
    path = settings.home / "models" / "current"
    take(settings, folder)
    before = path.stat()
    other = path.with_name("other")
    other.write_text("v2\n")
    os.utime(other, ns=(before.st_mtime_ns, before.st_mtime_ns))
    other.replace(path)
    assert take(settings, folder).read == 1


def test_what_an_open_write_ahead_log_holds_is_in_the_next_backup(settings: Settings, folder: Path) -> None:
    with closing(sqlite3.connect(settings.registry)) as registry:
        registry.execute("pragma journal_mode = wal")
        registry.execute("insert into watermarks values ('rfm', 2)")
        registry.commit()
        take(settings, folder)
        registry.execute("insert into watermarks values ('rfm', 3)")
        registry.commit()
        registry.execute("insert into watermarks values ('rfm', 4)")  # not committed: not in it
        take(settings, folder)
        registry.rollback()
    home = settings.home.parent / "again"
    with restored(placed(settings, home), folder):
        pass
    with closing(sqlite3.connect(home / "registry.db")) as registry:
        assert registry.execute("select max(at) from watermarks").fetchone() == (3,)


def test_full_stores_anew_what_was_damaged_in_the_folder(settings: Settings, folder: Path) -> None:
    take(settings, folder)
    harmed = next((folder / "objects").glob("??/*"))
    harmed.write_bytes(harmed.read_bytes()[:-1])
    take(settings, folder)
    with pytest.raises(StoreError, match=harmed.name):
        verify(settings, folder)
    take(settings, folder, full=True)
    assert verify(settings, folder) > 0


def test_without_a_key_or_by_another_key_nothing_is_done(settings: Settings, folder: Path) -> None:
    with pytest.raises(SettingsError, match=r"no key to encrypt backups by.*MOTHERLODE_BACKUP_KEY"):
        take(Settings(home=settings.home), folder)
    assert not folder.exists()
    take(settings, folder)
    other = Settings(home=settings.home, backup_key="another key that is long enough")
    for act in (lambda: take(other, folder), lambda: listed(other, folder), lambda: verify(other, folder)):
        with pytest.raises(StoreError, match=r"were made by another MOTHERLODE_BACKUP_KEY.*as it was then"):
            act()


def test_a_folder_is_one_homes_and_no_other_things(settings: Settings, folder: Path, tmp_path: Path) -> None:
    take(settings, folder)
    other = Settings(home=tmp_path / "other", backup_key=KEY)
    other.home.mkdir()
    with pytest.raises(StoreError, match="holds backups of another home"):
        take(other, folder)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").touch()
    with pytest.raises(StoreError, match=r"holds something else: me\.jpg"):
        take(settings, tmp_path / "photos")
    for inside in (settings.home / "backups", settings.home.parent):
        with pytest.raises(StoreError, match="lie in one another"):
            take(settings, inside)


def test_a_home_that_is_being_changed_is_not_backed_up(settings: Settings, folder: Path) -> None:
    for lock in ("pipeline", "warehouse"):
        with exclusive(settings, lock), pytest.raises(StoreError, match="is being changed by process"):
            take(settings, folder)


def test_a_backup_is_of_one_moment_whatever_others_do_meanwhile(settings: Settings, folder: Path) -> None:
    """Somebody who holds no lock writes files, names the newest in the state, and clears those before."""
    stop, home = threading.Event(), settings.home

    def change() -> None:
        for number in itertools.count():
            path = f"raw/{number}.parquet"
            (home / path).write_bytes(number.to_bytes(4, "big") * 100_000)
            (home / ".state").write_text(json.dumps({"files": [path]}))
            (home / ".state").replace(home / "warehouse.json")
            (home / "raw" / f"{number - 1}.parquet").unlink(missing_ok=True)
            if stop.wait(0.3):
                return

    other = threading.Thread(target=change)
    other.start()
    try:
        taken = [take(settings, folder).manifest for _ in range(4)]
    finally:
        stop.set()
        other.join()
    for manifest in taken:
        with restored(placed(settings, home.parent / "again"), folder, at=manifest.id, force=True) as made:
            (named,) = json.loads((made.settings.home / "warehouse.json").read_text())["files"]
            assert (made.settings.home / named).is_file()


def test_a_state_that_changed_after_the_look_round_is_looked_at_again(settings: Settings, folder: Path) -> None:
    """It names a file then that the look round had not found."""
    told: list[int] = []

    def change(done: int, size: int) -> None:
        if not told:
            write_rows(settings.home / "raw" / "new.parquet", ["kept-4"])
            (settings.home / "warehouse.json").write_text('{"files": ["raw/new.parquet"]}')
        told.append(done)

    taken = take(settings, folder, advance=change)
    assert "raw/new.parquet" in {each.path for each in taken.manifest.files}
    assert len(told) > len(taken.manifest.files)


def test_a_header_that_was_changed_is_refused(settings: Settings, folder: Path) -> None:
    take(settings, folder, keep_days=35)
    header = folder / "folder.json"
    header.write_text(header.read_text().replace('"keep_days": 35', '"keep_days": 36'))
    with pytest.raises(StoreError, match=r"folder\.json was changed"):
        listed(settings, folder)


def test_backups_older_than_the_folder_keeps_go_with_what_only_they_held_but_never_the_newest(
    settings: Settings, folder: Path
) -> None:
    first = take(settings, folder, keep_days=10).manifest
    (settings.home / "integrated" / "customers.parquet").unlink()
    second = take(settings, folder).manifest
    opened = Folder.open(folder, KEY)
    assert opened.header.keep_days == 10
    assert expire(opened, [first, second], first.at + timedelta(days=10)) == ((), 0)
    gone, freed = expire(opened, [first, second], first.at + timedelta(days=10, seconds=9))
    assert gone == (first.id,) and freed > 0
    assert not any(opened.content(each).exists() for each in first.contents() - second.contents())
    assert expire(opened, [second], second.at + timedelta(days=999)) == ((), 0)
    assert [each.id for each in listed(settings, folder)[1]] == [second.id]
    assert verify(settings, folder) > 0


def test_taking_a_backup_removes_those_that_are_over(settings: Settings, folder: Path) -> None:
    first = take(settings, folder, keep_days=10)
    opened = Folder.open(folder, KEY)
    opened.drop(first.manifest)
    aged = msgspec.structs.replace(first.manifest, at=datetime.now(UTC) - timedelta(days=11))
    opened.enter(aged)
    second = take(settings, folder)
    assert second.expired == (aged.id,)
    assert [each.id for each in listed(settings, folder)[1]] == [second.manifest.id]


def test_beside_a_damaged_backup_a_new_one_is_taken_and_nothing_is_removed(settings: Settings, folder: Path) -> None:
    first = take(settings, folder, keep_days=1)
    manifest = next((folder / "manifests").iterdir())
    manifest.write_bytes(manifest.read_bytes()[:-1])
    stored = set((folder / "objects").glob("??/*"))
    harmed = min(stored)
    harmed.write_bytes(harmed.read_bytes()[:-1])
    second = take(settings, folder)
    assert manifest.name in second.problem and second.expired == ()
    manifest.unlink()
    assert verify(settings, folder) > 0, "the new one holds a content that was damaged before"
    assert stored <= set((folder / "objects").glob("??/*"))
    assert manifest.name == first.manifest.name


def test_a_full_backup_removes_one_that_cannot_be_read_and_any_does_once_it_is_over(
    settings: Settings, folder: Path
) -> None:
    for full in (True, False):
        harmed = folder / "manifests" / take(settings, folder, keep_days=30).manifest.name
        harmed.write_bytes(harmed.read_bytes()[:-1])
        if not full:
            harmed = harmed.rename(harmed.with_name(f"20200101T000000Z-{'0' * 8}.manifest"))
        taken = take(settings, folder, full=full)
        assert (taken.dropped, taken.problem) == ((harmed.name,), "")
        assert verify(settings, folder) > 0, "and nothing is left that it alone held"


def test_the_ledgers_copy_is_filled_by_a_backup_too(settings: Settings, folder: Path) -> None:
    tombstones = [erased(settings, "one")]
    take(settings, folder)
    (known,) = places.known(settings)
    assert known.path == folder
    assert places.told(folder, known.telling) == [], "it is there from the first backup on"
    (settings.home / "erasure" / "tombstones.jsonl").write_bytes(msgspec.json.encode(tombstones[0]) + b"\n")
    take(settings, folder)
    assert places.told(folder, known.telling) == tombstones


def test_a_backup_refuses_a_folder_whose_tombstones_are_lost_and_a_full_one_writes_them_anew(
    settings: Settings, folder: Path
) -> None:
    take(settings, folder)
    Tombstones(settings).add([erased(settings, "one")])
    for harm in (Path.unlink, lambda path: path.write_text("nonsense")):
        harm(folder / "tombstones.jsonl")
        with pytest.raises(StoreError, match=r"tombstones\.jsonl .*--full"):
            take(settings, folder)
        with pytest.raises(StoreError, match=r"tombstones\.jsonl"):
            verify(settings, folder)
        take(settings, folder, full=True)
        assert len(places.told(folder, places.known(settings)[0].telling)) == 1
        assert verify(settings, folder) > 0


def test_a_first_backup_that_was_killed_before_the_folders_own_file_is_begun_anew(
    settings: Settings, folder: Path
) -> None:
    take(settings, folder)
    for path in [each for each in folder.iterdir() if each.name != "tombstones.jsonl"]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert take(settings, folder).manifest.kind == "full"
    assert verify(settings, folder) > 0


def test_a_killed_backup_does_not_count_and_the_next_one_uses_or_removes_what_it_left(
    settings: Settings, folder: Path
) -> None:
    for number in range(16):
        (settings.home / "raw" / f"{number}.parquet").write_bytes(os.urandom(1_000_000))
    for count in (1, 8):
        arguments = [sys.executable, "-c", TAKE, str(settings.home), str(folder), KEY]
        with subprocess.Popen(arguments) as process:
            while process.poll() is None and len(list(folder.glob("objects/??/*"))) <= count:
                time.sleep(0.0005)
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        if (folder / "folder.json").exists():
            assert listed(settings, folder)[1] == []
    stored = {path: path.stat().st_ino for path in folder.glob("objects/??/*")}
    assert stored
    (settings.home / "raw" / "0.parquet").unlink()
    taken = take(settings, folder)
    assert list(folder.rglob(".writing-*")) == []
    assert {path.name for path in folder.glob("objects/??/*")} == {
        Folder.open(folder, KEY).content(each).name for each in taken.manifest.contents()
    }
    kept = [path for path in stored if path.exists()]
    assert kept and all(path.stat().st_ino == stored[path] for path in kept)
    assert verify(settings, folder) > 0


def test_a_full_disk_leaves_the_backups_that_are_there_and_no_half_one(settings: Settings, folder: Path) -> None:
    take(settings, folder)
    before = sorted(path for path in folder.rglob("*") if path.is_file())
    (settings.home / "raw" / "large.parquet").write_bytes(os.urandom(3_000_000))
    ended = subprocess.run(
        [sys.executable, "-c", TAKE, str(settings.home), str(folder), KEY],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1 and f"{folder} cannot be written: File too large" in ended.stderr
    assert sorted(path for path in folder.rglob("*") if path.is_file()) == before
    assert len(listed(settings, folder)[1]) == 1 and verify(settings, folder) > 0


def test_a_home_is_not_changed_by_its_backup(settings: Settings, folder: Path) -> None:
    before = digests(settings.home)
    take(settings, folder)
    after = digests(settings.home)
    assert after.pop("erasure/key") and after == before


def placed(settings: Settings, home: Path) -> Settings:
    return Settings(home=home, backup_key=settings.backup_key)
