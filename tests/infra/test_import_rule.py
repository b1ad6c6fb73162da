"""The import rule can fail: for every contract, imports that break it, one at a time, in a copy of the code."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINTER: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
CONTRACTS = [contract["name"] for contract in LINTER["contracts"]]

DOWN = "Imports point down: cli, training, feature_repo, the ground floor"
SERVING = "Serving stands on the ground floor alone"
GROUND = "The ground floor knows no room above it"
APART = "Nobody imports the front door; training and serving do not know each other"
LAYERS = (
    "Inside feature_repo: freshness, store, definitions, declared, erasure, live, distributed, stores, mart, features, "
    "warehouse"
)
NO_FEAST = "The warehouse and the features know no Feast"
VIEW = "A view reads and writes nothing: Polars and the names alone"
JOIN = "The point-in-time join imports Polars alone"
OPENS = "In training only the pipeline and the batch open feature_repo"
RUNS = "The front door alone runs the pipeline and the batch"
REPORT = "The report loads no model library"
FEAST = "Feast lives in feature_repo"
TORCH = "PyTorch lives in training.two_tower"
HTTP = "HTTP lives in serving's front, http, telling, docs and problems"
RAY = "Ray lives in serving.app and feature_repo.distributed"
RAPIDS = "RAPIDS lives in motherlode.compute.gpu"
READERS = "A reader's library lives behind its own module"

BREAKS = (
    (DOWN, "feature_repo/store.py", "training.result"),
    (DOWN, "feature_repo/warehouse/clean.py", "training.result"),
    (SERVING, "serving/scoring.py", "pyarrow"),
    (SERVING, "serving/features.py", "feature_repo.warehouse"),
    (SERVING, "motherlode/runtime.py", "sklearn"),
    (GROUND, "motherlode/packed.py", "feature_repo.stores.dtypes"),
    (GROUND, "motherlode/compute/device.py", "torch"),
    (APART, "training/publish.py", "serving.problems"),
    (APART, "training/pipeline.py", "motherlode.cli.stages"),
    (LAYERS, "feature_repo/warehouse/clean.py", "feature_repo.features"),
    (LAYERS, "feature_repo/features/rfm.py", "feature_repo.mart.manifest"),
    (LAYERS, "feature_repo/mart/manifest.py", "feature_repo.stores.join"),
    (LAYERS, "feature_repo/mart/changes.py", "feature_repo.distributed"),
    (LAYERS, "feature_repo/stores/rows.py", "feature_repo.store"),
    (NO_FEAST, "feature_repo/features/rfm.py", "feast"),
    (NO_FEAST, "feature_repo/warehouse/clean.py", "feast"),
    (NO_FEAST, "feature_repo/mart/manifest.py", "feast"),
    (VIEW, "feature_repo/features/rfm.py", "pyarrow"),
    (VIEW, "feature_repo/features/frames.py", "feature_repo.warehouse.tables"),
    (JOIN, "feature_repo/stores/join.py", "feast"),
    (JOIN, "feature_repo/stores/join.py", "feature_repo.stores.arrow"),
    (JOIN, "feature_repo/stores/join.py", "feature_repo.features.catalogue"),
    (OPENS, "training/two_tower/data.py", "feature_repo.store"),
    (OPENS, "training/segments.py", "feature_repo.warehouse.tables"),
    (RUNS, "training/two_tower/fit.py", "training.pipeline"),
    (REPORT, "training/report/charts.py", "sklearn"),
    (FEAST, "training/batch.py", "feast"),
    (TORCH, "feature_repo/store.py", "torch"),
    (TORCH, "training/segments.py", "torch"),
    (HTTP, "serving/scoring.py", "litestar"),
    (HTTP, "motherlode/cli/serve.py", "uvicorn"),
    (RAY, "serving/engine.py", "ray"),
    (RAY, "feature_repo/mart/manifest.py", "ray"),
    (RAPIDS, "motherlode/compute/cpu.py", "cupy"),
    (READERS, "feature_repo/warehouse/clean.py", "duckdb"),
    (READERS, "feature_repo/warehouse/raw.py", "pyiceberg"),
    (READERS, "feature_repo/features/catalogue.py", "yaml"),
    (READERS, "motherlode/audit.py", "cryptography"),
)


def linted(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"]
    wide = {**os.environ, "COLUMNS": "400"}  # else a contract's long name is broken over two lines
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=wide)


def checked(folder: Path) -> dict[str, str]:
    """What lint-imports says of the packages in `folder`: contract → KEPT or BROKEN."""
    done = linted(folder)
    said = dict(re.findall(r"^(.+) (KEPT|BROKEN)(?: \(.+\))?$", done.stdout, flags=re.MULTILINE))
    assert list(said) == CONTRACTS, done.stdout + done.stderr
    assert done.returncode == ("BROKEN" in said.values())
    return said


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The packages and the contracts, to be changed."""
    for package in LINTER["root_packages"]:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_as_it_stands_every_contract_is_kept(copy: Path) -> None:
    assert checked(copy) == dict.fromkeys(CONTRACTS, "KEPT")


@pytest.mark.parametrize(("contract", "file", "module"), BREAKS, ids=str)
def test_an_import_that_is_not_allowed_breaks_the_contract_that_forbids_it(
    copy: Path, contract: str, file: str, module: str
) -> None:
    with (copy / file).open("a") as code:
        code.write(f"import {module}\n")
    assert checked(copy)[contract] == "BROKEN"


def test_no_contract_is_without_an_import_that_breaks_it() -> None:
    assert {contract for contract, _, _ in BREAKS} == set(CONTRACTS)


def test_a_new_module_of_feature_repo_must_take_its_layer(copy: Path) -> None:
    (copy / "feature_repo" / "cupboard.py").write_text('"""A module that no layer names."""\n')
    done = linted(copy)
    assert done.returncode != 0
    assert "feature_repo.cupboard" in done.stdout


def test_every_module_of_the_ground_floor_is_held_to_its_contract() -> None:
    held = set(next(each for each in LINTER["contracts"] if each["name"] == GROUND)["source_modules"])
    floor = {path.stem for path in (ROOT / "motherlode").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert {f"motherlode.{name}" for name in floor - {"__init__", "__pycache__", "cli"}} == held
