"""The HTTP layer: a Litestar ASGI application, under Ray Serve (`serving.app`) or under uvicorn alone.

uvicorn --factory serving.http:from_env
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any, Final

import msgspec
from litestar import Litestar, Request, Response, get, post
from litestar.datastructures import State
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.response import Redirect

from motherlode import __version__, redis_server
from motherlode.api import (
    MAX_BODY,
    Alive,
    ErrorAnswer,
    EventsAnswer,
    EventsRequest,
    FeaturesAnswer,
    FeaturesRequest,
    Portrait,
    Ready,
    RecommendAnswer,
    RecommendRequest,
    ScoreAnswer,
    ScoreRequest,
)
from motherlode.compute import Compute
from motherlode.settings import Settings
from serving import problems
from serving.docs import DocsPage
from serving.events import Receiver
from serving.front import DECODER, Front, refusal
from serving.live import Live
from serving.lookup import UnknownServiceError
from serving.openapi import complete
from serving.reading import connect, ping
from serving.scoring import UnknownCampaignError

_log: Final = logging.getLogger(__name__)

_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]{0,17}")

_REFUSALS: Final[Mapping[int, ResponseSpec]] = {
    400: ResponseSpec(ErrorAnswer, generate_examples=False, description="The body is no JSON."),
    413: ResponseSpec(ErrorAnswer, generate_examples=False, description="The body or the batch is too large."),
    422: ResponseSpec(ErrorAnswer, generate_examples=False, description="A field is wrong; `path` names it."),
}

_ALOOF: Final[Mapping[int, ResponseSpec]] = {
    **_REFUSALS,
    403: ResponseSpec(ErrorAnswer, generate_examples=False, description="They come from another machine."),
    503: ResponseSpec(ErrorAnswer, generate_examples=False, description="Too many wait: see `Retry-After`."),
}

_PARAMETER: Final = ResponseSpec(ErrorAnswer, generate_examples=False, description="A parameter is wrong.")

CampaignType = Annotated[
    str | None, QueryParameter(name="campaign_type", description="The campaign type that the response score is for.")
]


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
        StoreError: the settings name no Redis.
    """
    client = connect(settings)
    live = Live(settings, client, compute)

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
        )

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        watching = asyncio.create_task(live.watch())
        try:
            yield
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
            await client.aclose()

    app = Litestar(
        [score, recommend, features, events, portrait, healthz, readyz, document, home],
        request_class=TypedRequest,
        request_max_body_size=MAX_BODY,
        exception_handlers={Exception: _refuse},
        lifespan=[lifespan],
        state=State({"live": live, "readiness": readiness, "receiver": Receiver(settings, client)}),
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
    return Front(app)


def from_env() -> Front:
    """The application by the environment's settings, with the embedded Valkey where it names no Redis."""
    settings = Settings.from_env()
    return build(settings.with_redis(redis_server.ensure(settings)))


@post(
    "/v1/score",
    status_code=200,
    responses=_REFUSALS,
    opt={DECODER: msgspec.json.Decoder(ScoreRequest)},
    summary="Segment and scores of customers",
)
async def score(data: JSONBody[ScoreRequest], state: State) -> ScoreAnswer:
    """The segment of each customer, the probability of no purchase in the next 28 days, and, for a
    campaign, the probability of redeeming one of its coupons. An unknown customer is answered with
    the status `cold` and without scores.
    """
    problems.check_size(len(data.customer_ids))
    try:
        return await _live(state).engine.score(data)
    except UnknownCampaignError as error:
        raise problems.unknown_campaign(error, "$.campaign.type") from None


@post(
    "/v1/recommend",
    status_code=200,
    responses=_REFUSALS,
    opt={DECODER: msgspec.json.Decoder(RecommendRequest)},
    summary="Items for customers",
)
async def recommend(data: JSONBody[RecommendRequest], state: State) -> RecommendAnswer:
    """The best items for each customer: by the recommender, else what is popular in the customer's
    segment, else what is popular with all. `source` says which, `notes` say why.
    """
    problems.check_size(len(data.customer_ids), data.k)
    return await _live(state).engine.recommend(data)


@post(
    "/v1/features",
    status_code=200,
    responses=_REFUSALS,
    opt={DECODER: msgspec.json.Decoder(FeaturesRequest)},
    summary="Features of customers",
)
async def features(data: JSONBody[FeaturesRequest], state: State) -> FeaturesAnswer:
    """The features of each customer as the online store has them, by view: each row with its status
    and age. What is unknown, stale or null is null, and `status` says which.
    """
    problems.check_size(len(data.customer_ids))
    try:
        return await _live(state).engine.features(data)
    except UnknownServiceError as error:
        raise problems.unknown_service(error, "$.service") from None


@post(
    "/v1/events",
    status_code=202,
    responses=_ALOOF,
    opt={DECODER: msgspec.json.Decoder(EventsRequest)},
    summary="Events of customers",
)
async def events(data: JSONBody[EventsRequest], request: Request[Any, Any, Any], state: State) -> EventsAnswer:
    """Take in what customers do, from this machine alone. `motherlode stream` counts the events into
    the view `live` within milliseconds and lands them with the raw tables. An event that is sent
    twice under one id counts once.
    """
    receiver: Receiver = state["receiver"]
    sender = None if request.client is None else request.client.host
    return await receiver.receive(data, sender, request.headers.get("origin"))


@get(
    "/v1/customers/{customer_id:str}",
    responses={400: _PARAMETER, 422: _REFUSALS[422]},
    summary="Portrait of a customer",
)
async def portrait(customer_id: FromPath[str], state: State, campaign_type: CampaignType = None) -> Portrait:
    """Every feature of the customer by view, with its age, beside the segment and the scores. An id
    that is written like an integer comes back as one.
    """
    outside = int(customer_id) if _INTEGER.fullmatch(customer_id) else customer_id
    try:
        return await _live(state).engine.portrait(outside, campaign_type)
    except UnknownCampaignError as error:
        raise problems.unknown_campaign(error, "campaign_type") from None


@get("/healthz", summary="Alive?")
async def healthz() -> Alive:
    """The process answers."""
    return Alive()


@get("/readyz", summary="Ready?")
async def readyz(state: State) -> Ready:
    """Whether answers can be given, by which bundle, and whether Redis gives features for them."""
    ready: Ready = await state["readiness"]()
    return ready


@get("/openapi.json", include_in_schema=False)
async def document(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """This interface as an OpenAPI 3.1 document."""
    return complete(request.app.openapi_schema.to_schema())


@get("/", include_in_schema=False)
async def home() -> Redirect:
    """Where a person who opens the address wants to go."""
    return Redirect("/docs")


def _live(state: State) -> Live:
    live: Live = state["live"]
    return live


def _refuse(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    status, body, headers = refusal(error, request.scope["path"])
    told = {name.decode(): value.decode() for name, value in headers}
    return Response(body, status_code=status, headers=told, media_type="application/json")
