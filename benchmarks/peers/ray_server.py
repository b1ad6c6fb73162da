"""Ray Serve as it comes: a local Ray, the default proxy on a port, one application, until SIGTERM or SIGINT."""

import signal
import threading
from types import FrameType
from typing import Any

import ray
from ray import serve


def run(application: Any, port: int) -> None:
    """Serve an application.

    Args:
        application: a deployment, bound.
        port: on the loopback interface.
    """
    stopping = threading.Event()

    def stop(_: int, __: FrameType | None) -> None:
        stopping.set()

    cluster: Any = ray  # both have types, but not for all
    front: Any = serve
    cluster.init(address="local")
    front.start(http_options={"host": "127.0.0.1", "port": port})
    front.run(application)
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, stop)
    stopping.wait()
    front.shutdown()
    cluster.shutdown()
