"""What is wrong with a request: each refusal names the path, what is wrong with it, and the remedy."""

import json
import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final, TypeVar

import msgspec
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi import ResponseSpec

from motherlode.api import MAX_ANSWER_ITEMS, MAX_BODY, MAX_CUSTOMERS, MAX_ITEMS, MAX_SIMILAR, ErrorAnswer, Problem
from motherlode.consent import UnknownPurposeError
from serving.filters import FilterError
from serving.lock.routes import NOWHERE
from serving.lookup import UnknownServiceError
from serving.scoring import UnknownCampaignError

T = TypeVar("T")

REFUSALS: Final[Mapping[int, ResponseSpec]] = {
    400: ResponseSpec(ErrorAnswer, generate_examples=False, description="The body is no JSON."),
    408: ResponseSpec(ErrorAnswer, generate_examples=False, description="The body did not come in time."),
    413: ResponseSpec(ErrorAnswer, generate_examples=False, description="The body or the batch is too large."),
    422: ResponseSpec(ErrorAnswer, generate_examples=False, description="A field is wrong; `path` names it."),
    429: ResponseSpec(ErrorAnswer, generate_examples=False, description="The server is busy: see `Retry-After`."),
}
"""In the OpenAPI document, of every route that takes a body."""

BODY: Final = "$"
"""The root of a JSON body."""

_AT: Final = re.compile(r"(?P<message>.*?)(?: - at `(?P<path>\$.*)`)?", re.DOTALL)
_SEE: Final = "See /docs."
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")


class Refusal(HTTPException):
    """A request that gets no answer, and why.

    Args:
        status: the HTTP status.
        path, message, remedy: see `api.Problem`.
        headers: of the answer.
    """

    def __init__(
        self, status: HTTPStatus, path: str, message: str, remedy: str, headers: Mapping[str, str] | None = None
    ) -> None:
        self.problem = Problem(path, message, remedy)
        super().__init__(status_code=status.value, detail=message, headers=dict(headers or {}))


