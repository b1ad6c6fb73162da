"""The front door: known errors without a traceback, unknown commands with what there is, modules when asked for."""

import importlib
import subprocess
import sys
from pathlib import Path

import click
import pytest

from motherlode.cli.main import COMMANDS, main


def leave(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.mark.parametrize("name", COMMANDS)
def test_every_listed_command_is_there_and_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = getattr(importlib.import_module(f"motherlode.cli.{name}"), name)
    assert isinstance(command, click.Command)
    assert command.help
    assert leave(name, "--help") == 0
    assert name in capsys.readouterr().out


def test_an_unknown_command_lists_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert leave("nonsense") == 2
    error = capsys.readouterr().err
    assert "'nonsense'" in error
    assert "materialize" in error


def test_a_known_error_is_two_lines_and_no_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert leave("rollback", "--home", str(tmp_path / "nothing here")) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["error", "remedy"]
    assert "nothing here" in lines[0]


def test_a_wrong_option_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert leave("demo", "--device", "abacus") == 2
    assert "abacus" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [
        (["--help"], {"feast", "ray", "torch", "polars", "training", "serving"}),
        (["features", "list", "--help"], {"feast", "ray", "torch", "training", "serving"}),
    ],
)
def test_help_loads_no_room(arguments: list[str], unwanted: set[str]) -> None:
    """`motherlode --help` answers at once: no Feast, Ray, PyTorch or Polars is imported for it.

    Nor does a look at the features wait for what builds and audits them.
    """
    program = (
        "import sys; from motherlode.cli.main import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit: pass\n"
        f"print(*sorted({unwanted!r} & set(sys.modules)), file=sys.stderr)"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stderr.strip() == ""
