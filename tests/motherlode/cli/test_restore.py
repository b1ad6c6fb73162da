"""`motherlode restore` on a real warehouse: the state as it was, and nobody back who was erased since."""

import shutil
from pathlib import Path

import msgspec
import polars as pl
import pytest

from feature_repo.erasure import job
from feature_repo.warehouse import pipeline, state, tables
from feature_repo.warehouse.mapping.read import read
from motherlode import audit
from motherlode.backup.take import take
from motherlode.cli.main import main
from motherlode.settings import Settings

KEY = "a key of backups that is long enough"
CANARY = "household-4711-canary"


class Baker:
    """A company of one table, loaded into its home; a folder of backups beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = Settings(home=folder / "a home", backup_key=KEY, mapping=folder / "motherlode.yaml")
        self.backups = folder / "backups"
        blocks = {
            "company": "Baker",
            "privacy": {"pseudonym": "none"},
            "sources": {"sales": {"files": "sales*.csv"}},
            "tables": {
                "transactions": {
                    "from": "sales",
                    "columns": {"customer_id": "who", "item_id": "what", "event_timestamp": "at", "amount": "paid"},
                }
            },
        }
        (folder / "motherlode.yaml").write_bytes(msgspec.json.encode(blocks))

    def load(self, day: int) -> None:
        lines = [f"{who},bread,{day},2025-03-{day:02d}T08:00:00" for who in (CANARY, "kept-1", "kept-2")]
        (self.folder / f"sales{day}.csv").write_text("\n".join(["who,what,paid,at", *lines]) + "\n")
        pipeline.load(self.settings, read(self.folder))

    @property
    def customers(self) -> list[str]:
        found = tables.scan(self.settings, "transactions").select(pl.col("customer_id").unique().sort()).collect()
        return found["customer_id"].to_list()

    def holding(self, text: str) -> list[Path]:
        found = (path for path in self.settings.home.rglob("*") if path.is_file())
        return [path for path in found if text.encode() in path.read_bytes() or text in path.name]


@pytest.fixture
def baker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Baker:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("MOTHERLODE_BACKUP_KEY", KEY)
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    return Baker(tmp_path)


def run(capsys: pytest.CaptureFixture[str], baker: Baker, *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as left:
        main(["restore", str(baker.backups), *arguments, "--home", str(baker.settings.home)])
    printed = capsys.readouterr()
    assert isinstance(left.value.code, int)
    return left.value.code, printed.out + printed.err


def test_the_drill_full_incremental_erased_destroyed_restored_to_each_time(
    baker: Baker, capsys: pytest.CaptureFixture[str]
) -> None:
    taken, states = [], []
    for day in (1, 2):
        baker.load(day)
        taken.append(take(baker.settings, baker.backups).manifest)
        states.append(state.read(baker.settings))
    assert [each.kind for each in taken] == ["full", "incremental"]
    job.erase(baker.settings, [CANARY])
    assert baker.customers == ["kept-1", "kept-2"]
    for manifest, wanted in zip(taken, states, strict=True):
        shutil.rmtree(baker.settings.home)
        code, said = run(capsys, baker, "--at", manifest.id)
        assert code == 0, said
        assert f"backup {manifest.id}" in said and "erased customers were taken out" in said
        assert baker.customers == ["kept-1", "kept-2"]
        assert baker.holding(CANARY) == []
        assert [each.name for each in state.read(baker.settings).raw] == [each.name for each in wanted.raw]
        assert audit.read(baker.settings)[-1].action == "restore"
        # And a load of the source that still names the customer does not bring it back.
        baker.load(3)
        assert baker.customers == ["kept-1", "kept-2"] and baker.holding(CANARY) == []
        (baker.folder / "sales3.csv").unlink()


def test_a_backup_without_erasures_is_restored_and_goes_on(baker: Baker, capsys: pytest.CaptureFixture[str]) -> None:
    baker.load(1)
    take(baker.settings, baker.backups)
    shutil.rmtree(baker.settings.home)
    code, said = run(capsys, baker)
    assert code == 0 and "motherlode materialize" in said and "erased customers" not in said
    assert baker.customers == [CANARY, "kept-1", "kept-2"]
    baker.load(2)
    again = take(baker.settings, baker.backups)
    assert again.manifest.kind == "incremental"
    code, said = run(capsys, baker)
    assert code == 1 and "is not empty" in said and "--force" in said


def test_lost_tombstones_and_damaged_backups_are_told_and_the_remedies_work(
    baker: Baker, capsys: pytest.CaptureFixture[str]
) -> None:
    baker.load(1)
    first = take(baker.settings, baker.backups).manifest
    take(baker.settings, baker.backups)
    harmed = baker.backups / "manifests" / first.name
    harmed.write_bytes(harmed.read_bytes()[:-1])
    (baker.backups / "tombstones.jsonl").unlink()
    shutil.rmtree(baker.settings.home)
    code, said = run(capsys, baker)
    assert code == 1 and "tombstones.jsonl is missing" in said and "--without-tombstones" in said
    code, said = run(capsys, baker, "--without-tombstones")
    assert code == 0 and f"Another backup cannot be read: {harmed} was changed" in said
    with pytest.raises(SystemExit) as left:
        main(["backup", str(baker.backups), "--full", "--home", str(baker.settings.home)])
    assert left.value.code == 0 and f"{first.name} could not be read, and was removed" in capsys.readouterr().out
    code, said = run(capsys, baker, "--force")
    assert code == 0 and "cannot be read" not in said
