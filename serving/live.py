"""The bundle that serves now, and the change to a newer one without losing a request."""

import asyncio
import logging
from typing import Final

import redis.asyncio

from motherlode import bundle, runtime
from motherlode.compute import Compute, choose
from motherlode.errors import BundleError
from motherlode.runtime import Runtime
from motherlode.settings import Settings
from serving.engine import Engine

_EVERY_S: Final = 1.0
_log: Final = logging.getLogger(__name__)


class Live:
    """Holds the engine that answers, and replaces it when another bundle is made current.

    A bundle that does not load or verify is refused once, and the old one keeps serving.

    Args:
        settings: bound to a Redis.
        client: the connections to read features by.
        compute: what to run the models on; None chooses by the settings.

    Raises:
        BundleError: there is no bundle, or the current one does not verify.
        DeviceError: the GPU was asked for by name and is not there.
    """

    def __init__(self, settings: Settings, client: redis.asyncio.Redis, compute: Compute | None = None) -> None:
        self._settings = settings
        self._client = client
        self._compute = compute or choose(settings.device, "serving")
        self._refused_version = ""
        self.refused: str | None = None
        self.engine = self._load(bundle.current(settings.models).name)

    async def watch(self) -> None:
        """Look for another current bundle, for ever."""
        while True:
            await asyncio.sleep(_EVERY_S)
            await self.refresh()

    async def refresh(self) -> None:
        """Serve the current bundle if it is another and verifies; loading does not hold up requests."""
        try:
            version = await asyncio.to_thread(lambda: bundle.current(self._settings.models).name)
        except (BundleError, OSError, ValueError):
            return  # the pointer is gone or unreadable: what serves goes on serving
        if version == self.engine.version:
            self._refused_version, self.refused = "", None
            return
        if version == self._refused_version:
            return
        try:
            engine = await asyncio.to_thread(self._load, version)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the old one must go on serving
            self._refused_version, self.refused = version, str(error)
            _log.error("Bundle %s is refused, %s keeps serving: %s", version, self.engine.version, error)
            return
        _log.info("Bundle %s replaces %s.", version, self.engine.version)
        self._refused_version, self.refused = "", None
        self.engine = engine

    def _load(self, version: str) -> Engine:
        loaded = bundle.load(self._settings.models / version)
        bundle.require_identity(loaded.manifest, self._settings.identity)
        runtime.check_parts(loaded)
        models = Runtime(loaded, self._compute, strict=self._settings.device == "gpu")
        models.check()
        return Engine(self._settings, loaded, models, self._client)
