"""What can be asked: each route as a talk. A batch that is larger than one call takes is split, and joined in order."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from motherlode.api import (
    MAX_ANSWER_ITEMS,
    MAX_BODY,
    MAX_CUSTOMERS,
    MAX_EVENTS,
    MAX_ITEMS,
    MAX_SIMILAR,
    SERVICE,
    Alive,
    ConsentAnswer,
    ConsentRequest,
    ContactAnswer,
    ContactRequest,
    EventsAnswer,
    EventsRequest,
    FeaturesAnswer,
    FeaturesRequest,
    FeatureView,
    Portrait,
    Ready,
    RecommendAnswer,
    RecommendRequest,
    ScoreAnswer,
    ScoreRequest,
    SimilarAnswer,
    SimilarRequest,
)
from motherlode.client.errors import ApiError
from motherlode.client.retries import Retries
from motherlode.client.talk import Manner, Question, Talk, ask

T = TypeVar("T")
R = TypeVar("R", ScoreRequest, RecommendRequest, FeaturesRequest, SimilarRequest, EventsRequest)
Of = TypeVar("Of", ScoreRequest, RecommendRequest, FeaturesRequest)
Batch = TypeVar("Batch", ScoreAnswer, RecommendAnswer, SimilarAnswer)

TIMEOUT_S: Final = 10.0
"""Seconds a call, its retries included."""
CUSTOMER_IDS: Final = "customer_ids"
ITEM_IDS: Final = "item_ids"
EVENTS: Final = "events"
_BETWEEN: Final = ", "


def score(request: ScoreRequest, manner: Manner, timeout_s: float) -> Talk[ScoreAnswer]:
    """`POST /v1/score`."""
    request = _for_purpose(request, manner)
    parts = yield from _ask_parts("/v1/score", request, CUSTOMER_IDS, MAX_CUSTOMERS, ScoreAnswer, manner, timeout_s)
    return _joined(parts)


def recommend(request: RecommendRequest, manner: Manner, timeout_s: float) -> Talk[RecommendAnswer]:
    """`POST /v1/recommend`."""
    request = _for_purpose(request, manner)
    most = min(MAX_CUSTOMERS, MAX_ANSWER_ITEMS // max(1, min(request.k, MAX_ITEMS)))
    parts = yield from _ask_parts("/v1/recommend", request, CUSTOMER_IDS, most, RecommendAnswer, manner, timeout_s)
    return _joined(parts)


def similar_items(request: SimilarRequest, manner: Manner, timeout_s: float) -> Talk[SimilarAnswer]:
    """`POST /v1/similar/items`."""
    parts = yield from _ask_parts("/v1/similar/items", request, ITEM_IDS, MAX_SIMILAR, SimilarAnswer, manner, timeout_s)
    return _joined(parts)


def features(request: FeaturesRequest, manner: Manner, timeout_s: float) -> Talk[FeaturesAnswer]:
    """`POST /v1/features`."""
    request = _for_purpose(request, manner)
    parts = yield from _ask_parts(
        "/v1/features", request, CUSTOMER_IDS, MAX_CUSTOMERS, FeaturesAnswer, manner, timeout_s
    )
    return _joined_features(parts)


def events(request: EventsRequest, manner: Manner, timeout_s: float) -> Talk[EventsAnswer]:
    """`POST /v1/events`."""
    parts = yield from _ask_parts("/v1/events", request, EVENTS, MAX_EVENTS, EventsAnswer, manner, timeout_s)
    return EventsAnswer(sum(part.accepted for part in parts), sum(part.duplicates for part in parts))


def consent(request: ConsentRequest, manner: Manner, timeout_s: float) -> Talk[ConsentAnswer]:
    """`POST /v1/consent`. Without `at` the server says when, and a repeat would be newer than what it repeats: a
    customer who withdrew in between by another way would have agreed again."""
    if request.at is None:
        manner = replace(manner, retries=Retries(tries=1))
    question = Question("POST", "/v1/consent", "/v1/consent", msgspec.json.encode(request))
    return (yield from _ask_one(question, ConsentAnswer, manner, _deadline(timeout_s)))


def contact(request: ContactRequest, manner: Manner, timeout_s: float) -> Talk[ContactAnswer]:
    """`POST /v1/contacts`; by its `contact_id` a repeat does not count again."""
    question = Question("POST", "/v1/contacts", "/v1/contacts", msgspec.json.encode(request))
    return (yield from _ask_one(question, ContactAnswer, manner, _deadline(timeout_s)))


def portrait(
    customer_id: int | str, campaign_type: str | None, purpose: str | None, manner: Manner, timeout_s: float
) -> Talk[Portrait]:
    """`GET /v1/customers/{customer_id}`."""
    asked = {"campaign_type": campaign_type, "purpose": purpose or manner.purpose}
    query = urlencode({name: value for name, value in asked.items() if value is not None})
    path = f"/v1/customers/{_segment(str(customer_id))}{query and '?'}{query}"
    question = Question("GET", "/v1/customers/{customer_id}", path)
    return (yield from _ask_one(question, Portrait, manner, _deadline(timeout_s)))


def alive(manner: Manner, timeout_s: float) -> Talk[Alive]:
    """`GET /healthz`."""
    return (yield from _ask_one(Question("GET", "/healthz", "/healthz"), Alive, manner, _deadline(timeout_s)))


def ready(manner: Manner, timeout_s: float) -> Talk[Ready]:
    """`GET /readyz`."""
    return (yield from _ask_one(Question("GET", "/readyz", "/readyz"), Ready, manner, _deadline(timeout_s)))


def _for_purpose(request: Of, manner: Manner) -> Of:
    """The request, for the client's purpose where it names none."""
    if manner.purpose is None or request.purpose != SERVICE:
        return request
    return msgspec.structs.replace(request, purpose=manner.purpose)


