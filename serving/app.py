"""The HTTP application under Ray Serve; started by `serving.server` as a process of its own. Ray, and nothing else."""

import json
import logging
import os
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final
from urllib.error import URLError

import msgspec
import psutil
import ray
from ray import serve
from ray.serve._private import replica
from ray.serve.config import HTTPOptions, ProxyLocation
from ray.serve.schema import LoggingConfig

from motherlode.compute import Compute, choose
from motherlode.errors import DeviceError
from motherlode.settings import Settings
from serving.front import Front
from serving.http import build
from serving.server import Order, Report, address

APP: Final = "motherlode"

_OBJECT_STORE: Final = 80 * 1024**2
"""Bytes; the least that Ray takes. Nothing is ever put there."""
_RAY_LOG: Final = "ray.serve"
_READY_S: Final = 30.0
_DRAIN_S: Final = 3.0


class Api:
    """One replica: features, scores and lists in one process."""

    def __init__(self, settings: Settings, compute: Compute | None, local: bool) -> None:
        self._settings = settings
        self._compute = compute
        _log_to_file(settings)
        # Ray makes a record of every request before it finds that nobody wants it: 4 % of a request.
        logging.getLogger(_RAY_LOG).setLevel(logging.WARNING)
        if local:
            _listen_on_loopback()

    def __serve_build_asgi_app__(self) -> Front:
        return build(self._settings, self._compute)


def start(order: Order) -> None:
    """Start Ray, or connect to it, and Serve; it answers nobody yet."""
    settings = order.to_settings()
    ray.init(
        address="local" if order.local else settings.ray_address,
        log_to_driver=False,
        logging_level=logging.ERROR,
        **_local_options(order) if order.local else {},
    )
    serve.start(
        proxy_location=ProxyLocation.HeadOnly,
        http_options=HTTPOptions(host=settings.host, port=settings.port),
        logging_config=LoggingConfig(log_level="WARNING", enable_access_log=False),
    )


def deploy(order: Order) -> None:
    """Start the replica, and wait until requests are answered."""
    settings = order.to_settings()
    compute = _compute(settings)
    # A GPU is one replica's alone.
    replicas = _replicas(settings) if compute is not None else 1
    api: Any = serve.deployment(
        serve.ingress()(Api),
        name="api",
        num_replicas=replicas,
        max_ongoing_requests=512,
        graceful_shutdown_timeout_s=4,
        graceful_shutdown_wait_loop_s=0.2,
        max_constructor_retry_count=1,
        ray_actor_options={"num_cpus": 1, "num_gpus": int(compute is None)},
    )
    serve.run(api.bind(settings, compute, order.local), name=APP, route_prefix="/")
    if order.local:
        _wait(settings)


def stop(order: Order) -> None:
    """Finish the requests in flight, then end everything that `start` and `deploy` started."""
    cluster: Any = ray  # both have types, but not for all
    front: Any = serve
    if order.local:
        _drain_haproxy()
    front.delete(APP)
    if order.local:
        front.shutdown()
    cluster.shutdown(wait_for_processes=True)


def main(answers: int) -> None:
    """Serve until the end of the input.

    Args:
        answers: the file descriptor to report to.
    """
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    started, told = threading.Event(), threading.Event()
    threading.Thread(target=_listen, args=(started, told), daemon=True).start()
    with os.fdopen(answers, "wb", buffering=0) as out:
        try:
            start(order)
            started.set()
            deploy(order)
        except Exception as error:
            out.write(msgspec.json.encode(Report(_one_line(error))) + b"\n")
            raise
        with suppress(BrokenPipeError):  # the supervisor was killed: what is in flight is finished all the same
            out.write(msgspec.json.encode(Report()) + b"\n")
    told.wait()
    stop(order)


def _listen(started: threading.Event, told: threading.Event) -> None:
    """Wait for the end of the input, which is the sign to stop; it comes too when the supervisor was killed."""
    sys.stdin.buffer.read()
    if not started.is_set():
        os._exit(1)  # nobody was answered yet; the supervisor, or the next one, ends what Ray has started
    told.set()


def _local_options(order: Order) -> dict[str, Any]:
    return {
        "include_dashboard": False,
        "num_cpus": _replicas(order.to_settings()),  # for the replicas; Ray starts as many idle workers in advance
        "object_store_memory": _OBJECT_STORE,
        "_temp_dir": order.temp,
    }


def _replicas(settings: Settings) -> int:
    """How many: one a core, since each runs one thread."""
    return settings.replicas or len(os.sched_getaffinity(0))


def _compute(settings: Settings) -> Compute | None:
    """The CPU and why, or None: the replica gets a GPU, and chooses where it runs.

    Raises:
        DeviceError: the GPU was asked for by name, and the cluster has none.
    """
    cluster: Any = ray
    if settings.device == "cpu":
        return choose(settings.device, "serving")
    if cluster.cluster_resources().get("GPU", 0) >= 1:
        return None
    if settings.device == "gpu":
        raise DeviceError("Device 'gpu' was asked for, and Ray sees none.", "Use --device auto.")
    return Compute("cpu", "Ray sees no GPU.")


def _wait(settings: Settings) -> None:
    """Until an answer comes through the front; Ray's own health check says yes before that."""
    until = time.monotonic() + _READY_S
    while True:
        try:
            with urllib.request.urlopen(f"{address(settings)}/readyz", timeout=2) as response:
                json.load(response)
                return
        except (URLError, OSError, ValueError):
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def _drain_haproxy() -> None:
    """Let HAProxy refuse new connections and finish those that it has, before the replica goes."""
    fronts = [each for each in psutil.Process().children(recursive=True) if each.name() == "haproxy"]
    for front in fronts:
        with suppress(psutil.NoSuchProcess):
            front.send_signal(signal.SIGUSR1)
    psutil.wait_procs(fronts, timeout=_DRAIN_S)


def _listen_on_loopback() -> None:
    """Ray 2.60 opens a replica's port for calls between deployments on every interface, and there are none."""
    module: Any = replica
    listen: Callable[[Any, str], int] = module.add_port_to_grpc_server

    def local(server: Any, where: str) -> int:
        return listen(server, where.replace("[::]", "127.0.0.1"))

    module.add_port_to_grpc_server = local


def _log_to_file(settings: Settings) -> None:
    """What this room and the ground floor say, in the home's log; Ray's files go when Ray goes."""
    settings.logs.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(settings.logs / "serve.log")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    for name in ("serving", "motherlode"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else ''}"[:500]
