"""The Makefile, by what it would run (`make -n`): an environment for each device, and the parity suite's choice."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from motherlode.compute import driver

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "Makefile").read_text()
VENVS = {"cpu": ".venv", "gpu": ".venv-gpu"}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clone where nothing is installed yet, in a folder with spaces in its name."""
    folder = tmp_path / "a folder of mine"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    return folder


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not re.fullmatch(r"DEVICE|PYTHON|MAKE.*|MFLAGS", name)}
    return subprocess.run(["make", *arguments], cwd=folder, env=kept, capture_output=True, text=True, check=False)


def planned(folder: Path, *arguments: str) -> str:
    done = make(folder, "-n", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_each_device_is_installed_from_the_lock_into_its_own_environment(checkout: Path, device: str) -> None:
    plan = planned(checkout, "setup", f"DEVICE={device}")
    assert f"python3.11 -m venv {VENVS[device]}\n" in plan
    assert f"-c constraints.txt -e '.[{device},warehouse,train,client,tracing,demo,dev]'\n" in plan
    assert plan.endswith(f"touch {VENVS[device]}/.setup\n")


def test_the_cpu_is_the_device_where_none_is_named(checkout: Path) -> None:
    assert planned(checkout, "setup") == planned(checkout, "setup", "DEVICE=cpu")


def test_a_device_that_does_not_exist_is_refused_by_name(checkout: Path) -> None:
    done = make(checkout, "-n", "setup", "DEVICE=tpu")
    assert done.returncode != 0
    assert "DEVICE is 'tpu'; use cpu or gpu" in done.stderr


def test_what_is_set_up_is_not_set_up_again_for_that_device_alone(checkout: Path) -> None:
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / ".setup").touch()
    assert planned(checkout, "test") == ".venv/bin/python -m pytest -q -n 2\n"
    assert "pip install" in planned(checkout, "test", "DEVICE=gpu")


def test_the_demo_runs_on_the_device_that_is_named_or_fails(checkout: Path) -> None:
    assert planned(checkout, "demo").endswith("\n.venv/bin/motherlode demo --serve\n")
    assert planned(checkout, "demo", "DEVICE=gpu").endswith("\n.venv-gpu/bin/motherlode demo --serve --device gpu\n")


@pytest.mark.parametrize(("answer", "device"), [("true", "gpu"), ("false", "cpu")])
def test_the_parity_suite_runs_in_the_environment_of_what_the_machine_has(
    checkout: Path, answer: str, device: str
) -> None:
    """`true` and `false` stand for a Python that finds a GPU and for one that does not."""
    plan = planned(checkout, "test-gpu", f"PYTHON={answer}")
    assert f".[{device},warehouse,train,client,tracing,demo,dev]" in plan
    assert plan.endswith(f"\n{VENVS[device]}/bin/python -m pytest -q -m gpu tests/gpu tests/contract\n")


def test_the_gpu_is_asked_for_as_the_code_asks() -> None:
    question = re.search(r"^HAS_GPU := \$\(PYTHON\) -c '(.+)'", TEXT, flags=re.MULTILINE)
    assert question is not None
    assert f'ctypes.CDLL("{driver.LIBRARY}").cuInit(0)' in question[1]
    compile(question[1], "HAS_GPU", "exec")


def test_clean_and_git_know_both_environments(checkout: Path) -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    for folder in VENVS.values():
        assert f"{folder}/" in ignored
        assert folder in planned(checkout, "clean").split()


def test_help_lists_every_command_that_people_type(checkout: Path) -> None:
    phony = re.search(r"^\.PHONY: (.+)$", TEXT, flags=re.MULTILINE)
    assert phony is not None
    told = make(checkout, "help").stdout
    assert set(re.findall(r"^  make ([a-z-]+) ", told, flags=re.MULTILINE)) == set(phony[1].split()) - {"parity"}
    assert "DEVICE=gpu" in told
