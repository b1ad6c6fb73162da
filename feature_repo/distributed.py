"""The mart's partitions on Ray: what outgrows one machine. The one module of `feature_repo` that imports Ray.

A partition is one task, and one task at a time is in a worker's memory. A task reads and writes files below the home
alone, so that a worker which dies costs its partition: another does it again, and gets the same bytes. Nothing of what
a task made counts before the build flips the manifest, in this process.
"""

import logging
import os
import secrets
import shlex
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import ray
from ray import exceptions
from ray._private import ray_constants
from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined]

from motherlode.compute.libraries import versions
from motherlode.errors import DataError, MotherlodeError

Job = TypeVar("Job")
Result = TypeVar("Result")

RETRIES: Final = 3
"""How often a partition is begun again after its worker died."""
COMPARED: Final = ("polars", "pyarrow", "numpy")
"""Distributions that decide a feature's bits: one version of each on all machines."""

_OBJECT_STORE: Final = 80 * 1024**2
"""Bytes; the least that Ray takes. Jobs and results are small, rows never go there."""
_AHEAD: Final = 2
"""Jobs in Ray's hands, as a multiple of those that can run at once: the next is there when a worker is free."""
_REACH_S: Final = 10.0
_NOT_THERE: Final = (
    "Mount the folder at the same path on every machine of the cluster (NFS, Lustre, EFS, ...), readable and writable "
    "by the user that Ray runs as; see docs/scale.md."
)
_SAME: Final = "Install Motherlode from one lock file (constraints.txt) on every machine of the cluster."
_DIED: Final = (
    "Most often the machine ran out of memory: give it more, or let it take fewer partitions at once "
    "(`ray start --num-cpus=…`); Ray's own logs say why it ended."
)
_ALLOCATOR: Final = "_RJEM_MALLOC_CONF"
"""Settings of jemalloc, which Polars allocates by; Polars reads them when it is imported, after its own."""
_GIVES_BACK: Final = "muzzy_decay_ms:3000"
"""What was freed goes back to the system after three seconds. By Polars' own setting it is only marked as to be taken
where memory is short (`MADV_FREE`), and counts as the worker's until then: 4 of 5 GB after a dear task. At once (0)
costs a tenth of the time, since most is wanted again soon."""
_LOCAL: Final = {
    # Else `uv run` makes Ray build an environment anew for every worker.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Its children take it from here, this process from the constant that `_loopback` sets.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}


def runner(
    address: str | None,
    home: Path,
    *,
    workers: int | None = None,
    threads: int = 1,
    memory: int | None = None,
) -> Callable[[Callable[[Job], Result], Sequence[Job]], Iterator[Result]]:
    """What runs a build's jobs on Ray, in any order, one job a task.

    Args:
        address: of a cluster, as `ray.init` takes it ("auto", "10.0.0.7:6379"); None starts Ray on this machine and
            ends it with the last job. A Ray that this process is connected to already is used as it is.
        home: the folder that jobs read and write; every machine must see it.
        workers: jobs at once; by default as many as the CPUs allow.
        threads: of Polars in a worker, and CPUs that a job takes.
        memory: bytes that a job is reckoned with: Ray starts no more at once than a machine has memory for. None:
            CPUs alone count.

    Returns:
        A function of (what to do with a job, the jobs) → their results as they come. Both must be importable where a
        worker runs, or be pickled with it. It raises `MotherlodeError` as the job did, and

        DataError: no Ray answers at the address; a worker does not see the home, or has other versions of the
            libraries that decide a feature's bits; a job's worker died `RETRIES` times more.
    """
    return partial(_run, address=address, home=home, workers=workers, threads=threads, memory=memory)


def _run(
    do: Callable[[Job], Result],
    jobs: Sequence[Job],
    *,
    address: str | None,
    home: Path,
    workers: int | None,
    threads: int,
    memory: int | None,
) -> Iterator[Result]:
    if not jobs:
        return
    options: dict[str, Any] = {} if memory is None else {"memory": memory}
    with _connected(address, workers, threads), _token(home) as token:
        remote: Any = ray.remote(_task)  # Ray's types know no keywords
        task = remote.options(
            num_cpus=threads,
            max_retries=RETRIES,
            retry_exceptions=False,
            runtime_env=_environment(threads),
            **options,
        )
        call = partial(task.remote, do, token=token, wanted=versions(COMPARED))
        yield from _streamed(call, jobs, lambda: workers or _AHEAD * _slots(threads))


def _environment(threads: int) -> dict[str, Any]:
    """A worker's: Polars' threads and memory; and its Python where the path needs quotes, which Ray 2.60 leaves out.

    Without them no worker starts, and Ray tries for ever. It is then the same path on every machine of a cluster.
    """
    variables = {"POLARS_MAX_THREADS": str(threads), _ALLOCATOR: _GIVES_BACK}
    environment: dict[str, Any] = {"env_vars": variables}
    python = shlex.quote(sys.executable)
    return environment if python == sys.executable else {**environment, "py_executable": python}


def _task(do: Callable[[Job], Result], job: Job, token: Path, wanted: Mapping[str, str | None]) -> Result:
    """One job, on a worker: what must be so on its machine is looked at first."""
    machine = os.uname().nodename
    if not token.is_file():
        raise DataError(f"A worker on {machine!r} does not see {str(token.parent)!r}, the home.", _NOT_THERE)
    ours = versions(COMPARED)
    for name, version in wanted.items():
        if ours[name] != version:
            raise DataError(f"A worker on {machine!r} has {name} {ours[name]}, and the build {version}.", _SAME)
    return do(job)


def _streamed(
    call: Callable[[Job], "ray.ObjectRef[Result]"], jobs: Iterable[Job], most: Callable[[], int]
) -> Iterator[Result]:
    """Results as they come; never more than `most` in Ray's hands."""
    waiting = iter(jobs)
    flying: list[ray.ObjectRef[Result]] = []
    try:
        while True:
            for job in waiting:
                flying.append(call(job))
                if len(flying) >= most():
                    break
            if not flying:
                return
            done, flying = ray.wait(flying, num_returns=1)
            yield from (_result(each) for each in done)
    finally:
        for each in flying:  # the build failed, or nobody wants the rest
            ray.cancel(each, force=True)


def _result(reference: "ray.ObjectRef[Result]") -> Result:
    try:
        return ray.get(reference)
    except exceptions.RayTaskError as error:
        if isinstance(error.cause, MotherlodeError):
            raise error.cause from error
        raise
    except (exceptions.WorkerCrashedError, exceptions.NodeDiedError, exceptions.OutOfMemoryError) as error:
        raise DataError(f"A partition's worker died {RETRIES + 1} times: {_first_line(error)}", _DIED) from error


def _slots(threads: int) -> int:
    """Jobs that can run at once, now: a cluster may grow while a build runs."""
    cluster: Any = ray  # has types, but not for all
    return max(1, int(cluster.cluster_resources().get("CPU", 1)) // threads)


@contextmanager
def _connected(address: str | None, workers: int | None, threads: int) -> Iterator[None]:
    """Ray, started or connected to; what was started or connected here ends with the block."""
    if ray.is_initialized():
        yield
        return
    with _started(workers, threads) if address is None else _joined(address):
        yield


@contextmanager
def _joined(address: str) -> Iterator[None]:
    try:
        _reach(address)  # Ray itself would try for five minutes
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError, exceptions.RayError) as error:
        raise DataError(
            f"No Ray cluster answers at {address!r}: {_first_line(error)}",
            "Start one (`ray start --head`), name its address, or leave the address out to run on this machine.",
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """Connect to an address of the form `[ray://]host:port`.

    Raises:
        OSError: nothing listens there.
        ValueError: the port is no number.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_S):
            pass


@contextmanager
def _started(workers: int | None, threads: int) -> Iterator[None]:
    # Sockets may have about 100 bytes, and Ray adds 67: a short folder, whatever the home is called.
    temp, tokens = tempfile.mkdtemp(prefix="ml-ray-"), AuthenticationTokenLoader.instance()
    try:
        tokens.reset_cache()  # of a Ray that this process was connected to before
        with _loopback():
            ray.init(
                address="local",
                num_cpus=(workers or max(1, (os.cpu_count() or 1) // threads)) * threads,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                object_store_memory=_OBJECT_STORE,
                _temp_dir=temp,
            )
        try:
            yield
        finally:
            ray.shutdown(wait_for_processes=True)
    finally:
        tokens.reset_cache()
        shutil.rmtree(temp, ignore_errors=True)


@contextmanager
def _loopback() -> Iterator[None]:
    """A Ray that is started within the block binds 127.0.0.1 alone, and takes a token of its own.

    2.60 has no argument for either (docs/decisions/0011); the token would be left in the user's home.
    """
    before, constant = dict(os.environ), ray_constants.ENABLE_RAY_CLUSTER
    os.environ.update(_LOCAL | {"RAY_AUTH_TOKEN": secrets.token_hex(32)})
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = constant
        for name in os.environ.keys() - before.keys():  # Ray adds some of its own
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def _token(home: Path) -> Iterator[Path]:
    """A file in the home, of this run alone: who sees it sees this very folder."""
    path = home / f".ray-{secrets.token_hex(8)}"
    path.touch()
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
