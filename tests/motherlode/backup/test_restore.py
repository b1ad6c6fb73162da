"""The restore drill: to each point in time, every file as it was, and nobody back who was erased."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from motherlode import audit
from motherlode.backup import places
from motherlode.backup.restore import listed, restored, verify
from motherlode.backup.take import Taken, take
from motherlode.errors import StoreError
from motherlode.lock import exclusive
from motherlode.online.tombstones import Tombstones
from motherlode.redis_server import running
from motherlode.settings import Settings
from tests.motherlode.backup.example import CANARY, KEY, digests, erased, holding, reapply, write_rows

RESTORE = (
    "import sys; from pathlib import Path; from motherlode.settings import Settings; from motherlode.backup.restore "
    "import restored\n"
    "with restored(Settings(home=Path(sys.argv[1]), backup_key=sys.argv[3]), Path(sys.argv[2])): print('made')"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture
def new(tmp_path: Path) -> Settings:
    """Where a home is to be restored."""
    return Settings(home=tmp_path / "new place" / ".motherlode", backup_key=KEY)


def restore(settings: Settings, folder: Path, at: str = "", *, force: bool = False) -> Path:
    """Restore and erase again, as the command does."""
    with restored(settings, folder, at=at, force=force) as made:
        reapply(made.settings)
    return settings.home


def changed_twice(settings: Settings, folder: Path) -> list[tuple[Taken, dict[str, str]]]:
    """A full backup and two incremental ones, each with the digests of the home that it is of."""
    found = []
    for number in range(3):
        write_rows(settings.home / "raw" / "transactions" / f"{number}.parquet", [f"kept-{number}", CANARY])
        (settings.home / "integrated" / "customers.parquet").unlink(missing_ok=number > 0)
        audit.record(settings, "load", f"{number}")
        found.append((take(settings, folder), digests(settings.home)))
    return found


def test_every_backup_is_restored_to_the_last_byte_by_id_and_by_time(
    settings: Settings, new: Settings, folder: Path
) -> None:
    backups = changed_twice(settings, folder)
    mode = settings.home.stat().st_mode
    shutil.rmtree(settings.home)
    for number, (taken, wanted) in enumerate(backups):
        for at in (taken.manifest.id[:6], taken.manifest.at.isoformat()):
            with restored(new, folder, at=at, force=True) as made:
                assert made.manifest.id == taken.manifest.id
            assert digests(new.home) == wanted
            assert (new.home / "models" / "latest").readlink() == Path("v1")
            assert (new.home / "erasure" / "key").stat().st_mode & 0o777 == 0o600
            assert new.home.stat().st_mode == mode
            assert audit.verify(new) == 2 + number
            assert [path.name for path in new.home.parent.iterdir()] == [new.home.name]
    assert len({wanted["audit.jsonl"] for _, wanted in backups}) == 3


def test_who_was_erased_since_does_not_come_back_from_any_backup(
    settings: Settings, new: Settings, folder: Path
) -> None:
    backups = changed_twice(settings, folder)
    tombstone = erased(settings, CANARY)
    Tombstones(settings).add([tombstone])
    for known in places.known(settings):
        places.tell(known.path, known.telling, [tombstone])
    shutil.rmtree(settings.home)
    for taken, _ in backups:
        with restored(new, folder, at=taken.manifest.id, force=True) as made:
            assert (made.erased, made.later) == (1, 1)
            assert holding(made.settings.home, CANARY), "the drill would prove nothing"
            reapply(made.settings)
        assert holding(new.home, CANARY) == []
        assert "kept-0" in pl.read_parquet(new.home / "raw" / "transactions" / "0.parquet")["outside_id"].to_list()
        assert Tombstones(new).has("outside", CANARY)


def test_where_the_tombstones_are_lost_nothing_is_restored_unless_that_is_asked_for(
    settings: Settings, new: Settings, folder: Path
) -> None:
    first = take(settings, folder)
    Tombstones(settings).add([erased(settings, CANARY)])
    take(settings, folder)
    shutil.rmtree(settings.home)
    for harm in (lambda path: path.write_text("nonsense"), Path.unlink):
        harm(folder / "tombstones.jsonl")
        with pytest.raises(StoreError, match=r"tombstones\.jsonl .*--without-tombstones"):
            restore(new, folder)
        assert not new.home.exists()
    with restored(new, folder, at=first.manifest.id, without_tombstones=True) as made:
        assert made.erased == 1, "the newest backup's ledger tells"
        reapply(made.settings)
    assert holding(new.home, CANARY) == []


def test_a_backup_is_restored_beside_a_damaged_one_which_is_told_of(
    settings: Settings, new: Settings, folder: Path
) -> None:
    (old, _), (middle, wanted), (newest, _) = changed_twice(settings, folder)
    for each in (old, newest):
        harmed = folder / "manifests" / each.manifest.name
        content = bytearray(harmed.read_bytes())
        content[len(content) // 2] ^= 1
        harmed.write_bytes(content)
    with restored(new, folder) as made:
        assert made.manifest.id == middle.manifest.id
        assert sorted(each.manifest.name in " ".join(made.damaged) for each in (old, middle, newest)) == [
            False,
            True,
            True,
        ]
    assert digests(new.home) == wanted
    _, sound, problems = listed(settings, folder)
    assert [each.id for each in sound] == [middle.manifest.id] and len(problems) == 2
    with pytest.raises(StoreError, match=r"\.manifest was changed or cut short"):
        verify(settings, folder)
    with pytest.raises(StoreError, match=r"neither the id of a backup.*motherlode backup FOLDER --list"):
        restore(Settings(home=new.home.with_name("other"), backup_key=KEY), folder, newest.manifest.id)


def test_an_erasure_of_the_home_that_is_replaced_counts_too(settings: Settings, folder: Path) -> None:
    take(settings, folder)
    Tombstones(settings).add([erased(settings, CANARY)])
    assert holding(restore(settings, folder, force=True), CANARY) == []


def test_a_home_counts_only_once_nobody_is_back(settings: Settings, new: Settings, folder: Path) -> None:
    take(settings, folder)
    before = digests(settings.home)
    for home in (new, settings):
        with pytest.raises(RuntimeError), restored(home, folder, force=True) as made:
            assert made.settings.home != home.home and (made.settings.home / "RESTORING").exists()
            raise RuntimeError("erasing again failed")
    assert not new.home.exists() and digests(settings.home) == before
    assert list(new.home.parent.iterdir()) == []


def test_tombstones_told_by_another_key_are_refused(settings: Settings, new: Settings, folder: Path) -> None:
    take(settings, folder)
    other = Settings(home=new.home, backup_key=KEY, erasure_key="another key of tombstones")
    with pytest.raises(StoreError, match=r"key of the tombstones.*MOTHERLODE_ERASURE_KEY"):
        restore(other, folder)
    assert not new.home.exists()


def test_a_flipped_byte_anywhere_is_refused_by_name_and_nothing_is_restored(
    settings: Settings, new: Settings, folder: Path
) -> None:
    take(settings, folder)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 10
    for number, path in enumerate(files):
        content = path.read_bytes()
        harmed = bytearray(content)
        harmed[(0, len(content) // 2, len(content) - 1)[number % 3]] ^= 0x10
        path.write_bytes(harmed)
        for act in (restore, verify):
            with pytest.raises(StoreError) as error:
                act(new, folder)
            assert path.name in str(error.value) or path.name == "folder.json"
        assert not new.home.exists() and list(new.home.parent.glob("*")) == []
        path.write_bytes(content)
    assert restore(new, folder).is_dir()


def test_a_missing_content_is_refused_by_name(settings: Settings, new: Settings, folder: Path) -> None:
    take(settings, folder)
    gone = next((folder / "objects").glob("??/*"))
    gone.unlink()
    with pytest.raises(StoreError, match=gone.name):
        restore(new, folder)
    assert not new.home.exists()


def test_contents_that_changed_names_are_refused(settings: Settings, new: Settings, folder: Path) -> None:
    take(settings, folder)
    one, two, *_ = (folder / "objects").glob("??/*")
    held = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(held)
    with pytest.raises(StoreError, match=r"is not what .* was"):
        restore(new, folder)


def test_what_lies_in_the_way_stays_unless_forced(settings: Settings, new: Settings, folder: Path) -> None:
    take(settings, folder)
    wanted = digests(settings.home)
    new.home.mkdir(parents=True)
    assert digests(restore(new, folder)) == wanted  # an empty folder is in nobody's way
    (new.home / "mine").touch()
    with pytest.raises(StoreError, match=r"is not empty.*--force"):
        restore(new, folder)
    assert (new.home / "mine").exists()
    assert digests(restore(new, folder, force=True)) == wanted


def test_no_folder_but_a_home_is_replaced_and_never_the_backups_own(
    settings: Settings, new: Settings, folder: Path
) -> None:
    take(settings, folder)
    photo = new.home / "photos" / "me.jpg"
    photo.parent.mkdir(parents=True)
    photo.touch()
    with pytest.raises(StoreError, match="is no home of Motherlode's"):
        restore(new, folder, force=True)
    assert photo.exists()
    for home in (folder.parent, folder, folder / "home"):
        with pytest.raises(StoreError, match="lie in one another"):
            restore(Settings(home=home, backup_key=KEY), folder, force=True)
    assert verify(settings, folder) > 0


def test_a_home_in_use_is_not_replaced(settings: Settings, folder: Path) -> None:
    take(settings, folder)
    with exclusive(settings), pytest.raises(StoreError, match="is being changed by process"):
        restore(settings, folder, force=True)
    shutil.rmtree(settings.valkey)
    with running(settings), pytest.raises(StoreError, match=r"embedded Valkey of .* is in use"):
        restore(settings, folder, force=True)
    assert (settings.home / "warehouse.json").exists()


def test_a_backup_that_is_not_there_is_said_with_those_that_are(
    settings: Settings, new: Settings, folder: Path
) -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        restore(new, folder)
    folder.mkdir()
    with pytest.raises(StoreError, match="There is no backup in"):
        restore(new, folder)
    taken = take(settings, folder)
    early = (taken.manifest.at - timedelta(seconds=1)).isoformat()
    for at, said in (
        (early, "There is no backup of .* or before"),
        ("yesterday", "neither the id of a backup that can be"),
    ):
        with pytest.raises(StoreError, match=said):
            restore(new, folder, at)


def test_a_killed_restore_leaves_no_home_and_the_next_one_is_whole(
    settings: Settings, new: Settings, folder: Path
) -> None:
    for number in range(20):
        (settings.home / "raw" / f"{number}.bin").write_bytes(os.urandom(1_000_000))
    take(settings, folder)
    beside = new.home.with_name(f".{new.home.name}.restoring")
    for count in (1, 10):
        arguments = [sys.executable, "-c", RESTORE, str(new.home), str(folder), KEY]
        with subprocess.Popen(arguments) as process:
            while process.poll() is None and _files(beside / "raw") <= count:
                time.sleep(0.0005)
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        assert not new.home.exists() and beside.is_dir()
    with restored(new, folder):
        pass
    assert digests(new.home) == digests(settings.home)
    assert [path.name for path in new.home.parent.iterdir()] == [new.home.name]


def _files(folder: Path) -> int:
    """How many files a folder has; it may go at any moment, as the next restore clears what the killed one left."""
    try:
        return sum(1 for _ in folder.iterdir())
    except FileNotFoundError:
        return 0


def test_a_full_disk_leaves_nothing(settings: Settings, new: Settings, folder: Path) -> None:
    (settings.home / "raw" / "large.bin").write_bytes(os.urandom(3_000_000))
    take(settings, folder)
    ended = subprocess.run(
        [sys.executable, "-c", RESTORE, str(new.home), str(folder), KEY],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1 and "cannot be restored" in ended.stderr and "File too large" in ended.stderr
    assert list(new.home.parent.iterdir()) == []