def _deadline(timeout_s: float) -> float:
    return time.monotonic() + timeout_s


def _segment(text: str) -> str:
    """A text as one segment of a path; `.` and `..` would be taken for folders."""
    return quote(text, safe="") if text.strip(".") else text.replace(".", "%2E")


def _ask_one(question: Question, kind: type[T], manner: Manner, deadline: float) -> Talk[T]:
    body = yield from ask(question, manner, deadline)
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Without the cause, whose text may hold what the answer says of a customer.
        message, remedy = f"the answer is no {kind.__name__} of this version", "Install the server's version here."
        raise ApiError(question.route, 200, "", message, remedy) from None


def _ask_parts(
    path: str, request: R, field: str, most: int, kind: type[T], manner: Manner, timeout_s: float
) -> Talk[list[T]]:
    """The answers to a request, one a part, asked one after another."""
    deadline = _deadline(timeout_s)
    answers: list[T] = []
    for body in _bodies(request, field, most):
        answer = yield from _ask_one(Question("POST", path, path, body), kind, manner, deadline)
        answers.append(answer)
    return answers


def _bodies(request: R, field: str, most: int) -> Iterator[bytes]:
    """A request as JSON, in parts of at most so many of its field, and of no more bytes than the server reads."""
    body = msgspec.json.encode(request)
    every: Sequence[Any] = getattr(request, field)
    if len(every) <= most and len(body) <= MAX_BODY:
        yield body
        return
    around = len(msgspec.json.encode(msgspec.structs.replace(request, **{field: ()})))
    for part in _parts(every, most, MAX_BODY - around):
        yield msgspec.json.encode(msgspec.structs.replace(request, **{field: part}))


def _parts(every: Sequence[Any], most: int, room: int) -> Iterator[tuple[Any, ...]]:
    """In order, each as long as the number and the bytes allow; what is too long alone goes alone."""
    part: list[Any] = []
    size = 0
    for each in every:
        length = len(msgspec.json.encode(each)) + 1
        if part and (len(part) == most or size + length > room):
            yield tuple(part)
            part, size = [], 0
        part.append(each)
        size += length
    yield tuple(part)


def _joined(parts: Sequence[Batch]) -> Batch:
    """One answer; where parts were answered by several bundles or devices, it names each."""
    first = parts[0]
    if len(parts) == 1:
        return first
    return msgspec.structs.replace(
        first,
        bundle=_named(parts, lambda part: part.bundle),
        device=_named(parts, lambda part: part.device),
        results=[result for part in parts for result in part.results],
    )


def _joined_features(parts: Sequence[FeaturesAnswer]) -> FeaturesAnswer:
    """One answer. A view that a part lacks, because Redis gave it none, is `unknown` and null for its customers."""
    if len(parts) == 1:
        return parts[0]
    shapes = {view: list(columns.values) for part in parts for view, columns in part.features.items()}
    return FeaturesAnswer(
        bundle=_named(parts, lambda part: part.bundle),
        customer_ids=[each for part in parts for each in part.customer_ids],
        features={view: _joined_view(view, shape, parts) for view, shape in shapes.items()},
        notes=list(dict.fromkeys(note for part in parts for note in part.notes)),
    )


def _joined_view(view: str, shape: Sequence[str], parts: Sequence[FeaturesAnswer]) -> FeatureView:
    columns = [part.features.get(view) or _nothing(shape, len(part.customer_ids)) for part in parts]
    return FeatureView(
        status=[each for part in columns for each in part.status],
        age_s=[each for part in columns for each in part.age_s],
        values={name: [each for part in columns for each in part.values[name]] for name in shape},
    )


def _nothing(shape: Sequence[str], customers: int) -> FeatureView:
    return FeatureView(["unknown"] * customers, [None] * customers, {name: [None] * customers for name in shape})


def _named(parts: Sequence[T], name: Callable[[T], str]) -> str:
    return _BETWEEN.join(dict.fromkeys(map(name, parts)))
