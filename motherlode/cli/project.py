"""Which company's mapping a command works with."""

from pathlib import Path

import click

from feature_repo.warehouse import state as states
from feature_repo.warehouse.demo import project as the_demo
from feature_repo.warehouse.demo import thinned
from feature_repo.warehouse.mapping.read import Project, read
from motherlode.cli.options import Command
from motherlode.errors import DataError
from motherlode.settings import MAPPING, Settings


def mapping(command: Command) -> Command:
    """`--mapping`: the company's mapping."""
    return click.option(
        "--mapping",
        type=click.Path(path_type=Path),
        help=f"The mapping, or its folder (MOTHERLODE_MAPPING; {MAPPING} here by default).",
    )(command)


def find(settings: Settings) -> Project:
    """The mapping that the settings name; the demo's, where the home folder holds the demo.

    Raises:
        DataError: there is none, it cannot be read, or the home folder holds another company.
    """
    if settings.mapping is not None:
        return _at_home(settings, thinned(settings, read(settings.mapping)))
    company = states.read(settings).company
    if company and (project := the_demo(settings)).mapping.company == company:
        return project
    raise DataError(
        f"There is no {MAPPING} in this folder, and none is named.",
        "Name one by --mapping, make one by `motherlode init`, or run `motherlode demo`.",
    )


def demo(settings: Settings) -> Project:
    """The demo's mapping.

    Raises:
        DataError: its tables are not installed, or the home folder holds another company.
    """
    return _at_home(settings, the_demo(settings))


def _at_home(settings: Settings, project: Project) -> Project:
    company = states.read(settings).company
    if company not in ("", project.mapping.company):
        raise DataError(
            f"{settings.home} holds the tables of {company!r}; {project.path} maps those of "
            f"{project.mapping.company!r}.",
            "Name another folder by --home, or give the mapping its company's name back.",
        )
    return project
