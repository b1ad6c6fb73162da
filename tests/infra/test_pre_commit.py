"""What a commit is checked by is what `make lint` checks by, with the same tools."""

import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / ".pre-commit-config.yaml"
HOOKS = [hook for repo in yaml.safe_load(CONFIG.read_text())["repos"] for hook in repo["hooks"]]


def tool(name: str) -> str:
    """A tool of the environment that runs the tests."""
    return str(Path(sys.executable).with_name(name))


def test_pre_commit_understands_it() -> None:
    command = [tool("pre-commit"), "validate-config", str(CONFIG)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_hook_is_local_and_its_tool_is_installed() -> None:
    assert [repo["repo"] for repo in yaml.safe_load(CONFIG.read_text())["repos"]] == ["local"]
    for hook in HOOKS:
        path = Path(hook["entry"].split()[0])
        assert path.parent == Path(".venv/bin")
        assert Path(tool(path.name)).is_file(), hook["id"]


def test_a_commit_meets_every_tool_that_lint_runs() -> None:
    makefile = (ROOT / "Makefile").read_text()
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", makefile, flags=re.MULTILINE)
    assert recipe is not None
    lint = set(re.findall(r"\$\(BIN\)/([\w-]+)", recipe[1]))
    assert lint <= {Path(hook["entry"].split()[0]).name for hook in HOOKS}


def test_yamllint_leaves_out_what_git_leaves_out_and_finds_nothing() -> None:
    command = [tool("yamllint"), "--strict", "--list-files", "."]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert "./infra/compose.yaml" in listed
    assert not any(name.startswith("./.venv") for name in listed)
    done = subprocess.run([*command[:2], "."], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
