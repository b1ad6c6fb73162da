"""What `motherlode features` does where no other command follows: it builds, and registers."""

from rich.console import Console

from motherlode.cli import engine as engines
from motherlode.cli import pipeline
from motherlode.cli.stages import Stages
from motherlode.compute import choose
from motherlode.lock import exclusive
from motherlode.settings import Settings


def build(
    settings: Settings, *, cadence: int | None, rebuild: bool, engine: str, address: str | None, workers: int | None
) -> None:
    """Compute the snapshots and apply their definitions; the arguments are the command's options."""
    compute = choose(settings.device)
    with exclusive(settings):
        pipeline.features(
            settings,
            compute,
            Stages(Console()),
            cadence_days=cadence,
            rebuild=rebuild,
            runner=engines.runner(
                settings, compute, engines.RAY if address and engine == engines.AUTO else engine, workers
            ),
        )
