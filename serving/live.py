"""The bundle that serves now, and the change to a newer one without losing a request.

A newer bundle is loaded, verified and run once beside the one that serves; then it answers some live requests too,
which nobody sees; then, where the settings say so, a share of the customers; then all. Where its answers are null,
shifted or slow it is refused, and the old one serves on, or again: in every replica (`serving.verdicts`).
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import redis.asyncio

from motherlode import audit, bundles
from motherlode.api import (
    SERVICE,
    FeaturesAnswer,
    FeaturesRequest,
    Portrait,
    RecommendAnswer,
    RecommendRequest,
    ScoreAnswer,
    ScoreRequest,
    SimilarAnswer,
    SimilarRequest,
)
from motherlode.bundles import Pointer
from motherlode.compute import Compute, choose
from motherlode.errors import BundleError, MotherlodeError
from motherlode.refusal import Refusal
from motherlode.settings import Settings
from serving.breaker import Breaker
from serving.engine import Engine
from serving.loading import AbsentError, Loader
from serving.served import Asked, Served, share_of, short
from serving.setback import Setback, passing
from serving.sight import Sight
from serving.trial import Bounds, Sample, objections
from serving.verdicts import Verdicts

REFUSED: Final = "bundle refused"
"""The action of the audit log's entry."""

