"""Who computes a build's partitions: this process, several on this machine, or a Ray cluster. Decided here alone."""

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from feature_repo.mart import snapshots
from feature_repo.mart.snapshots import ByWork, Done, Runner, Task
from motherlode.compute import Compute
from motherlode.machine import cores
from motherlode.settings import Settings

AUTO: Final = "auto"
LOCAL: Final = "local"
RAY: Final = "ray"
ENGINES: Final = (AUTO, LOCAL, RAY)
MEMORY: Final = 3 * 2**30
"""Bytes that a partition's worker is reckoned with."""
_CGROUP: Final = Path("/sys/fs/cgroup")


def runner(settings: Settings, compute: Compute, engine: str = AUTO, workers: int | None = None) -> Runner | ByWork:
    """What does a build's jobs.

    Args:
        settings: where, and the cluster.
        compute: the device.
        engine: `local`: this process; `ray`: the cluster of the settings, or Ray on this machine; `auto`: processes on
            this machine, one thread each, where more than one partition and enough rows are to be computed on the
            CPU and it has cores and memory for more than one; else this process. Two processes of one thread take two
            thirds of the time of one process with two.
        workers: partitions at once; by default as many as there are CPUs, with `auto` at most what memory allows.
    """
    if engine == RAY:
        return _Ray(settings.ray_address, settings.home, workers)
    many = workers or min(cores(), memory() // MEMORY)
    if engine == LOCAL or compute.kind != "cpu" or many < 2:
        return snapshots.local
    return ByWork(_Ray(None, settings.home, many))


def memory() -> int:
    """Bytes that are free for this process: the machine's, or what its container may still take."""
    free = int(psutil.virtual_memory().available)
    try:
        most = (_CGROUP / "memory.max").read_text().strip()
        # What the system keeps of files in memory counts as used there, but goes when it is wanted.
        told = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
    except OSError:
        return free
    return min(free, int(most) - int(told["anon"])) if most.isdecimal() else free


@dataclass(frozen=True)
class _Ray:
    """Ray's runner; its module is loaded when there is something to run, since Ray takes a second to import."""

    address: str | None
    home: Path
    workers: int | None

    def __call__(self, work: Callable[[Task], Done], tasks: Sequence[Task], /) -> Iterator[Done]:
        distributed = importlib.import_module("feature_repo.distributed")
        made: Runner = distributed.runner(self.address, self.home, workers=self.workers)
        return made(work, tasks)
