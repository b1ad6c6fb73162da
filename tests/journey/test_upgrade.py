"""A home of version 0.1 with all that it holds: layers, registry, online rows and a bundle that serves."""

import io
import json
import os
import shutil
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import msgspec
import polars as pl
import pytest

from feature_repo.warehouse import demo, state, tables
from motherlode import bundles
from motherlode.bundle import sha256
from motherlode.cli.main import main
from motherlode.settings import Settings

HOUSEHOLDS = 200


def layout_1(home: Path) -> None:
    """Put the warehouse as version 0.1 (commit dd0d7fe) had it in the place of today's; leave all else as it is.

    The mart, the registry, the online store and the bundle are of the same format in both.
    """
    settings = Settings(home=home)
    now = state.read(settings)
    raw = {landed.source: home / landed.path for landed in now.raw if landed.status == "active"}
    integrated = {name: table.collect() for name, table in tables.scan_all(settings).items() if name in now.integrated}
    (home / "kept").mkdir()
    for name, path in raw.items():
        shutil.copyfile(path, home / "kept" / f"{name}.parquet")
    for layer in ("raw", "clean", "quarantine", "integrated", "lineage", "quality", "demo"):
        shutil.rmtree(home / layer, ignore_errors=True)
    for file in (state.STATE, "audit.jsonl", "audit.head"):
        (home / file).unlink(missing_ok=True)
    (home / "kept").rename(settings.raw)
    for folder in (settings.clean, settings.quarantine, settings.integrated):
        folder.mkdir()
        for name, rows in integrated.items():
            rows.write_parquet(folder / f"{name}.parquet")
    pl.DataFrame({"line": []}).write_parquet(settings.clean / "merged.parquet")
    landing = {
        "shift_weeks": now.shift_weeks,
        "source_sha256": {name: sha256(path) for name, path in demo._sources().items()},
        "raw_sha256": {name: sha256(settings.raw / f"{name}.parquet") for name in raw},
        "landed_at": now.raw[0].landed_at,
        "last_day": "2026-01-01",
        "households": HOUSEHOLDS,
    }
    (settings.raw / "landing.json").write_bytes(msgspec.json.encode(landing))
    lineage = {
        "inputs": "0" * 64,
        "built_at": "2026-01-01T00:00:00+00:00",
        "seconds": 1.0,
        "tables": [{"table": name, "integrated": len(rows), "landed": len(rows)} for name, rows in integrated.items()],
        "files": {},
    }
    (settings.integrated / "lineage.json").write_bytes(msgspec.json.encode(lineage))


def said(folder: Path, environment: dict[str, str], *command: str) -> str:
    """What a command prints that ends at once, run in this process: starting one takes seconds."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed), redirect_stderr(printed):
        patch.chdir(folder)
        patch.setattr(os, "environ", environment)
        with pytest.raises(SystemExit):
            main(command)
    return printed.getvalue()


@pytest.mark.timeout(900)  # the whole job twice: minutes, on a busy machine many
def test_an_upgraded_home_serves_the_same_answers(
    folder: Path, environment: dict[str, str], shell: Callable[[str], str]
) -> None:
    shell("motherlode demo")  # what the journeys before left is reused
    shell("motherlode score --out before.parquet")
    home = folder / "an old home"
    shutil.copytree(folder / ".motherlode", home, ignore=shutil.ignore_patterns("*.sock", "*.lock", "run"))
    rows = len(tables.scan(Settings(home=home), "transactions").collect())
    layout_1(home)
    at_home = "--home 'an old home'"
    for command in ("status", "train", "materialize", "score --out x.parquet", "features"):
        answer = said(folder, environment, *command.split(), "--home", home.name)
        assert "motherlode upgrade" in answer, (command, answer)
    planned = shell(f"motherlode upgrade --dry-run {at_home}")
    assert "Nothing was done" in planned
    told = shell(f"motherlode upgrade {at_home}")
    assert "is verified and goes on serving" in told, told
    settings = Settings(home=home)
    assert len(tables.scan(settings, "transactions").collect()) == rows
    assert not (settings.raw / "landing.json").exists()
    assert json.loads((home / state.STATE).read_bytes())["version"] == state.VERSION
    shell(f"motherlode score --out after.parquet {at_home}")
    drop = ["event_timestamp"]
    before, after = (pl.read_parquet(folder / f"{name}.parquet").drop(drop) for name in ("before", "after"))
    assert after.equals(before), "the same customers, segments and scores"
    assert bundles.current(settings.models).name == bundles.current(folder / ".motherlode" / "models").name
    online = [line for line in shell(f"motherlode status {at_home}").splitlines() if line.split()[:1] == ["rfm"]]
    assert " 200 " in online[0], "every customer's row is online"
