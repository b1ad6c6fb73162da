"""`motherlode restore`: a home from its backup, without those who were erased since."""

import time
from pathlib import Path

import click
from rich.console import Console

from feature_repo.erasure.job import reapply
from motherlode import audit
from motherlode.backup.restore import restored
from motherlode.cli import options
from motherlode.cli.stages import Stages
from motherlode.lock import exclusive
from motherlode.settings import Settings


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--at", default="", help="A backup's id, or a time (UTC): the newest backup not after it. [the newest]")
@click.option("--force", is_flag=True, help="Replace the home that lies there.")
@click.option(
    "--without-tombstones",
    is_flag=True,
    help="Where FOLDER's tombstones are lost: restore all the same. Who was erased after the newest backup comes back.",
)
@options.home
def restore(folder: Path, at: str, force: bool, without_tombstones: bool, home: Path | None) -> None:
    """Restore the home from a backup in FOLDER, by MOTHERLODE_BACKUP_KEY.

    Each content is held against its digest, and whoever was erased since the backup is erased from it, before anything
    lies at --home. `motherlode materialize` then writes the online rows.
    """
    settings = Settings.from_env(home=home)
    console, started = Console(highlight=False), time.perf_counter()
    with Stages(console).flow("restore") as flow:
        process = restored(
            settings,
            folder,
            at=at,
            force=force,
            without_tombstones=without_tombstones,
            advance=lambda done, size: flow("", done, size or 1),
        )
        with process as made:
            if made.erased:
                flow("erasing again", 0, 1)
                with exclusive(made.settings):
                    reapply(made.settings)
            manifest = made.manifest
            audit.record(made.settings, "restore", manifest.id, files=len(manifest.files), erased_since=made.later)
    console.print(
        f"{settings.home} is as it was on {manifest.at:%Y-%m-%d %H:%M:%S} UTC (backup {manifest.id}): "
        f"{len(manifest.files):,} files, {manifest.size / 1e6:,.1f} MB, in {time.perf_counter() - started:.1f} s.",
        soft_wrap=True,
    )
    if made.erased:
        console.print(
            f"{made.erased:,} identifiers of erased customers were taken out of it, {made.later:,} of them erased "
            "after the backup.",
            soft_wrap=True,
        )
    for problem in made.damaged:
        console.print(f"Another backup cannot be read: {problem}", soft_wrap=True, markup=False)
    console.print("Run `motherlode materialize` for its online rows.")
