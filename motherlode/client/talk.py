"""One request with its retries, without input or output: a generator that says what to do and is told what came.

It yields `Send` and is sent a `Reply` or a `Fault`; it yields `Wait` and is sent None. So the blocking client and the
asyncio one do the same, and neither holds more than a socket's handling.
"""

import logging
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, TypeAlias, TypeVar

import msgspec

from motherlode.api import ErrorAnswer
from motherlode.client.errors import BY_STATUS, ApiError, DeadlineExceededError, UnavailableError
from motherlode.client.retries import AGAIN, Budget, Retries, retry_after_s

T = TypeVar("T")

SLOW: Final = "no answer came in time"
CONNECT_S: Final = 2.0
"""The longest that one try waits for a connection: a machine that is gone says nothing at all."""

_REQUEST_ID: Final = "x-request-id"
_LONGEST_TEXT: Final = 500
_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    Attributes:
        method: GET or POST.
        template: the path as the server has it, with `{customer_id}`; what errors and logs say.
        path: the path to send.
        body: JSON; None: none.
    """

    method: str
    template: str
    path: str
    body: bytes | None = None

    @property
    def route(self) -> str:
        """What is asked, without an id."""
        return f"{self.method} {self.template}"


@dataclass(frozen=True, slots=True)
class Send:
    """Send this, and wait at most so many seconds in all."""

    question: Question
    within_s: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server answered; headers by names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Fault:
    """Why there is no answer.

    Attributes:
        what: in words, without an address's query or path.
        again: whether another try may mend it.
        late: the time was over.
    """

    what: str
    again: bool = True
    late: bool = False


Talk: TypeAlias = Generator[Send | Wait, Reply | Fault | None, T]


@dataclass(frozen=True)
class Manner:
    """How a client asks: what its talks have in common.

    Attributes:
        retries, budget: how often a request is repeated, and what may be over all of them.
        purpose: of requests that name none; None: the server's default.
    """

    retries: Retries
    budget: Budget
    purpose: str | None = None


def ask(question: Question, manner: Manner, deadline: float) -> Talk[bytes]:
    """Ask once, and again where that may help.

    Args:
        question: what is asked.
        manner: how often, and out of which budget.
        deadline: when to give up, by `time.monotonic`.

    Returns:
        The body of the answer.

    Raises:
        ApiError: see `motherlode.client.errors`.
    """
    manner.budget.earn()
    tries = 0
    error: ApiError | None = None
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise error or _late(question, "its time was over before it was sent", tries)
        tries += 1
        came = yield Send(question, left)
        if isinstance(came, Reply) and 200 <= came.status < 300:
            return came.body
        assert came is not None
        error = _error(question, came, tries)
        if isinstance(came, Fault) and (came.late or deadline <= time.monotonic()):
            raise _late(question, came.what, tries)
        if not _may_mend(came) or tries >= manner.retries.tries:
            raise error
        wait = manner.retries.wait_s(tries, retry_after_s(came.headers) if isinstance(came, Reply) else 0.0)
        if time.monotonic() + wait >= deadline:
            raise error
        if not manner.budget.spend():
            _log.debug("%s is not asked again: too many calls were.", question.route)
            raise error
        _log.debug("%s is asked again in %.3f s: %s.", question.route, wait, error.message)
        yield Wait(wait)


def _may_mend(came: Reply | Fault) -> bool:
    if isinstance(came, Fault):
        return came.again
    # Ray makes HAProxy say 500, in plain text, where no replica gave an answer; an error of a replica's own is JSON.
    before_it = came.status == HTTPStatus.INTERNAL_SERVER_ERROR and "json" not in came.headers.get("content-type", "")
    return came.status in AGAIN or before_it


def _late(question: Question, what: str, tries: int) -> DeadlineExceededError:
    remedy = "Give it more time (timeout_s), or ask for less at once."
    return DeadlineExceededError(question.route, None, "", what, remedy, None, max(tries, 1))


def _error(question: Question, came: Reply | Fault, tries: int) -> ApiError:
    if isinstance(came, Fault):
        remedy = "Look whether the server runs, at the address that the client was given."
        return UnavailableError(question.route, None, "", came.what, remedy, None, tries)
    path, message, remedy, told = _problem(question, came)
    # What stands between may keep the header.
    request_id = came.headers.get(_REQUEST_ID) or told or None
    kind = BY_STATUS.get(came.status, ApiError)
    return kind(question.route, came.status, path, message, remedy, request_id, tries)


def _problem(question: Question, reply: Reply) -> tuple[str, str, str, str]:
    """Path, message, remedy and request id: the server's own, or what is known of what something before it answered."""
    try:
        answer = msgspec.json.decode(reply.body, type=ErrorAnswer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "", "the answer is not Motherlode's", "Look what stands between the client and the server.", ""
    problem = answer.error
    # The address that was asked may hold a customer's id, as it was sent or decoded.
    path = question.template if problem.path.startswith("/") else problem.path
    message = problem.message.replace(question.path, question.template)
    known = answer.request_id[:_LONGEST_TEXT]
    return path[:_LONGEST_TEXT], message[:_LONGEST_TEXT], problem.remedy[:_LONGEST_TEXT], known
