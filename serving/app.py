"""The HTTP application under Ray Serve; started by `serving.server` as a process of its own. Ray, and nothing else."""

import dataclasses
import gc
import json
import logging
import os
import signal
import ssl
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from logging.handlers import WatchedFileHandler
from queue import SimpleQueue
from typing import IO, Any, Final
from urllib.error import URLError

import msgspec
import psutil
import ray
from ray import serve
from ray._private import node, services
from ray.serve import Application
from ray.serve._private import api as private
from ray.serve._private import client, constants, replica
from ray.serve.config import ControllerOptions, HTTPOptions, ProxyLocation
from ray.serve.schema import LoggingConfig

from motherlode.compute import Compute, choose
from motherlode.settings import Settings, environment
from serving import standin, worker
from serving.front import Front
from serving.gpus import by_arguments, how_many, own_gpu
from serving.http import build
from serving.lock import policy
from serving.server import Order, Report, address, replicas
from serving.sight.logs import LOG, JsonFormatter

APP: Final = "motherlode"

_OBJECT_STORE: Final = 80 * 1024**2
"""Bytes; the least that Ray takes. Nothing is ever put there."""
_RAY_LOG: Final = "ray.serve"
_VISIBLE: Final = "CUDA_VISIBLE_DEVICES"
_FOR_OTHERS: Final = "0.0.0.0"
_log: Final = logging.getLogger(__name__)
_READY_S: Final = 30.0
_KEEPERS: Final = ("ray::ServeController", "gcs_server")
"""In the command lines of Ray's processes that keep the cluster, and answer nobody. Not raylet, nor HAProxy's manager:
what they start, in the place of what has died too, would have their rank."""
_BEHIND: Final = 10
_DRAIN_S: Final = 3.0
_LOOK_S: Final = 0.05
"""How often Serve is asked whether it has started or stopped; by itself once a second."""
_SOON_S: Final = 0.01
_STANDIN: Final = (sys.executable, "-IS", standin.__file__)
_WATCH_S: Final = 0.5


class Api:
    """One replica: features, scores and lists in one process.

    Args:
        settings: bound to a Redis; None: those of the environment that the replica finds itself in.
        changes: fields of them that are said otherwise.
        local: Ray is our own, on this machine.
    """

    def __init__(self, settings: Settings | None, changes: Mapping[str, str | int], local: bool) -> None:
        # A cluster's proxies listen for others whatever a replica's environment says: so the lock is on there.
        self._settings = settings or Settings.from_env(**{**changes, "host": _FOR_OTHERS})
        if settings is None:
            policy.require(self._settings)
        _log_to_file(self._settings)
        # Ray makes a record of every request before it finds that nobody wants it: 4 % of a request.
        logging.getLogger(_RAY_LOG).setLevel(logging.WARNING)
        if local:
            _listen_on_loopback()

    def __serve_build_asgi_app__(self) -> Front:
        front = build(self._settings, _take_gpu(self._settings.device))
        # A full collection looks at all that was ever loaded, 0.2 million objects: 0.1 s in which nobody is answered.
        gc.collect()
        gc.freeze()
        return front


def start(order: Order) -> None:
    """Start Ray, or connect to it, and Serve; it answers nobody yet."""
    settings = order.to_settings()
    if order.local:
        _start_lean()
    ray.init(
        address="local" if order.local else settings.ray_address,
        log_to_driver=False,
        logging_level=logging.ERROR,
        **_local_options(order) if order.local else {},
    )
    quiet = LoggingConfig(log_level="WARNING", enable_access_log=False)
    if not order.local:
        listening = HTTPOptions(host=settings.host, port=settings.port)
        serve.start(proxy_location=ProxyLocation.HeadOnly, http_options=listening, logging_config=quiet)
        return
    # As `serve.start` does, but that waits for the proxies before there may be replicas.
    calls: Any = private
    controller, _ = calls._create_controller_and_proxy_refs(
        _listening(settings), None, quiet, None, ControllerOptions(), ProxyLocation.HeadOnly
    )
    calls._set_global_client(client.ServeControllerClient(controller))


def deploy(order: Order) -> None:
    """Start the replicas, and wait until requests are answered.

    Raises:
        DeviceError: the GPU was asked for by name, and the cluster has none.
    """
    settings = order.to_settings()
    cluster: Any = ray
    wanted = replicas(settings)
    count = how_many(wanted, settings.device, cluster.cluster_resources())
    # Said outright: a caller's rate is shared out among as many.
    given = dataclasses.replace(settings, replicas=count)
    # Our own Ray has a core for each replica that is wanted; one more beside the GPUs shares them.
    cpus = min(1.0, wanted / count) if order.local else 1.0
    serve.run(_bind(count, cpus, given, {}, order.local), name=APP, route_prefix="/")
    if order.local:
        _step_back()
        _wait(settings)


