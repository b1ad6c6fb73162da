"""`motherlode init`: a new project's folder."""

from pathlib import Path

import click
from rich.console import Console

from feature_repo.warehouse import project
from feature_repo.warehouse.examples import examples


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--example", metavar="NAME", help=f"Begin with an example: {', '.join(examples()) or 'none is installed'}."
)
def init(folder: Path, example: str | None) -> None:
    """Write a project into DIR: a commented motherlode.yaml, data/, a pseudonym key, and what comes next.

    Nothing that is there already is overwritten.
    """
    written = project.create(folder, example)
    console = Console(highlight=False)
    for path in written:
        console.print(f"wrote {folder / path}", soft_wrap=True)
    console.print(
        f"\nNext:\n  cd {folder}\n  export MOTHERLODE_PSEUDONYM_KEY_FILE={project.KEY}\n"
        + ("  motherlode ingest" if example else "  motherlode inspect data/*   # after putting your exports there"),
        soft_wrap=True,
    )
