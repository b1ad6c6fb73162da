"""The HTTP layer: a Litestar ASGI application, under Ray Serve (`serving.app`) or under uvicorn alone.

uvicorn --factory serving.http:from_env
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import replace
from typing import Annotated, Any, Final
from urllib.parse import unquote

import msgspec
from litestar import Litestar, Request, Response, get, post
from litestar.datastructures import State
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.response import Redirect

from motherlode import __version__, redis_server
from motherlode.api import (
    MAX_BODY,
    SERVICE,
    Alive,
    ErrorAnswer,
    FeaturesAnswer,
    FeaturesRequest,
    Portrait,
    Ready,
    RecommendAnswer,
    RecommendRequest,
    ScoreAnswer,
    ScoreRequest,
    SimilarAnswer,
    SimilarRequest,
)
from motherlode.compute import Compute
from motherlode.consent import UnknownPurposeError
from motherlode.settings import Settings
from serving import problems
from serving.audit import Journal
from serving.consent import Listener, keep_up
from serving.docs import DocsPage
from serving.events import Receiver
from serving.front import DECODER, PURPOSES, Front, refusal, template
from serving.live import Live
from serving.lock.caller import STATE
from serving.lock.opening import open_lock
from serving.lock.policy import AUTO, ON
from serving.lock.purposes import Purposes
from serving.openapi import complete
from serving.problems import REFUSALS
from serving.reading import connect, ping
from serving.scoring import UnknownCampaignError
from serving.sight import Health, open_sight
from serving.sight.text import CONTENT_TYPE
from serving.telling import consent, contact, events, note

_log: Final = logging.getLogger(__name__)

_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]{0,17}")

_PARAMETER: Final = ResponseSpec(ErrorAnswer, generate_examples=False, description="A parameter is wrong.")

CampaignType = Annotated[
    str | None, QueryParameter(name="campaign_type", description="The campaign type that the response score is for.")
]

PurposeParameter = Annotated[str, QueryParameter(name="purpose", description="What the answer is for.")]
_DOCUMENT: Final = "document"
_PURPOSE: Final = "purpose"


class TypedRequest(Request[Any, Any, Any]):
    """A request whose body is decoded straight to its handler's type, once."""

    async def json(self) -> Any:
        """The body as the struct that the handler's `decoder` option makes."""
        return problems.decode(await self.body(), self.route_handler.opt[DECODER])


def build(settings: Settings, compute: Compute | None = None) -> Front:
    """The application, its bundle loaded and verified.

    Args:
        settings: bound to a Redis, which may be down: answers then come without features.
        compute: what to run the models on; None chooses by the settings.

    Raises:
        BundleError: there is no bundle, or it does not verify.
        DeviceError: the GPU was asked for by name and is not there.
        SettingsError: the lock is on, and its settings are not whole.
        StoreError: the settings name no Redis.
    """
    lock = open_lock(settings)
    client = connect(settings)
    sight = open_sight(settings)
    journal = Journal(settings)
    live = Live(settings, client, compute, sight)

    async def readiness() -> Ready:
        state = await ping(client, settings.redis_budget_s)
        device = live.engine.compute
        return Ready(
            status="ready" if state == "ok" else "degraded",
            bundle=live.engine.version,
            device=device.kind,
            device_reason=device.reason,
            redis=state,
            refused=live.refused,
            search=live.engine.search,
        )

    async def health() -> Health:
        ready = await readiness()
        return Health(
            ready.bundle,
            ready.device,
            ready.refused,
            ready.status == "ready",
            live.waits,
            live.fell_back,
            journal.failing,
            journal.waiting,
            journal.lost,
        )

    async def told() -> str:
        return await sight.text(await health())

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        watching = (live.watch(), keep_up(settings, sight.kept_up), sight.run(health))
        tasks = [asyncio.create_task(each) for each in watching]
        try:
            journal.start()
            async with lock.watching() if lock is not None else nullcontext():
                yield
        finally:
            await asyncio.to_thread(journal.stop)
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            await asyncio.to_thread(sight.close)
            await client.aclose()

    app = Litestar(
        [
            score,
            recommend,
            similar_items,
            features,
            events,
            consent,
            contact,
            portrait,
            healthz,
            readyz,
            metrics,
            document,
            home,
        ],
        request_class=TypedRequest,
        request_max_body_size=MAX_BODY,
        exception_handlers={Exception: _refuse},
        lifespan=[lifespan],
        state=State(
            {
                "live": live,
                "readiness": readiness,
                "metrics": told,
                "receiver": Receiver(settings, client),
                "listener": Listener(settings, client),
                "journal": journal,
                PURPOSES: Purposes(settings.purpose_required == ON, None if lock is None else lock.denials),
            }
        ),
        openapi_config=OpenAPIConfig(
            title="Motherlode",
            version=__version__,
            description="Whom to contact, with what, and why.",
            use_handler_docstrings=True,
            path="/docs",
            render_plugins=[DocsPage()],
        ),
        logging_config=None,
    )
    return Front(app, sight, gate=None if lock is None else lock.gate, most=settings.max_in_hand, journal=journal)


def from_env() -> Front:
    """The application by the environment's settings, with the embedded Valkey where it names no Redis.

    It cannot know where uvicorn listens: the lock is on unless MOTHERLODE_LOCK says off.
    """
    settings = Settings.from_env()
    settings = replace(settings, lock=ON if settings.lock == AUTO else settings.lock)
    return build(settings.with_redis(redis_server.ensure(settings)))