def application(args: Mapping[str, str | int]) -> Application:
    """What Ray builds by `serve run serving.app:application`, or from a `serveConfigV2`.

    It is built where there may be no home and no secret: each replica reads its settings from the environment that it
    finds itself in.

    Args:
        args: replicas: how many, with those on GPUs; without it, one a core of the cluster as it is now. device: as in
            `Settings`, "auto" by default.

    Raises:
        SettingsError: an argument is unknown, or no number.
        DeviceError: how many is left open, the GPU was asked for by name, and the cluster has none.
    """
    cluster: Any = ray
    count, device = by_arguments(args, cluster.cluster_resources())
    return _bind(count, 1.0, None, {"replicas": count, "device": device}, local=False)


def stop(order: Order) -> None:
    """Finish the requests in flight, then end everything that `start` and `deploy` started."""
    cluster: Any = ray  # both have types, but not for all
    front: Any = serve
    if order.local and constants.RAY_SERVE_ENABLE_HA_PROXY:
        _drain_haproxy()
    elif order.local:
        _drain_proxy()
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
    bound: SimpleQueue[Order] = SimpleQueue()
    started, told = threading.Event(), threading.Event()
    threading.Thread(target=_listen, args=(bound, started, told), daemon=True).start()
    with os.fdopen(answers, "wb", buffering=0) as out:
        try:
            start(order)
            if order.local:
                threading.Thread(target=_watch, args=(told, out), daemon=True).start()
            order = bound.get()
            started.set()
            deploy(order)
        except Exception as error:
            out.write(msgspec.json.encode(Report(_one_line(error))) + b"\n")
            raise
        with suppress(BrokenPipeError):  # the supervisor was killed: what is in flight is finished all the same
            out.write(msgspec.json.encode(Report()) + b"\n")
        told.wait()
    stop(order)


def _watch(told: threading.Event, out: IO[bytes]) -> None:
    """End this process where one that holds the cluster has: replicas would answer on, and nobody replace them."""
    started: Any = ray._private.worker._global_node
    while not told.wait(_WATCH_S):
        if dead := started.dead_processes():
            with suppress(BrokenPipeError):
                out.write(msgspec.json.encode(Report(f"Ray's {dead[0][0]} ended")) + b"\n")
            _drain_haproxy()
            os._exit(1)  # nobody answers the calls that end Ray in order; the supervisor ends what is left


def _listen(bound: SimpleQueue[Order], started: threading.Event, told: threading.Event) -> None:
    """Wait for the end of the input, which is the sign to stop; it comes too when the supervisor was killed."""
    if line := sys.stdin.buffer.readline():
        bound.put(msgspec.json.decode(line, type=Order))
    sys.stdin.buffer.read()
    if not started.is_set():
        os._exit(1)  # nobody was answered yet; the supervisor, or the next one, ends what Ray has started
    told.set()


def _local_options(order: Order) -> dict[str, Any]:
    return {
        "include_dashboard": False,
        "num_cpus": replicas(order.to_settings()),  # for the replicas; Ray starts as many idle workers in advance
        "object_store_memory": _OBJECT_STORE,
        "_temp_dir": order.temp,
    }


def _bind(
    count: int, cpus: float, settings: Settings | None, changes: Mapping[str, str | int], local: bool
) -> Application:
    """The one deployment that there is: an ingress has one, and a router before several would cost more than a score.

    Its replicas ask Ray for no GPU, since what one replica asks for all do; each finds out for itself whether one of
    its node is for it (`_take_gpu`).
    """
    api: Any = serve.deployment(
        serve.ingress()(Api),
        name="api",
        num_replicas=count,
        max_ongoing_requests=512,
        graceful_shutdown_timeout_s=4,
        graceful_shutdown_wait_loop_s=0.2,
        # How soon one that died is replaced; HAProxy notices by itself.
        health_check_period_s=1.0,
        max_constructor_retry_count=1,
        ray_actor_options={"num_cpus": cpus, "num_gpus": 0},
    )
    bound: Application = api.bind(settings, changes, local)
    return bound


def _take_gpu(device: str) -> Compute | None:
    """What this replica runs on: the CPU and why, or None: it sees one GPU, and chooses whether that works.

    The first replicas of a node take its GPUs, one each; one that died leaves its place, and so its GPU, to the one
    that is started for it.
    """
    if device == "cpu":
        return choose(device, "serving")
    cluster: Any = ray
    here = cluster.get_runtime_context().get_node_id()
    gpus = sum(int(node["Resources"].get("GPU", 0)) for node in cluster.nodes() if node["NodeID"] == here)
    place = serve.get_replica_context().rank.local_rank
    mine = own_gpu(place, gpus, environment({}).get(_VISIBLE))
    if mine is None:
        reason = "The GPUs are other replicas'; this one stands by." if gpus else "Ray sees no GPU here."
        _log.info("This replica computes on the CPU. %s", reason)
        return Compute("cpu", reason)
    _log.info("This replica has GPU %s of its node.", mine)
    os.environ[_VISIBLE] = mine  # before anything has called CUDA
    return None


def _listening(settings: Settings) -> HTTPOptions:
    """Where HTTP listens: HAProxy's own address and TLS are `serving.haproxy`'s, its replicas stay on loopback."""
    if constants.RAY_SERVE_ENABLE_HA_PROXY:
        return HTTPOptions(host="127.0.0.1", port=settings.port)
    return HTTPOptions(
        host=settings.host, port=settings.port, ssl_certfile=settings.tls_cert, ssl_keyfile=settings.tls_key
    )


