"""One lock for two devices: it is whole, it agrees with itself, and it is what is installed here."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from scripts import lock

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
LOCK = (ROOT / "constraints.txt").read_text()
LOCKED = lock.read(LOCK)


def declared() -> list[Requirement]:
    """Every requirement of pyproject.toml: base, extras and build."""
    project = PROJECT["project"]
    lines = [*project["dependencies"], *PROJECT["build-system"]["requires"]]
    for extra in project["optional-dependencies"].values():
        lines += extra
    return [Requirement(line) for line in lines]


def declared_for(*extras: str) -> set[str]:
    """The distributions that the base and these extras ask for themselves."""
    project = PROJECT["project"]
    lines = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    return {lock.normal(Requirement(line).name) for line in lines}


def third_party(package: str) -> set[str]:
    """The top-level names that a package of ours imports and that are neither ours nor the standard library's."""
    found = set()
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found.add(node.module or "")
    return {name.partition(".")[0] for name in found} - sys.stdlib_module_names - set(PACKAGES)


def distributions() -> dict[str, set[str]]:
    """Top-level name → the distributions that bring it, here; RAPIDS' as they are named where they are not."""
    gpu = {re.sub(r"-cu\d+$", "", name).replace("-", "_"): {name} for name in declared_for("gpu")}
    here = metadata.packages_distributions()
    return gpu | {name: {lock.normal(each) for each in brought} for name, brought in here.items()}


# Serving's image has the base and the device's extra; motherlode starts the demo's Valkey where it is installed.
@pytest.mark.parametrize(
    ("package", "extras"),
    [
        ("serving", ("cpu", "tracing")),
        ("motherlode", ("cpu", "gpu", "warehouse", "train", "client", "demo")),
        ("feature_repo", ("cpu", "warehouse", "train", "demo")),
        ("training", ("cpu", "train")),
    ],
)
def test_what_is_imported_is_declared_and_not_had_by_way_of_another_library(
    package: str, extras: tuple[str, ...]
) -> None:
    imported, known, allowed = third_party(package), distributions(), declared_for(*extras)
    assert imported, "the code was read"
    assert {name for name in imported if not known.get(name, set()) & allowed} == set()


def test_every_package_is_held_to_what_it_declares() -> None:
    assert set(PACKAGES) == {"serving", "motherlode", "feature_repo", "training"}


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
