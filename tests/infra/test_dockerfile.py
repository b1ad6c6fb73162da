"""The Dockerfile, as far as it can be held to account without a container engine."""

import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from motherlode.cli.main import COMMANDS
from motherlode.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "Dockerfile").read_text()
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


def stages() -> dict[str, str]:
    """Stage → its instructions, line continuations joined, comments gone."""
    lines = "\n".join(line for line in TEXT.splitlines() if not line.lstrip().startswith("#"))
    parts = re.split(r"^FROM +(\S+) +AS +(\S+)$", lines.replace("\\\n", " "), flags=re.MULTILINE)
    return {parts[place + 1]: f"FROM {parts[place]}\n{parts[place + 2]}" for place in range(1, len(parts), 3)}


STAGES = stages()


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_every_stage_rests_on_one_that_is_there() -> None:
    """`docker build --target` finds serving and training, on either device."""
    assert {"serving", "training", "base-cpu", "base-gpu"} <= STAGES.keys()
    for name, body in STAGES.items():
        base = body.split()[1]
        assert base in STAGES or base in ("${PYTHON_IMAGE}", "${GPU_IMAGE}", "base-${DEVICE}"), name
        for origin in re.findall(r"COPY --from=(\S+)", body):
            assert origin in STAGES, name


def test_what_is_copied_is_in_the_tree_and_let_through_by_dockerignore() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*", "nothing goes in but what is named"
    named = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    copied = set()
    for instruction in re.findall(r"^COPY (?!--from)(.+)$", TEXT, flags=re.MULTILINE):
        copied |= set(instruction.split()[:-1])
    assert copied == named
    assert all((ROOT / name).exists() for name in copied)
    assert any(fnmatch("motherlode/__pycache__", rule) for rule in rules[1:])


def test_the_image_holds_every_package_of_the_wheel() -> None:
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert all(f"COPY {package} {package}\n" in TEXT for package in packages)


def test_what_is_installed_is_locked_and_the_extras_exist() -> None:
    assert "PIP_CONSTRAINT=/src/constraints.txt" in STAGES["build"]
    extras = PROJECT["project"]["optional-dependencies"]
    asked = re.findall(r"install [\"']?\.\[([^\]]+)\]", TEXT)
    assert asked == ["cpu", "${DEVICE},warehouse,train,demo"]
    assert {"cpu", "gpu", "train", "demo"} <= extras.keys()


@pytest.mark.parametrize("heavy", ["torch", "scikit-learn", "feast", "polars"])
def test_serving_has_none_of_trainings_libraries(heavy: str) -> None:
    """Neither the base requirements nor the extra of serving name one, and the stage installs no other extra."""
    direct = PROJECT["project"]["dependencies"] + PROJECT["project"]["optional-dependencies"]["cpu"]
    assert not any(line.startswith(heavy) for line in direct)
    assert "train" not in STAGES["build-serving"]
    assert "build-training" not in STAGES["serving"]


def test_the_python_is_the_one_that_the_project_asks_for() -> None:
    assert "PYTHON_IMAGE=python:3.11-slim" in TEXT
    assert PROJECT["project"]["requires-python"] == ">=3.11,<3.12"


@pytest.mark.parametrize("target", ["serving", "training"])
def test_it_runs_without_root_as_a_command_that_exists(target: str) -> None:
    body = STAGES[target]
    user = re.search(r"^USER (\d+)$", body, flags=re.MULTILINE)
    assert user is not None
    assert f"--uid {user[1]} " in STAGES["base"]
    assert 'ENTRYPOINT ["motherlode"]' in body
    command = re.search(r'^CMD \["([^"]+)"\]$', body, flags=re.MULTILINE)
    assert command is not None
    assert command[1] in COMMANDS or command[1] == "--help"


def test_serving_listens_where_it_says_and_is_asked_whether_it_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of the image makes settings that serve on the exposed port; the health check asks that port."""
    for name, value in re.findall(r"(MOTHERLODE_\w+)=(\S+)", STAGES["base"] + STAGES["serving"]):
        monkeypatch.setenv(name, value)
    settings = Settings.from_env()
    assert (settings.host, str(settings.home)) == ("0.0.0.0", "/var/lib/motherlode")
    assert f"EXPOSE {settings.port}" in STAGES["serving"]
    assert f"VOLUME {settings.home}" in STAGES["serving"]
    assert re.search(r"HEALTHCHECK .*MOTHERLODE_PORT.*/readyz", STAGES["serving"])
    assert '"/readyz"' in (ROOT / "serving" / "http.py").read_text()


def test_the_health_check_is_python_that_fails_where_nothing_answers() -> None:
    check = re.search(r'CMD \["python3.11", "-c", "([^"]+)"\]', STAGES["serving"])
    assert check is not None
    program = ["-c", check[1]]
    done = subprocess.run([sys.executable, *program], env={"MOTHERLODE_PORT": "9"}, capture_output=True, check=False)
    assert done.returncode != 0
    assert b"URLError" in done.stderr
