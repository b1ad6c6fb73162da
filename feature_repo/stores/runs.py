"""How fast the last materialisation of each view was, in `online/runs.json` below home: what `plan` reckons with."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from feature_repo.stores.engine import MotherlodeJob
from feature_repo.warehouse import files
from motherlode.settings import Settings

FILE: Final = "runs.json"
FEWEST: Final = 1000
"""Rows of a run that says how fast rows are; a shorter one says how long it takes to begin."""


class Run(msgspec.Struct, frozen=True):
    """A view's last run: rows sent, and the seconds that it took to pack and send them.

    Of views that are written at once the seconds are shares of what all of them took, so that they add up to it on any
    number of cores.
    """

    rows: int
    seconds: float


def record(settings: Settings, jobs: Sequence[MotherlodeJob], seconds: float) -> None:
    """Keep how long jobs took, where they were long enough to say. Whoever calls holds the pipeline's lock.

    Args:
        settings: whose home.
        jobs: of one run.
        seconds: wall time that all of them took together.
    """
    share = min(1.0, seconds / max(sum(job.seconds for job in jobs), 1e-9))
    new = {job.task.feature_view.name: Run(job.sent, job.sending_s * share) for job in jobs if job.sent >= FEWEST}
    if new:
        files.write(_path(settings), msgspec.json.encode({**read(settings), **new}))


def read(settings: Settings) -> Mapping[str, Run]:
    """View → its last run that said how fast it is."""
    try:
        return msgspec.json.decode(_path(settings).read_bytes(), type=dict[str, Run])
    except (FileNotFoundError, msgspec.DecodeError):  # a file that cannot be read says nothing, and the next run does
        return {}


def _path(settings: Settings) -> Path:
    return settings.home / "online" / FILE