@post(
    "/v1/score",
    status_code=200,
    responses=REFUSALS,
    opt={DECODER: msgspec.json.Decoder(ScoreRequest)},
    summary="Segment and scores of customers",
)
async def score(data: JSONBody[ScoreRequest], state: State) -> ScoreAnswer:
    """The segment of each customer, the probability of no purchase in the next 28 days, and, for a
    campaign, the probability of redeeming one of its coupons. An unknown customer is answered with
    the status `cold` and without scores.
    """
    problems.check_size(len(data.customer_ids))
    return await _live(state).score(data)


@post(
    "/v1/recommend",
    status_code=200,
    responses=REFUSALS,
    opt={DECODER: msgspec.json.Decoder(RecommendRequest)},
    summary="Items for customers",
)
async def recommend(data: JSONBody[RecommendRequest], state: State) -> RecommendAnswer:
    """The best items for each customer: by the recommender, else what is popular in the customer's
    segment, else what is popular with all. `source` says which, `notes` say why.
    """
    problems.check_size(len(data.customer_ids), data.k)
    return await _live(state).recommend(data)


@post(
    "/v1/similar/items",
    status_code=200,
    responses=REFUSALS,
    opt={DECODER: msgspec.json.Decoder(SimilarRequest)},
    summary="Items like an item",
)
async def similar_items(data: JSONBody[SimilarRequest], state: State) -> SimilarAnswer:
    """The items that are most like each of these, by the cosine between the recommender's item vectors,
    under the same filters as recommendations. An unknown item is answered with an empty list.
    """
    problems.check_items(len(data.item_ids))
    return await _live(state).similar_items(data)


@post(
    "/v1/features",
    status_code=200,
    responses=REFUSALS,
    opt={DECODER: msgspec.json.Decoder(FeaturesRequest)},
    summary="Features of customers",
)
async def features(data: JSONBody[FeaturesRequest], state: State) -> FeaturesAnswer:
    """The features of each customer as the online store has them, by view: each row with its status
    and age. What is unknown, stale or null is null, and `status` says which.
    """
    problems.check_size(len(data.customer_ids))
    return await _live(state).features(data)


@get(
    "/v1/customers/{customer_id:str}",
    responses={400: _PARAMETER, 422: REFUSALS[422]},
    summary="Portrait of a customer",
)
async def portrait(
    customer_id: FromPath[str],
    request: Request[Any, Any, Any],
    state: State,
    campaign_type: CampaignType = None,
    purpose: PurposeParameter = SERVICE,
) -> Portrait:
    """Every feature of the customer by view, with its age, beside the segment and the scores. The id
    is percent-encoded, a slash as `%2F`; one that is written like an integer comes back as one.
    """
    journal: Journal = state["journal"]
    journal.require()
    purposes: Purposes = state[PURPOSES]
    purpose = purposes.choose(request.scope, purpose, _PURPOSE)
    name = unquote(customer_id)
    outside = int(name) if _INTEGER.fullmatch(name) else name
    try:
        answer = await _live(state).portrait(outside, campaign_type, purpose)
    except UnknownCampaignError as error:
        raise problems.unknown_campaign(error, "campaign_type") from None
    except UnknownPurposeError as error:
        raise problems.unknown_purpose(error, _PURPOSE) from None
    note(state, request, purpose, (outside,), answer.bundle)
    return answer


@get("/healthz", summary="Alive?")
async def healthz() -> Alive:
    """The process answers."""
    return Alive()


@get("/readyz", summary="Ready?")
async def readyz(request: Request[Any, Any, Any], state: State) -> Ready:
    """Whether answers can be given, by which bundle, and whether Redis gives features for them."""
    ready: Ready = await state["readiness"]()
    if STATE not in request.scope["state"]:
        return ready  # the lock is off
    # Anybody may ask, for the sake of load balancers; the reasons, which may name files, are for the server's log.
    refused = None if ready.refused is None else "See the server's log."
    return msgspec.structs.replace(ready, device_reason="", refused=refused, search="")


@get("/metrics", include_in_schema=False)
async def metrics(state: State) -> Response[str]:
    """All replicas' metrics in Prometheus' text format."""
    return Response(await state["metrics"](), headers={"content-type": CONTENT_TYPE})


@get("/openapi.json", include_in_schema=False)
async def document(request: Request[Any, Any, Any], state: State) -> Response[bytes]:
    """This interface as an OpenAPI 3.1 document, made once: it is open to all, and costs more than many answers."""
    if _DOCUMENT not in state:
        state[_DOCUMENT] = msgspec.json.encode(complete(request.app.openapi_schema.to_schema()))
    return Response(state[_DOCUMENT], media_type="application/json")


@get("/", include_in_schema=False)
async def home() -> Redirect:
    """Where a person who opens the address wants to go."""
    return Redirect("/docs")


def _live(state: State) -> Live:
    live: Live = state["live"]
    return live


def _refuse(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    scope = request.scope
    status, body, headers = refusal(error, scope["path"], template(scope), scope["headers"])
    told = {name.decode(): value.decode() for name, value in headers}
    return Response(body, status_code=status, headers=told, media_type="application/json")
