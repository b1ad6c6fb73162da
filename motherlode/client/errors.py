"""What a call can end in besides an answer. No error names a customer: routes stand for the addresses asked."""

from typing import Final

from motherlode.errors import MotherlodeError


class ApiError(MotherlodeError):
    """The server refused the request or failed, or its answer cannot be read.

    Args:
        route: what was asked, as `POST /v1/score`; never with a customer's id.
        status: the HTTP status; None where there was no answer.
        path: what is wrong in the request, as the server names it; empty where it names nothing.
        message: what is wrong.
        remedy: what to do about it.
        request_id: of the answer, for the server's logs; it stands in the text. None where there is none.
        tries: how often it was asked.
    """

    def __init__(
        self,
        route: str,
        status: int | None,
        path: str,
        message: str,
        remedy: str,
        request_id: str | None = None,
        tries: int = 1,
    ) -> None:
        self.route = route
        self.status = status
        self.path = path
        self.message = message
        self.request_id = request_id
        self.tries = tries
        answered = "got no answer" if status is None else f"was answered {status}"
        times = "" if tries == 1 else f" after {tries} tries"
        place = f" ({path})" if path else ""
        known = f" [request {request_id}]" if request_id else ""
        super().__init__(f"{route} {answered}{times}: {message}{place}{known}", remedy)

    def __reduce__(self) -> tuple[type["ApiError"], tuple[object, ...]]:
        """So that it crosses from one process to another: `Exception` would keep one text of the seven."""
        held = (self.route, self.status, self.path, self.message, self.remedy, self.request_id, self.tries)
        return type(self), held


class UnauthorizedError(ApiError):
    """401 or 403: the key is missing, wrong, or may not do this."""


class OverloadedError(ApiError):
    """429, still after the tries that there were."""


class UnavailableError(ApiError):
    """No connection, or 502, 503 or 504, still after the tries that there were."""


class DeadlineExceededError(ApiError):
    """The time for the call is over, or would be before it may be asked again."""


BY_STATUS: Final[dict[int, type[ApiError]]] = {
    401: UnauthorizedError,
    403: UnauthorizedError,
    429: OverloadedError,
    502: UnavailableError,
    503: UnavailableError,
    504: UnavailableError,
}
"""Other statuses are plain `ApiError`s."""