def decode(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """A request's body, typed; it is read once and never as an untyped tree, so its nesting costs nothing.

    Raises:
        Refusal: 400 where it is no JSON, 422 where it is not what the type says.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        match = _AT.fullmatch(str(error))
        path = (match and match["path"]) or BODY
        message = match["message"] if match else str(error)
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, path, f"{message}.", _fields(decoder.type)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if (path := _lone_surrogate(body)) is not None:
            message, remedy = "It holds half a character, a lone surrogate.", "Send whole characters, in UTF-8."
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, path, message, remedy) from None
        message = "The body is empty." if not body else f"The body is no JSON: {_plain(error)}."
        raise Refusal(HTTPStatus.BAD_REQUEST, BODY, message, f"Send a JSON object in UTF-8. {_SEE}") from None


def _lone_surrogate(body: bytes) -> str | None:
    """The path of the first text that is cut through a character; None: there is none, or nobody can tell."""
    if b"\\ud" not in body.lower():
        return None
    try:
        return next(_cut(json.loads(body), BODY), None)
    except (ValueError, RecursionError):
        return None


def _cut(node: Any, path: str) -> Iterator[str]:
    if isinstance(node, str):
        if _SURROGATE.search(node):
            yield path
    elif isinstance(node, list):
        for i, each in enumerate(node):
            yield from _cut(each, f"{path}[{i}]")
    elif isinstance(node, dict):
        for name, each in node.items():
            # A name that is cut cannot be shown: the object stands for it.
            yield from [path] if _SURROGATE.search(name) else _cut(each, f"{path}.{name}")


def check_size(customers: int, items_each: int = 0) -> None:
    """Refuse a batch that is too large.

    Raises:
        Refusal: 413, naming the limit.
    """
    if customers > MAX_CUSTOMERS:
        raise Refusal(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "$.customer_ids",
            f"{customers} customers are too many.",
            f"Ask for at most {MAX_CUSTOMERS} in one call.",
        )
    if customers * min(items_each, MAX_ITEMS) > MAX_ANSWER_ITEMS:
        raise Refusal(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "$.k",
            f"{customers} customers with {items_each} items each are too many.",
            f"Ask for at most {MAX_ANSWER_ITEMS} items in one call.",
        )


def check_items(items: int) -> None:
    """Refuse to look for the neighbours of too many items.

    Raises:
        Refusal: 413, naming the limit.
    """
    if items > MAX_SIMILAR:
        raise Refusal(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "$.item_ids",
            f"{items} items are too many.",
            f"Ask for at most {MAX_SIMILAR} in one call.",
        )


def too_large() -> Refusal:
    """413 for a body beyond the limit."""
    message, remedy = _GENERAL[HTTPStatus.REQUEST_ENTITY_TOO_LARGE]
    return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, BODY, message, remedy)


def too_slow(seconds: float) -> Refusal:
    """408 for a body that does not come."""
    message, remedy = f"The body did not come within {seconds:g} s.", "Send it in one go, or ask for less at once."
    return Refusal(HTTPStatus.REQUEST_TIMEOUT, BODY, message, remedy)


def nowhere(path: str) -> Refusal:
    """404: there is no such path."""
    return Refusal(HTTPStatus.NOT_FOUND, path, *NOWHERE)


def busy() -> Refusal:
    """429: as many requests are in hand as can be answered soon."""
    remedy = "Try again after the seconds of Retry-After."
    return Refusal(HTTPStatus.TOO_MANY_REQUESTS, "/v1", "The server is busy.", remedy, {"Retry-After": "1"})


def unanswerable(error: FilterError) -> Refusal:
    """422 that names what items can be filtered by."""
    return Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, f"{BODY}.{error.field}", str(error), error.remedy)


def unknown_service(error: UnknownServiceError, path: str) -> Refusal:
    """422 that names the feature services there are."""
    return Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, path, str(error), f"Use one of {', '.join(error.known)}.")


def unknown_purpose(error: UnknownPurposeError, path: str) -> Refusal:
    """422 that names the purposes there are."""
    remedy = f"Use one of {', '.join(error.known)} (MOTHERLODE_PURPOSES)."
    return Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, path, str(error), remedy)


def unknown_campaign(error: UnknownCampaignError, path: str) -> Refusal:
    """422 that names the campaign types there are."""
    known = ", ".join(error.known)
    remedy = f"Use one of {known}." if known else "This bundle's models take no campaign: leave it out."
    return Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, path, str(error), remedy)


def answer(error: Exception, path: str, request_id: str = "") -> tuple[int, ErrorAnswer]:
    """The status and body for an exception.

    Args:
        error: what was raised.
        path: the request's, for what is wrong with it as a whole.
        request_id: the request's; empty where it has none.
    """
    refused = error if isinstance(error, Refusal) else _of_body(error)
    if refused is not None:
        return refused.status_code, ErrorAnswer(refused.problem, request_id)
    status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.INTERNAL_SERVER_ERROR.value
    if isinstance(error, ValidationException):
        return status, ErrorAnswer(_of_litestar(error), request_id)
    message, remedy = _GENERAL.get(status, (HTTPStatus(status).phrase, _SEE))
    place = BODY if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE else path
    return status, ErrorAnswer(Problem(place, message, remedy), request_id)


def _of_body(error: Exception) -> Refusal | None:
    """The refusal of a body that names what the bundle or the settings have not; None: it is another error."""
    if isinstance(error, UnknownCampaignError):
        return unknown_campaign(error, f"{BODY}.campaign.type")
    if isinstance(error, UnknownPurposeError):
        return unknown_purpose(error, f"{BODY}.purpose")
    if isinstance(error, UnknownServiceError):
        return unknown_service(error, f"{BODY}.service")
    return unanswerable(error) if isinstance(error, FilterError) else None


def _of_litestar(error: ValidationException) -> Problem:
    """What Litestar itself finds wrong: a body that is not there, or a parameter."""
    extra: Any = error.extra
    first = extra[0] if isinstance(extra, list) and extra else {}
    key = first.get("key", "")
    if key in ("", "data"):
        return Problem(BODY, "The body is empty.", f"Send a JSON object in UTF-8. {_SEE}")
    return Problem(key, f"{first.get('message', error.detail)}.", _SEE)


_GENERAL: Final[dict[int, tuple[str, str]]] = {
    404: NOWHERE,
    405: ("This path does not take this method.", _SEE),
    413: (f"The body is larger than {MAX_BODY} bytes.", f"Ask for at most {MAX_CUSTOMERS} customers in one call."),
    500: ("The answer failed.", "Try again; the server's log says what happened."),
}


def _fields(kind: Any) -> str:
    names = [field.name for field in msgspec.structs.fields(kind)]
    return f"Fields: {', '.join(names)}. {_SEE}"


def _plain(error: Exception) -> str:
    text = str(error)
    return "it is nested too deeply" if isinstance(error, RecursionError) else text[:1].lower() + text[1:]
