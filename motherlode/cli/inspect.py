"""`motherlode inspect`: a company's files → a proposal for its mapping."""

from pathlib import Path

import click
from rich.console import Console

from feature_repo.warehouse import files as whole
from feature_repo.warehouse.inspect import propose, read, write
from motherlode.errors import DataError
from motherlode.settings import Settings


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the proposal to this file, which must not be there yet; without it, it is printed.",
)
@click.option("--company", help="The company's name; the folder's by default.")
def inspect(files: tuple[str, ...], out: Path | None, company: str | None) -> None:
    """Propose a mapping for FILEs: CSV, TSV, Parquet, JSON lines, Excel, SQLite, Delta or Iceberg folders, or URLs.

    A database's URL (sqlite:///data.db, postgresql://…) stands for all its tables. What is no table is named and left
    out.

    Give all files of a company at once: keys are found by the values that two files share. What is proposed is a
    valid mapping with the evidence as comments; a line with `# ?` waits for a person.
    """
    if out is not None and out.exists():
        raise DataError(f"{out} is there already.", "Name another file by --out, and compare the two.")
    folder = (Path.cwd() if out is None else out.parent).absolute()
    profiles, refused = read.profiles(Settings.from_env(), files, folder)
    if not profiles:
        raise DataError(f"{refused[0].file} cannot be read: {refused[0].problem}", refused[0].remedy)
    proposal = propose.propose(profiles)
    text = write.mapping(proposal, company or folder.name, refused)
    said = Console(stderr=True, soft_wrap=True, highlight=False)
    for one in refused:
        said.print(f"{one.file} is left out: {one.problem} {one.remedy}", markup=False)
    if not proposal.blocks:
        why = "; ".join(f"{source} is {reason}" for source, reason in proposal.left.items())
        said.print(
            f"No file looks like a canonical table: {why}. The proposal holds the sources and their columns.",
            markup=False,
        )
    if out is None:
        click.echo(text, nl=False)
        return
    whole.write(out, text.encode())
    asked = sum(1 for line in text.splitlines() if write.ASK in line)
    said.print(f"{out}: {asked - 1} lines wait for you, marked {write.ASK}", markup=False)
