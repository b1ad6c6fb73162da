"""A bundle loaded beside the one that serves, as little in its way as can be. No HTTP.

Loading takes a core for some tenths of a second. In a thread it holds up answers where it holds the interpreter: so it
has to give that back often. Replicas of one machine load one after the other.
"""

import asyncio
import logging
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Final

import redis.asyncio

from motherlode import bundle, bundles, runtime
from motherlode.compute import Compute
from motherlode.errors import BundleError, StoreError
from motherlode.lock import exclusive
from motherlode.runtime import Runtime
from motherlode.settings import Settings
from serving.breaker import Breaker
from serving.engine import Engine
from serving.served import Served
from serving.sight import Sight
from serving.suppression import Suppression

_ASKS_S: Final = 0.05
_SLICE_S: Final = 0.0005
"""How long a thread keeps the interpreter while another wants it, and a bundle is loaded; a tenth of what is usual.
Each request wants it back several times, after each word with Redis and with whoever asked."""
_log: Final = logging.getLogger(__name__)


class AbsentError(BundleError):
    """This disk has no such bundle, or not yet: others may have it."""


class Loader:
    """Makes engines of bundles, for one replica.

    Args:
        settings: bound to a Redis.
        client: the connections to read features by.
        compute: what to run the models on.
        breaker: what guards the connections.
        sight: what counts the answers.
        patience_s: after so long it is loaded though another replica is loading: that one may hang on its disk.
    """

    def __init__(
        self,
        settings: Settings,
        client: redis.asyncio.Redis,
        compute: Compute,
        breaker: Breaker,
        sight: Sight | None,
        patience_s: float = 10.0,
    ) -> None:
        self._settings = settings
        self._client = client
        self._compute = compute
        self._breaker = breaker
        self._sight = sight
        self._suppression = Suppression(client, settings.project, settings.redis_budget_s)
        self._patience_s = patience_s
        self._thread = ThreadPoolExecutor(1, "bundle")

    def load(self, version: str) -> Engine:
        """A bundle, verified, held to its training and run once.

        Args:
            version: it may come from Redis, and becomes a path: it must be one that there is.

        Raises:
            AbsentError: there is no such bundle.
            BundleError: it does not verify.
            DeviceError: the GPU was asked for by name, and does not answer as it must.
        """
        settings = self._settings
        if version not in (there := bundles.versions(settings.models)):
            listed = ", ".join(there) or "none"
            raise AbsentError(f"There is no bundle {version!r} in {settings.models}.", f"Written: {listed}.")
        loaded = bundle.load(settings.models / version, settings.trusted_keys)
        bundle.require_identity(loaded.manifest, settings.identity)
        runtime.check_parts(loaded)
        models = Runtime(loaded, self._compute, strict=settings.device == "gpu")
        models.check()
        engine = Engine(settings, loaded, models, self._client, self._breaker, self._sight, self._suppression)
        engine.warm()
        return engine

    async def beside(self, version: str) -> Engine:
        """`load`, while another bundle serves."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._load_gently, version)

    async def free(self, gone: list[Served]) -> None:
        """Empty a list of what serves no longer: its memory may take a while to give back.

        Requests that have one of them yet end with it.
        """
        await asyncio.get_running_loop().run_in_executor(self._thread, gone.clear)

    def _load_gently(self, version: str) -> Engine:
        with self._turn(), _short_slices():
            return self.load(version)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One replica of a machine after the other: two that load at a time would leave no core to answer."""
        until = time.monotonic() + self._patience_s
        with ExitStack() as held:
            while time.monotonic() < until:
                try:
                    held.enter_context(exclusive(self._settings, lock_of(socket.gethostname())))
                    break
                except StoreError:
                    time.sleep(_ASKS_S)
                except OSError as error:  # the home cannot be written
                    _log.info("Replicas may load bundles at one time: %s.", error.strerror)
                    break
            yield


def lock_of(host: str) -> str:
    """The lock's name: machines that share the home share no core, and do not wait for each other."""
    return f"loading-{host}"


@contextmanager
def _short_slices() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(min(usual, _SLICE_S))
    try:
        yield
    finally:
        sys.setswitchinterval(usual)