def _wait(settings: Settings) -> None:
    """Until an answer comes through the front; Ray's own health check says yes before that."""
    # By an address that no certificate is for, whether it is up: nothing is told, and nothing else is heeded.
    itself = ssl.create_default_context()
    itself.check_hostname, itself.verify_mode = False, ssl.CERT_NONE
    until = time.monotonic() + _READY_S
    while True:
        try:
            with urllib.request.urlopen(f"{address(settings)}/readyz", timeout=2, context=itself) as response:
                json.load(response)
                return
        except (URLError, OSError, ValueError):
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def _step_back() -> None:
    """Let what keeps the cluster go behind the answers: on a core that is full, each of its turns is a request's wait.
    It must not starve.
    """
    for each in psutil.Process().children(recursive=True):
        with suppress(psutil.Error, OSError):
            command = " ".join(each.cmdline()[:1])  # raylet's other arguments name the programs that it starts
            if any(name in command for name in _KEEPERS):
                _behind(each)


def _behind(process: psutil.Process) -> None:
    """Put a process behind others: every thread, since on Linux each has a rank of its own, that later ones inherit."""
    for thread in process.threads() if sys.platform == "linux" else ():
        with suppress(OSError):  # it has ended
            os.setpriority(os.PRIO_PROCESS, thread.id, _BEHIND)
    if sys.platform != "linux":
        process.nice(_BEHIND)


def _drain_haproxy() -> None:
    """Let HAProxy refuse new connections and finish those that it has, before the replica goes."""
    fronts = [each for each in psutil.Process().children(recursive=True) if each.name() == "haproxy"]
    for front in fronts:
        with suppress(psutil.NoSuchProcess):
            front.send_signal(signal.SIGUSR1)
    psutil.wait_procs(fronts, timeout=_DRAIN_S)


def _drain_proxy() -> None:
    """Let Ray's own proxy take no new connections and finish those that it has: without replicas it answers 404.

    Ray 2.60 has nothing for that: its proxy's `shutdown` is empty, and a proxy that drains says so, and serves on.
    """
    calls: Any = private
    cluster: Any = ray
    until = time.monotonic() + _DRAIN_S
    with suppress(ray.exceptions.RayError):  # it is gone already
        found = calls._get_global_client()._controller.get_proxies.remote()
        for proxy in cluster.get(found, timeout=_DRAIN_S).values():
            # By value: what is looked up in this module would be imported there first.
            stop = proxy.__ray_call__.remote(
                lambda actor: setattr(actor._start_http_server_task.result()[1], "should_exit", True)
            )
            cluster.get(stop, timeout=_DRAIN_S)
            while time.monotonic() < until:
                ended = proxy.__ray_call__.remote(lambda actor: actor._running_http_server_task.done())
                if cluster.get(ended, timeout=_DRAIN_S):
                    break
                time.sleep(_LOOK_S)


class _Node(node.Node):
    """Ray's processes on this machine, but for those that only watch the others."""

    def __init__(self, ray_params: Any, **options: Any) -> None:
        if options.get("head"):
            ray_params.setup_worker_path = worker.__file__
            ray_params.no_monitor, ray_params.include_log_monitor = True, False
        super().__init__(ray_params, **options)

    def start_raylet(self, *arguments: Any, **options: Any) -> None:
        """Wait for it here: whoever asks for a node before it is known is answered a second later."""
        super().start_raylet(*arguments, **options)
        until = time.monotonic() + _READY_S
        gcs: Any = self.get_gcs_client  # untyped
        while not gcs().get_all_node_info() and time.monotonic() < until:
            time.sleep(_SOON_S)

    def start_api_server(self, **_: Any) -> None:
        """No dashboard: it is started, if without a page, even where `include_dashboard` is false."""


def _start_lean() -> None:
    """Let `ray.init` start what answers need, and no more."""
    module: Any = node
    module.Node = _Node
    module = client
    module.CLIENT_POLLING_INTERVAL_S = _LOOK_S
    module = services
    module._build_python_executable_command_memory_profileable = lambda *_, **__: _STANDIN


def _listen_on_loopback() -> None:
    """Ray 2.60 opens a replica's port for calls between deployments on every interface, and there are none."""
    module: Any = replica
    listen: Callable[[Any, str], int] = module.add_port_to_grpc_server

    def local(server: Any, where: str) -> int:
        return listen(server, where.replace("[::]", "127.0.0.1"))

    module.add_port_to_grpc_server = local


def _log_to_file(settings: Settings) -> None:
    """What this room and the ground floor say, apart from what Ray says; its files go when it goes."""
    settings.logs.mkdir(parents=True, exist_ok=True)
    handler = WatchedFileHandler(settings.logs / LOG)  # goes on after another program has rotated it
    handler.setFormatter(JsonFormatter())
    for name in ("serving", "motherlode"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else ''}"[:500]
