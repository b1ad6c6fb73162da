"""What a company tells, by HTTP: events, words of consent, contacts; each is written down."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from litestar import Request, post
from litestar.datastructures import State
from litestar.openapi import ResponseSpec
from litestar.params import JSONBody

from motherlode.api import (
    SERVICE,
    ConsentAnswer,
    ConsentRequest,
    ContactAnswer,
    ContactRequest,
    ErrorAnswer,
    EventsAnswer,
    EventsRequest,
)
from serving.audit import Journal, caller_of
from serving.consent import Listener
from serving.events import Receiver, named
from serving.front import CUSTOMERS, DECODER, PURPOSES
from serving.lock.purposes import Purposes
from serving.problems import REFUSALS

_ALOOF: Final[Mapping[int, ResponseSpec]] = {
    **REFUSALS,
    403: ResponseSpec(ErrorAnswer, generate_examples=False, description="They come from another machine."),
    503: ResponseSpec(ErrorAnswer, generate_examples=False, description="Too many wait: see `Retry-After`."),
}


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
    journal: Journal = state["journal"]
    journal.require()
    receiver: Receiver = state["receiver"]
    answer = await receiver.receive(data, *_whence(request))
    note(state, request, SERVICE, named(data), "")
    return answer


@post(
    "/v1/consent",
    status_code=200,
    responses=_ALOOF,
    opt={DECODER: msgspec.json.Decoder(ConsentRequest)},
    summary="What a customer said of a purpose",
)
async def consent(data: JSONBody[ConsentRequest], request: Request[Any, Any, Any], state: State) -> ConsentAnswer:
    """Keep that a customer withdrew from a purpose, or agreed to it. It is on the disk, and counts in
    every answer from then on, when this answers.
    """
    _require_here(state, request)
    listener: Listener = state["listener"]
    if data.granted:  # nobody's withdrawal is turned away
        purposes: Purposes = state[PURPOSES]
        data = purposes.settle(request.scope, data)
    answer = await listener.hear(data)
    note(state, request, data.purpose, (data.customer_id,), "")
    return answer


@post(
    "/v1/contacts",
    status_code=200,
    responses=_ALOOF,
    opt={DECODER: msgspec.json.Decoder(ContactRequest)},
    summary="A customer was contacted",
)
async def contact(data: JSONBody[ContactRequest], request: Request[Any, Any, Any], state: State) -> ContactAnswer:
    """Count that a customer was contacted for a purpose. Whoever was contacted as often as the purpose
    allows gets no personal answer for it, until there is room again.
    """
    _require_here(state, request)
    listener: Listener = state["listener"]
    journal: Journal = state["journal"]
    journal.require()
    purposes: Purposes = state[PURPOSES]
    data = purposes.settle(request.scope, data)
    answer = await listener.count(data)
    note(state, request, data.purpose, (data.customer_id,), "")
    return answer


def note(
    state: State, request: Request[Any, Any, Any], purpose: str, customers: Sequence[int | str], bundle: str
) -> None:
    """Write down who asked for customers, or told of them."""
    journal: Journal = state["journal"]
    path: str = request.scope["path"]
    route = CUSTOMERS.rstrip("/") if path.startswith(CUSTOMERS) else path
    if customers:
        journal.note(caller_of(request.scope), route, purpose, 200, customers, bundle, request.scope["headers"])


def _require_here(state: State, request: Request[Any, Any, Any]) -> None:
    """Refuse what comes from another machine."""
    receiver: Receiver = state["receiver"]
    receiver.require_here(*_whence(request), request.url.path)


def _whence(request: Request[Any, Any, Any]) -> tuple[str | None, str | None]:
    """The address that a request comes from, and the web page, as a browser says."""
    return None if request.client is None else request.client.host, request.headers.get("origin")
