"""One lock for two devices: it is whole, it agrees with itself, and it is what is installed here."""

import json
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from scripts import lock

ROOT = Path(__file__).resolve().parents[2]
LOCK = (ROOT / "constraints.txt").read_text()
LOCKED = lock.read(LOCK)


def declared() -> list[Requirement]:
    """Every requirement of pyproject.toml: base, extras and build."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = document["project"]
    lines = [*project["dependencies"], *document["build-system"]["requires"]]
    for extra in project["optional-dependencies"].values():
        lines += extra
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize("requirement", declared(), ids=str)
def test_every_declared_dependency_is_locked_at_a_version_that_it_allows(requirement: Requirement) -> None:
    version = LOCKED.get(lock.normal(requirement.name))
    assert version is not None, "run `make lock`"
    assert requirement.specifier.contains(version, prereleases=True)


def test_what_is_installed_here_is_what_is_locked() -> None:
    installed = {lock.normal(found.name): found.version.partition("+")[0] for found in metadata.distributions()}
    assert {name: version for name, version in installed.items() if LOCKED.get(name, version) != version} == {}


def test_the_lock_is_closed() -> None:
    """Whatever a locked library that is installed here needs is locked too, at a version that it allows."""
    lacking = []
    for found in metadata.distributions():
        if lock.normal(found.name) not in LOCKED:
            continue
        for requirement in map(Requirement, found.requires or ()):
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
                continue
            version = LOCKED.get(lock.normal(requirement.name))
            if version is None or not requirement.specifier.contains(version, prereleases=True):
                lacking.append(f"{found.name} needs {requirement}, locked: {version}")
    assert lacking == []


def test_the_lock_is_sorted_plain_and_names_no_place() -> None:
    lines = [line for line in LOCK.splitlines() if not line.startswith("#")]
    assert len(lines) == len(LOCKED), "a library is locked once"
    assert lines == [f"{name}=={LOCKED[name]}" for name in sorted(LOCKED)]
    assert not any(sign in LOCK for sign in ("://", " @ ", "file:", "--"))
    assert lock.write(LOCKED) == LOCK, "as scripts/lock.py writes it"


def test_both_devices_have_their_libraries_and_the_twins_agree() -> None:
    assert {"cuml-cu13", "cudf-polars-cu13", "onnxruntime-gpu", "triton"} <= LOCKED.keys()
    assert LOCKED["onnxruntime"] == LOCKED["onnxruntime-gpu"]


def test_a_disagreement_between_the_devices_is_refused_by_name() -> None:
    with pytest.raises(lock.LockError, match=r"numpy 2\.4\.6 or 2\.5\.0"):
        lock.merge([{"numpy": "2.4.6", "torch": "2.13.0"}, {"numpy": "2.5.0", "torch": "2.13.0"}])
    with pytest.raises(lock.LockError, match=r"onnxruntime and onnxruntime-gpu 1\.30\.0 or 1\.31\.1"):
        lock.merge([{"onnxruntime-gpu": "1.31.1"}, {"onnxruntime": "1.30.0"}])


def test_the_second_device_is_bound_to_the_first_ones_versions_twins_included() -> None:
    assert lock.twinned({"onnxruntime-gpu": "1.31.1"}) == {"onnxruntime-gpu": "1.31.1", "onnxruntime": "1.31.1"}
    assert lock.twinned({"numpy": "2.4.6"}) == {"numpy": "2.4.6"}


def test_a_freeze_is_read_without_local_suffixes_and_editable_installs() -> None:
    text = "# comment\n-e /some/where\nTorch==2.13.0+cpu\nruamel.yaml==0.19.1  # why\nimportlib_metadata==10.2.0\n"
    assert lock.read(text) == {"torch": "2.13.0", "ruamel-yaml": "0.19.1", "importlib-metadata": "10.2.0"}


def test_the_project_itself_is_not_locked() -> None:
    project = {
        "metadata": {"name": "motherlode", "version": "0.1.0"},
        "download_info": {"dir_info": {}, "url": "file:"},
    }
    library = {"metadata": {"name": "Jinja2", "version": "3.1.6"}, "download_info": {"archive_info": {}, "url": ""}}
    assert lock.reported(json.dumps({"install": [project, library]})) == {"jinja2": "3.1.6"}


def test_bounds_that_cannot_be_kept_are_an_error_with_what_pip_said() -> None:
    """pip itself is asked; nothing needs to be fetched to see that the bound excludes the requirement."""
    with pytest.raises(lock.LockError, match=r"packaging==20\.9 cannot be resolved(.|\n)*conflict"):
        lock.resolve(Path(sys.executable), ("packaging==20.9",), {"packaging": "26.3"})


def test_the_command_says_what_it_can_do() -> None:
    script = [sys.executable, str(ROOT / "scripts" / "lock.py"), "--help"]
    assert "--keep FILE" in subprocess.run(script, capture_output=True, text=True, check=True).stdout
