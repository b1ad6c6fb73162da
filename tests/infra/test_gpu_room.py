"""Where a GPU is and its libraries are not, the parity suite fails and the whole suite goes on."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRETENCE = """
from motherlode.compute import driver

driver.first_gpu = lambda: driver.Gpu("NVIDIA Test", 80 * 2**30, (9, 0), (13, 0))
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One test of the contract, on a machine whose driver shows a GPU."""
    (folder / "pretence.py").write_text(PRETENCE)
    chosen = ["tests/contract", "-k", "test_both_rooms_export_the_whole_contract"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "pretence", "-p", "no:cacheprovider", *chosen, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(find_spec("cuml") is not None, reason="RAPIDS is installed here")
def test_the_parity_suite_fails_naming_what_is_missing(tmp_path: Path) -> None:
    done = run(tmp_path, "-m", "gpu")
    assert done.returncode == 1, done.stdout
    assert "NVIDIA Test is there, but RAPIDS is not installed" in done.stdout
    assert "1 error" in done.stdout


@pytest.mark.skipif(find_spec("cuml") is not None, reason="RAPIDS is installed here")
def test_the_whole_suite_passes_and_says_what_runs_the_rest(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout
    assert "1 passed, 1 skipped" in done.stdout
    assert "run `make test-gpu`: NVIDIA Test is there" in done.stdout
