"""The bundle that serves now, and the change to a newer one without losing a request.

A newer bundle is loaded, verified and run once beside the one that serves; then it answers some live requests too,
which nobody sees; then, where the settings say so, a share of the customers; then all. Where its answers are null,
shifted or slow it is refused, and the old one serves on, or again.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from zlib import crc32

import redis.asyncio

from motherlode import audit, bundle, runtime
from motherlode.api import (
    SERVICE,
    FeaturesAnswer,
    FeaturesRequest,
    Portrait,
    RecommendAnswer,
    RecommendRequest,
    ScoreAnswer,
    ScoreRequest,
)
from motherlode.compute import Compute, choose
from motherlode.errors import BundleError, MotherlodeError
from motherlode.runtime import Runtime
from motherlode.settings import Settings
from serving.breaker import Breaker
from serving.engine import Engine
from serving.sight import Sight, unseen
from serving.suppression import Suppression
from serving.trial import Bounds, Sample, objections

REFUSED: Final = "bundle refused"
"""The action of the audit log's entry."""

_EVERY_S: Final = 1.0
_LOOKS: Final = 6
"""How often a new bundle is held against the old one while both answer."""
_BUCKETS: Final = 10_000
_REMEDY: Final = "Publish a better one, or make the bundle before it current: `motherlode publish VERSION`."
_log: Final = logging.getLogger(__name__)

Asked = ScoreRequest | RecommendRequest


@dataclass(frozen=True)
class Pace:
    """How a change of bundles goes, seconds.

    Attributes:
        between: live requests that the new bundle answers too, at least so long one after the other.
        shadow: how long it does; where nobody has asked for so long, there is nothing to compare, and it serves.
        canary: how long a share of the customers gets it, where the settings say so.
        watch: how long after the change its answers are held against the old one's.
    """

    between: float = 0.01
    shadow: float = 3.0
    canary: float = 30.0
    watch: float = 60.0


@dataclass
class _Served:
    """An engine, and what it answered lately."""

    engine: Engine
    sample: Sample