_EVERY_S: Final = 1.0
_LOOKS: Final = 6
"""How often a new bundle is held against the old one while both answer."""
_KEPT: Final = 400
"""Requests that are kept, to be asked again where nobody asks while a bundle is tried: enough to say of a shift."""
_REMEDY: Final = "Publish a better one, or make the bundle before it current: `motherlode publish VERSION`."
_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pace:
    """How a change of bundles goes, seconds.

    Attributes:
        between: live requests that the new bundle answers too, at least so long one after the other.
        shadow: how long it does; where hardly anybody asks meanwhile, requests of earlier are asked again.
        canary: how long a share of the customers gets it, where the settings say so.
        watch: how long after the change its answers are held against the old one's.
    """

    between: float = 0.01
    shadow: float = 3.0
    canary: float = 30.0
    watch: float = 60.0


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
        self._settings = settings
        self._compute = compute or choose(settings.device, "serving")
        self._pace = pace
        self._bounds = bounds
        self._breaker = Breaker()
        self._loader = Loader(settings, client, self._compute, self._breaker, sight)
        self._verdicts = Verdicts(settings, client)
        self._refusal: Refusal | None = None
        self._loading, self._substituting = Setback(), Setback()
        self._taken = bundles.pointer(settings.models)
        self._now = Served(self._first(self._taken), Sample())
        self._shadow: Served | None = None
        self._canary: Served | None = None
        self._before: Served | None = None
        self._changed = 0.0
        self._asked = self._sampled = -self._pace.shadow
        self._earlier: deque[Asked] = deque(maxlen=_KEPT)
        self._beside: asyncio.Task[bool] | None = None

    @property
    def engine(self) -> Engine:
        """What answers most customers."""
        return self._now.engine

    @property
    def waits(self) -> bool:
        """Whether Redis is waited for: it is not, where it did not answer again and again."""
        return not self._breaker.open

    @property
    def fell_back(self) -> bool:
        """Whether the CPU answers because CUDA failed."""
        return self._compute.kind == "gpu" and self.engine.compute.kind == "cpu"

    @property
    def refused(self) -> str | None:
        """Why the current bundle does not serve, everywhere or here; None where it does, or is still tried."""
        return self._loading.problem if self._refusal is None else self._refusal.reason

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

    async def similar_items(self, request: SimilarRequest) -> SimilarAnswer:
        """See `Engine.similar_items`; its first item decides whose answer it is, as a customer does."""
        served, began = self._of(request.item_ids), time.perf_counter()
        answer = await served.engine.similar_items(request)
        self._saw(served, request, answer, began)
        return answer

    async def features(self, request: FeaturesRequest) -> FeaturesAnswer:
        """See `Engine.features`."""
        return await self._of(request.customer_ids).engine.features(request)

    async def portrait(self, customer_id: int | str, campaign: str | None, purpose: str = SERVICE) -> Portrait:
        """See `Engine.portrait`."""
        return await self._of([customer_id]).engine.portrait(customer_id, campaign, purpose)

    def _of(self, ids: Sequence[int | str]) -> Served:
        """Whose answer a call gets: its first customer decides for all of them, since no answer is of two bundles."""
        if self._canary is None or not ids:
            return self._now
        return self._canary if share_of(ids[0]) < self._settings.canary else self._now

    def _saw(
        self, served: Served, request: Asked, answer: ScoreAnswer | RecommendAnswer | SimilarAnswer, began: float
    ) -> None:
        """Keep some answers; while there is a shadow, let it answer the same requests."""
        ended = time.perf_counter()
        self._asked = ended
        if ended - self._sampled < self._pace.between:
            return
        self._sampled = ended
        self._earlier.append(short(request))
        if self._shadow is not None:
            if self._beside is not None and not self._beside.done():
                return  # the two samples are of the same requests
            self._beside = asyncio.create_task(self._shadow.unseen(request))
        served.sample.add(answer.results, ended - began)

    async def watch(self) -> None:
        """Look for another current bundle, for what other replicas refuse, and after the one that took over last."""
        while True:
            await asyncio.sleep(_EVERY_S)
            try:
                await self.judge()
                await self.refresh()
            except Exception:  # noqa: BLE001 - what serves goes on serving; the next look may go better
                _log.exception("The current bundle cannot be looked at.")

    async def judge(self) -> None:
        """Go back to the bundle before, where the one that took over a moment ago does badly."""
        if self._before is None:
            return
        if objections(self._before.sample, self._now.sample, self._bounds):
            found = await self._both(self._before, self._now)
            if found:
                gone, self._now, self._before = [self._now], self._before, None
                reason = f"Bundle {self._taken.version}: {'; '.join(found)}."
                await self._refuse(self._taken, BundleError(reason, _REMEDY))
                await self._loader.free(gone)
        elif time.perf_counter() - self._changed > self._pace.watch:
            gone, self._before = [self._before], None
            await self._loader.free(gone)

    async def _both(self, before: Served, now: Served) -> list[str]:
        """What speaks against a bundle where both answer the same requests, now.

        Since the change customers, their features and the machine's other work may have changed too. Where it was
        those, the two are held against each other from here on.
        """
        old, new = Served(before.engine, Sample()), Served(now.engine, Sample())
        await self._ask_again(old, new)
        found = objections(old.sample, new.sample, self._bounds, alike=True)
        if not found:
            before.sample, now.sample = old.sample, Sample()
        return found

    async def refresh(self) -> None:
        """Serve the current bundle if it is another, verifies and does well; else what serves in its place.

        Loading does not hold up requests.
        """
        try:
            pointer = await asyncio.to_thread(bundles.pointer, self._settings.models)
        except (BundleError, OSError, ValueError):
            return  # the pointer is gone or unreadable: what serves goes on serving
        if await self._refused(pointer):
            self._loading.over()
            await self._heed()
        elif pointer.version == self.engine.version:
            self._loading.over()
        elif self._loading.due(pointer):
            await self._change(pointer)

    async def _refused(self, pointer: Pointer) -> bool:
        """Whether a replica has refused what is current."""
        self._refusal = await self._verdicts.look(pointer)
        return self._refusal is not None

    async def _heed(self) -> None:
        """Serve what serves in place of the refused bundle."""
        refusal = self._refusal
        if refusal is None or refusal.serving == self.engine.version or not self._substituting.due(refusal.serving):
            return
        try:
            if self._before is not None and self._before.engine.version == refusal.serving:
                served = self._before
            else:
                served = Served(await self._loader.beside(refusal.serving), Sample())
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, what serves must go on serving
            if self._substituting.failed(refusal.serving, error, str(error)):
                place = refusal.serving, self.engine.version, error
                _log.error("Bundle %s should serve and cannot yet, %s does: %s", *place)
            return
        self._substituting.over()
        gone, self._now, self._before = [self._now], served, None
        _log.error("Bundle %s was refused by a replica, %s serves: %s", *_told(refusal))
        await self._loader.free(gone)

    async def _change(self, pointer: Pointer) -> None:
        """Try the current bundle, and serve it or refuse it."""
        try:
            new = Served(await self._loader.beside(pointer.version), Sample())
            await self._try(new, pointer)
        except _OverError as over:
            _log.info("Bundle %s is tried no longer: %s.", pointer.version, over)
            return
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the old one must go on serving
            if isinstance(error, BundleError) and not isinstance(error, AbsentError) and not passing(error):
                await self._refuse(pointer, error)
            else:  # of this replica alone: others may do better, and so may this one a moment later
                problem = f"Bundle {pointer.version} cannot be loaded here, and is tried again: {error or repr(error)}"
                if self._loading.failed(pointer, error, problem):
                    _log.error("%s", problem)
            return
        _log.info("Bundle %s replaces %s.", pointer.version, self.engine.version)
        gone = [] if self._before is None else [self._before]
        self._before, self._now, self._changed = self._now, new, time.perf_counter()
        self._taken = pointer
        self._loading.over()
        await self._loader.free(gone)

    async def _try(self, new: Served, pointer: Pointer) -> None:
        """Let a new bundle answer requests that nobody sees, then those of some customers.

        Raises:
            BundleError: its answers are null, shifted or slow.
            _OverError: another bundle was made current meanwhile, or another replica has refused this one.
        """
        before, self._now.sample = self._now.sample, Sample()
        self._shadow = new
        try:
            if time.perf_counter() - self._asked <= self._pace.shadow:
                await self._hold(new, pointer, self._pace.shadow)
            if len(new.sample.seconds) < self._bounds.few:
                self._shadow = None
                await self._rehearse(new)
            if 0 < self._settings.canary < 1:
                # Each has customers of its own now.
                self._shadow, self._canary, self._now.sample = None, new, before
                new.sample = Sample()
                await self._hold(new, pointer, self._pace.canary)
        finally:
            self._shadow = self._canary = None
            self._now.sample = before
        new.sample = Sample()
        await self._require(pointer)

    async def _hold(self, new: Served, pointer: Pointer, seconds: float) -> None:
        """Compare for a while; see `_try`."""
        until = time.perf_counter() + seconds
        while True:
            left = until - time.perf_counter()
            self._compare(self._now.sample, new, alike=self._shadow is not None)
            if left <= 0:
                return
            await asyncio.sleep(min(left, seconds / _LOOKS, _EVERY_S))
            await self._require(pointer)

    async def _ask_again(self, old: Served, new: Served) -> None:
        """Let two bundles answer requests of earlier, the latest first, for nobody, until a shift would show."""
        for request in reversed(list(self._earlier)):
            if await old.unseen(request):
                await new.unseen(request)
            if new.sample.scored >= self._bounds.few_scored:
                return

    async def _rehearse(self, new: Served) -> None:
        """Hold a new bundle to requests of earlier; see `_try`."""
        if not self._earlier:
            _log.info("Nobody has asked yet: bundle %s was held to its own samples alone.", new.engine.version)
            return
        old, new.sample = Served(self.engine, Sample()), Sample()
        await self._ask_again(old, new)
        self._compare(old.sample, new, alike=True)

    def _compare(self, old: Sample, new: Served, *, alike: bool) -> None:
        """Raise a BundleError where the new bundle does badly."""
        if found := objections(old, new.sample, self._bounds, alike=alike):
            raise BundleError(f"Bundle {new.engine.version}: {'; '.join(found)}.", _REMEDY)

    async def _require(self, pointer: Pointer) -> None:
        """Raise an _OverError where the pointer stands no longer as it did, or another replica has refused it."""
        try:
            now = await asyncio.to_thread(bundles.pointer, self._settings.models)
        except (BundleError, OSError, ValueError):
            raise _OverError("the pointer is gone or unreadable") from None
        if now != pointer:
            raise _OverError(f"{now.version} was published")
        if await self._refused(pointer):
            raise _OverError("another replica refuses it")

    async def _refuse(self, pointer: Pointer, error: Exception) -> None:
        told = Refusal(pointer.written_ns, time.time(), pointer.version, self.engine.version, str(error))
        self._refusal = told
        _log.error("Bundle %s is refused, %s keeps serving: %s", *_told(told))
        asyncio.get_running_loop().run_in_executor(None, self._note, told)
        await self._verdicts.tell(told)

    def _note(self, told: Refusal) -> None:
        """Put a refusal into the audit log."""
        try:
            audit.record(self._settings, REFUSED, told.version, reason=told.reason, serving=told.serving)
        except (MotherlodeError, OSError) as error:
            _log.error("The audit log takes no entry: %s", error)

    def _first(self, pointer: Pointer) -> Engine:
        """What a replica serves that starts: the current bundle, or what serves in its place everywhere else."""
        told = self._verdicts.at_start(pointer)
        if told is None:
            return self._loader.load(pointer.version)
        try:
            engine = self._loader.load(told.serving)
        except Exception as error:  # noqa: BLE001 - a refused bundle answers better than none does
            self._substituting.failed(told.serving, error, str(error))
            _log.error("Bundle %s is refused, but %s cannot serve in its place: %s", told.version, told.serving, error)
            return self._loader.load(pointer.version)
        self._refusal = told
        _log.error("Bundle %s was refused by a replica, %s serves: %s", *_told(told))
        return engine


class _OverError(Exception):
    """A trial that has no aim any more, and why."""


def _told(refusal: Refusal) -> tuple[str, str, str]:
    return refusal.version, refusal.serving, refusal.reason
