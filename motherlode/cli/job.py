"""The whole job once, from a company's files to the bundle that serves: `motherlode run` starts it as a process."""

from pathlib import Path

import click
from rich.console import Console

from feature_repo.warehouse.lineage import Lineage
from feature_repo.warehouse.mapping.read import Project
from motherlode import bundle
from motherlode.cli import evaluate, ingest, options, pipeline, project
from motherlode.cli.labels import give_segments
from motherlode.cli.main import main
from motherlode.cli.runlog import logged
from motherlode.cli.stages import Stages
from motherlode.compute import Compute, choose
from motherlode.lock import exclusive
from motherlode.redis_server import running
from motherlode.settings import Settings
from training.publish import publish


def whole(settings: Settings, company: Project, compute: Compute, stages: Stages) -> tuple[Lineage, Path]:
    """Every stage up to the published bundle; what an earlier run left is reused where it is still valid.

    Args:
        settings: bound to a running Redis.
        company: its mapping.
        compute: what to compute on.
        stages: shown and timed.

    Returns:
        What became of every row, and the bundle's folder.
    """
    lineage = ingest.into_warehouse(settings, company, stages)
    pipeline.features(settings, compute, stages)
    pipeline.materialise(settings, stages)
    folder = pipeline.train(settings, compute, stages)
    with stages.stage("publish", 1) as advance:
        publish(settings, folder.name)
        advance(folder.name)
    with stages.stage("labels", 1) as advance:
        advance(f"{give_segments(settings):,} labels")
    pipeline.keep_times(settings, stages)
    return lineage, folder


@click.command()
@project.mapping
@options.home
@options.device
def job(mapping: Path | None, home: Path | None, device: str | None) -> None:
    """Raw tables → warehouse → features → online store → models → bundle in service, once, and logged."""
    settings = Settings.from_env(home=home, device=device, mapping=mapping)
    console = Console()
    with exclusive(settings), logged(settings) as log:
        company, compute = project.find(settings), choose(settings.device)
        with running(settings) as bound:
            lineage, folder = whole(bound, company, compute, Stages(console))
        log.bundle = folder.name
    ingest.show(console, lineage)
    evaluate.show(console, bundle.read_manifest(folder))


if __name__ == "__main__":
    main(command=job)
