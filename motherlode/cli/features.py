"""`motherlode features`: warehouse → feature snapshots, applied to Feast."""

from pathlib import Path
from typing import Final

import click
from click.core import ParameterSource

from motherlode.cli import engine as engines
from motherlode.cli import options
from motherlode.cli.lazy import Entry, Lazy, load
from motherlode.settings import Settings

_COMMANDS: Final = {
    "list": Entry("features_list", "list_views", "every view: rows, snapshots, the newest one"),
    "describe": Entry("features_describe", "describe", "the catalogue, one view of it, or one feature"),
    "audit": Entry("features_audit", "audit_features", "the features that tell a label by themselves"),
}


@click.group(cls=Lazy, entries=_COMMANDS, invoke_without_command=True)
@click.option(
    "--cadence",
    type=click.IntRange(min=1),
    help="Days between snapshots: 7 at the first build, then as they are; another number builds all anew.",
)
@click.option("--rebuild", is_flag=True, help="Build all anew, and find departments, campaign types, channels again.")
@click.option(
    "--engine",
    type=click.Choice(engines.ENGINES),
    default=engines.AUTO,
    show_default=True,
    help="local: this process; ray: partitions on a Ray cluster; auto: several processes on this machine for much.",
)
@click.option("--address", help="The Ray cluster, for --engine ray (RAY_ADDRESS; without one, Ray on this machine).")
@click.option("--workers", type=click.IntRange(min=1), help="Partitions at once; as many as CPUs by default.")
@options.home
@options.device
@click.pass_context
def features(
    ctx: click.Context,
    cadence: int | None,
    rebuild: bool,
    engine: str,
    address: str | None,
    workers: int | None,
    home: Path | None,
    device: str | None,
) -> None:
    """Compute the feature snapshots and apply their definitions to Feast's registry.

    Only what new or corrected rows touch is computed. A build that is killed leaves the snapshots as they were.
    """
    if ctx.invoked_subcommand is not None:
        _refuse_options(ctx)
        return
    settings = Settings.from_env(home=home, device=device, ray_address=address)
    build = load("motherlode features", "features_build", "build")
    build(settings, cadence=cadence, rebuild=rebuild, engine=engine, address=address, workers=workers)


def _refuse_options(ctx: click.Context) -> None:
    """Options of a build before another command would be dropped without a word."""
    for it in ctx.command.params:
        if it.name != "home" and ctx.get_parameter_source(it.name or "") is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{it.opts[0]} is for building: `{ctx.invoked_subcommand}` does not take it.", ctx)
