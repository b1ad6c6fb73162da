"""Options that several commands share, and the settings they make."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., object])

DEVICES = ("auto", "cpu", "gpu")


def home(command: Command) -> Command:
    """`--home`: where the state lies."""
    return click.option(
        "--home",
        type=click.Path(path_type=Path, file_okay=False),
        help="Where the state lies (MOTHERLODE_HOME; .motherlode here by default).",
    )(command)


def device(command: Command) -> Command:
    """`--device`: what to compute on."""
    return click.option(
        "--device",
        type=click.Choice(DEVICES),
        help="auto takes a GPU where there is one; gpu fails where there is none (MOTHERLODE_DEVICE).",
    )(command)
