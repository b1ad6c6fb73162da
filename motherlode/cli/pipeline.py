"""The main job after `ingest`, each stage a function of the settings: one for `demo`, `run` and its own command."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from feature_repo import store
from feature_repo.mart import customers, manifest, people, snapshots
from feature_repo.mart.snapshots import ByWork, Runner
from feature_repo.stores.engine import MotherlodeJob
from feature_repo.stores.rollout import Rollout
from feature_repo.warehouse import state, web
from feature_repo.warehouse.lineage import mapping_of
from motherlode.cli import engine
from motherlode.cli.stages import Stages
from motherlode.compute import Compute
from motherlode.errors import DataError
from motherlode.settings import Settings
from training import pipeline as training


def features(
    settings: Settings,
    compute: Compute,
    stages: Stages,
    *,
    cadence_days: int | None = None,
    rebuild: bool = False,
    runner: Runner | ByWork | None = None,
) -> None:
    """Warehouse → feature snapshots, and their definitions into Feast's registry; `engine.runner` says who does it."""
    runner = runner or engine.runner(settings, compute)
    with stages.flow("features") as flow:
        snapshots.build(settings, compute, cadence_days=cadence_days, rebuild=rebuild, runner=runner, on_step=flow)
        customers.write_customers(settings)
        people.publish(settings)
        web.write(settings, mapping_of(settings, state.read(settings)).time_zone)
    with stages.stage("feast apply", 1) as advance:
        store.apply(settings)
        advance("")


def require_features(settings: Settings) -> None:
    """Check that there is something to bring online, before a server is started for it.

    Raises:
        DataError: no snapshot was built here.
    """
    state.read(settings)  # an older version's home is upgraded first
    if not manifest.read(settings).views:
        raise DataError(f"There are no feature snapshots in {settings.mart}.", "Run `motherlode features`.")


def materialise(settings: Settings, stages: Stages, views: Sequence[str] = ()) -> dict[str, int]:
    """Feature snapshots → online store, up to now; returns the rows sent by view. All views by default."""
    store.clear_shadows(settings)  # the commands run one at a time: what is there was left by one that was killed
    with stages.bars("materialise", "rows") as watch:
        jobs = store.materialise(settings, datetime.now(UTC), views=views, watch=watch)
    _tell_refused(stages, jobs)
    return {job.task.feature_view.name: job.rows for job in jobs}


def shadow(settings: Settings, stages: Stages, views: Sequence[str] = (), *, force: bool = False) -> Rollout:
    """Feature snapshots → a new generation beside what is read, compared, and flipped to or removed."""
    with stages.bars("shadow", "rows") as watch:
        return store.shadow(settings, datetime.now(UTC), views=views, force=force, watch=watch)


def _tell_refused(stages: Stages, jobs: Sequence[MotherlodeJob]) -> None:
    refused = sum(job.refused for job in jobs)
    if refused:
        stages.console.print(f"{refused:,} rows were refused: their customers were erased.", highlight=False)


def train(settings: Settings, compute: Compute, stages: Stages, *, again: bool = False) -> Path:
    """Feature snapshots → a written bundle; the current one where nothing changed and `again` is not asked."""
    state.read(settings)
    with stages.stage("train", training.STEPS) as advance:
        return training.train(settings, compute, on_step=advance, again=again)


def keep_times(settings: Settings, stages: Stages) -> None:
    """Write the stages' seconds to `logs/stages.json`."""
    settings.logs.mkdir(parents=True, exist_ok=True)
    (settings.logs / "stages.json").write_text(json.dumps(stages.seconds, indent=1) + "\n")
