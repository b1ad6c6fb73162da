"""`motherlode upgrade`, as people call it: what it says, and when it does nothing."""

import json
from pathlib import Path

import pytest

from feature_repo.warehouse import demo
from motherlode import bundles
from motherlode.bundle import sha256
from motherlode.cli import main
from motherlode.cli import upgrade as command
from motherlode.manifest import MANIFEST
from motherlode.settings import Settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("REDIS_URL", "MOTHERLODE_HOME", "MOTHERLODE_MAPPING", "MOTHERLODE_PSEUDONYM_KEY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("COLUMNS", "300")
    return tmp_path / "a home"


@pytest.fixture
def old_home(home: Path) -> Path:
    """What a first landing of layout 1 left: raw, and nothing built from it yet."""
    settings = Settings(home=home)
    settings.raw.mkdir(parents=True)
    sources = demo._sources()
    kept = demo._households(sources, 100)
    for name, path in sources.items():
        demo._copy(path, settings.raw / f"{name}.parquet", kept)
    record = {
        "shift_weeks": 374,
        "source_sha256": {},
        "raw_sha256": {name: sha256(settings.raw / f"{name}.parquet") for name in sources},
        "landed_at": "2025-03-04T05:06:07Z",
        "last_day": "2025-03-03",
        "households": 100,
    }
    (settings.raw / "landing.json").write_text(json.dumps(record))
    return home


def run(home: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--home", str(home)])
    assert isinstance(stop.value.code, int)
    shown = capsys.readouterr()
    return stop.value.code, shown.out, shown.err


def contents(home: Path) -> dict[str, bytes]:
    return {path.relative_to(home).as_posix(): path.read_bytes() for path in home.rglob("*") if path.is_file()}


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(
    old_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(old_home)
    code, said, _ = run(old_home, capsys, "upgrade", "--dry-run")
    assert code == 0
    assert "374 weeks" in said
    assert "7 files of layout 1" in said
    assert contents(old_home) == before


@pytest.mark.parametrize("other", ["features", "ingest"])
def test_other_commands_name_it(old_home: Path, other: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(old_home).keys()
    code, _, said = run(old_home, capsys, other)
    assert code == 1
    assert "motherlode upgrade" in said
    assert contents(old_home).keys() <= before | {"pipeline.lock", "warehouse.lock"}


def test_it_upgrades_once_and_then_has_nothing_to_do(old_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said, _ = run(old_home, capsys, "upgrade")
    assert code == 0
    assert "No bundle was published." in said
    assert "56,411" in said
    after = contents(old_home)
    code, said, _ = run(old_home, capsys, "upgrade")
    assert (code, contents(old_home)) == (0, after)
    assert "nothing to upgrade" in said


def test_without_a_state_it_says_so(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, said = run(home, capsys, "upgrade")
    assert code == 1
    assert "There is no state" in said


def test_a_bundle_that_cannot_be_read_is_told_and_left_alone(home: Path) -> None:
    settings = Settings(home=home)
    folder = settings.models / "20250304T050607Z"
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text("{}")
    (settings.models / bundles.CURRENT).write_text(folder.name)
    assert "cannot go on serving" in command._bundle(settings)
    assert (folder / MANIFEST).read_text() == "{}"