class Live:
    """Answers by the current bundle, and changes to another when it is made current.

    Args:
        settings: bound to a Redis.
        client: the connections to read features by.
        compute: what to run the models on; None chooses by the settings.
        sight: what counts the answers.
        pace: how a change goes.
        bounds: what a new bundle is held to.

    Raises:
        BundleError: there is no bundle, or the current one does not verify.
        DeviceError: the GPU was asked for by name and is not there.
    """

    def __init__(
        self,
        settings: Settings,
        client: redis.asyncio.Redis,
        compute: Compute | None = None,
        sight: Sight | None = None,
        pace: Pace = Pace(),
        bounds: Bounds = Bounds(),  # noqa: B008
    ) -> None:
        self._sight = sight
        self._settings = settings
        self._client = client
        self._compute = compute or choose(settings.device, "serving")
        self._pace = pace
        self._bounds = bounds
        self._breaker = Breaker()
        self._suppression = Suppression(client, settings.project, settings.redis_budget_s)
        self._refused_version = ""
        self.refused: str | None = None
        self._now = _Served(self._load(bundle.current(settings.models).name), Sample())
        self._shadow: _Served | None = None
        self._canary: _Served | None = None
        self._before: _Served | None = None
        self._changed = 0.0
        self._asked = self._sampled = -self._pace.shadow
        self._beside: asyncio.Task[None] | None = None

    @property
    def engine(self) -> Engine:
        """What answers most customers."""
        return self._now.engine

    async def score(self, request: ScoreRequest) -> ScoreAnswer:
        """See `Engine.score`."""
        served, began = self._of(request.customer_ids), time.perf_counter()
        answer = await served.engine.score(request)
        self._saw(served, request, answer, began)
        return answer

    async def recommend(self, request: RecommendRequest) -> RecommendAnswer:
        """See `Engine.recommend`."""
        served, began = self._of(request.customer_ids), time.perf_counter()
        answer = await served.engine.recommend(request)
        self._saw(served, request, answer, began)
        return answer

    async def features(self, request: FeaturesRequest) -> FeaturesAnswer:
        """See `Engine.features`."""
        return await self._of(request.customer_ids).engine.features(request)

    async def portrait(self, customer_id: int | str, campaign: str | None, purpose: str = SERVICE) -> Portrait:
        """See `Engine.portrait`."""
        return await self._of([customer_id]).engine.portrait(customer_id, campaign, purpose)

    def _of(self, ids: Sequence[int | str]) -> _Served:
        """Whose answer a request gets: its first customer decides, since no answer is of two bundles."""
        if self._canary is None or not ids:
            return self._now
        share = crc32(repr(ids[0]).encode()) % _BUCKETS / _BUCKETS
        return self._canary if share < self._settings.canary else self._now

    def _saw(self, served: _Served, request: Asked, answer: ScoreAnswer | RecommendAnswer, began: float) -> None:
        """Keep some answers; while there is a shadow, let it answer the same requests."""
        ended = time.perf_counter()
        self._asked = ended
        if ended - self._sampled < self._pace.between:
            return
        self._sampled = ended
        if self._shadow is not None:
            if self._beside is not None and not self._beside.done():
                return  # the two samples are of the same requests
            self._beside = asyncio.create_task(_answer(self._shadow, request))
        served.sample.add(answer.results, ended - began)

    async def watch(self) -> None:
        """Look for another current bundle, and after the one that took over last, for ever."""
        while True:
            await asyncio.sleep(_EVERY_S)
            try:
                self.judge()
                await self.refresh()
            except Exception:  # noqa: BLE001 - what serves goes on serving; the next look may go better
                _log.exception("The current bundle cannot be looked at.")

    def judge(self) -> None:
        """Go back to the bundle before, where the one that took over a moment ago does badly."""
        if self._before is None:
            return
        found = objections(self._before.sample, self._now.sample, self._bounds)
        if found:
            bad, self._now, self._before = self._now, self._before, None
            self._refuse(bad.engine.version, BundleError(f"Bundle {bad.engine.version}: {'; '.join(found)}.", _REMEDY))
        elif time.perf_counter() - self._changed > self._pace.watch:
            self._before = None

    async def refresh(self) -> None:
        """Serve the current bundle if it is another, verifies and does well; loading does not hold up requests."""
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
            new = _Served(await asyncio.to_thread(self._load, version), Sample())
            await self._try(new)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the old one must go on serving
            self._refuse(version, error)
            return
        _log.info("Bundle %s replaces %s.", version, self.engine.version)
        self._refused_version, self.refused = "", None
        self._before, self._now, self._changed = self._now, new, time.perf_counter()

    async def _try(self, new: _Served) -> None:
        """Let a new bundle answer live requests that nobody sees, then those of some customers.

        Raises:
            BundleError: its answers are null, shifted or slow.
        """
        if time.perf_counter() - self._asked > self._pace.shadow:
            return
        before, self._now.sample = self._now.sample, Sample()
        self._shadow = new
        try:
            await self._hold(new, self._pace.shadow)
            if 0 < self._settings.canary < 1:
                # Each has customers of its own now.
                self._shadow, self._canary, self._now.sample = None, new, before
                new.sample = Sample()
                await self._hold(new, self._pace.canary)
        finally:
            self._shadow = self._canary = None
            self._now.sample = before
        new.sample = Sample()

    async def _hold(self, new: _Served, seconds: float) -> None:
        """Compare for a while.

        Raises:
            BundleError: the new one does badly.
        """
        until = time.perf_counter() + seconds
        while True:
            left = until - time.perf_counter()
            if found := objections(self._now.sample, new.sample, self._bounds, alike=self._shadow is not None):
                raise BundleError(f"Bundle {new.engine.version}: {'; '.join(found)}.", _REMEDY)
            if left <= 0:
                return
            await asyncio.sleep(min(left, seconds / _LOOKS))

    def _refuse(self, version: str, error: Exception) -> None:
        self._refused_version, self.refused = version, str(error)
        _log.error("Bundle %s is refused, %s keeps serving: %s", version, self.engine.version, error)
        asyncio.get_running_loop().run_in_executor(None, self._tell, version, str(error))

    def _tell(self, version: str, reason: str) -> None:
        """Put a refusal into the audit log."""
        try:
            audit.record(self._settings, REFUSED, version, reason=reason, serving=self.engine.version)
        except (MotherlodeError, OSError) as error:
            _log.error("The audit log takes no entry: %s", error)

    def _load(self, version: str) -> Engine:
        loaded = bundle.load(self._settings.models / version, self._settings.trusted_keys)
        bundle.require_identity(loaded.manifest, self._settings.identity)
        runtime.check_parts(loaded)
        models = Runtime(loaded, self._compute, strict=self._settings.device == "gpu")
        models.check()
        return Engine(self._settings, loaded, models, self._client, self._breaker, self._sight, self._suppression)


async def _answer(shadow: _Served, request: Asked) -> None:
    """Answer a request for nobody; one that fails is a null answer of everything."""
    began = time.perf_counter()
    try:
        with unseen():
            if isinstance(request, ScoreRequest):
                shadow.sample.add((await shadow.engine.score(request)).results, time.perf_counter() - began)
            else:
                shadow.sample.add((await shadow.engine.recommend(request)).results, time.perf_counter() - began)
    except Exception:  # noqa: BLE001 - what the live bundle answers and this one refuses speaks against it
        shadow.sample.failures += 1
