"""How fast the last materialisation of each view was, in `online/runs.json` below home: what `plan` reckons with."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from feature_repo.stores.engine import MotherlodeJob
from motherlode.settings import Settings

FILE: Final = "runs.json"
FEWEST: Final = 1000
"""Rows of a run that says how fast rows are; a shorter one says how long it takes to begin."""


class Run(msgspec.Struct, frozen=True):
    """A view's last run: rows sent, and wall seconds."""

    rows: int
    seconds: float


def record(settings: Settings, jobs: Sequence[MotherlodeJob]) -> None:
    """Keep how long jobs took, where they were long enough to say."""
    new = {job.task.feature_view.name: Run(job.rows, job.seconds) for job in jobs if job.rows >= FEWEST}
    if not new:
        return
    path = _path(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{FILE}-", delete=False) as file:
        file.write(msgspec.json.encode({**read(settings), **new}))
    Path(file.name).replace(path)


def read(settings: Settings) -> Mapping[str, Run]:
    """View → its last run that said how fast it is."""
    try:
        return msgspec.json.decode(_path(settings).read_bytes(), type=dict[str, Run])
    except (FileNotFoundError, msgspec.DecodeError):  # a file that cannot be read says nothing, and the next run does
        return {}


def _path(settings: Settings) -> Path:
    return settings.home / "online" / FILE
