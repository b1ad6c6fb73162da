"""A client of the HTTP interface, blocking (`Client`) and asyncio (`AsyncClient`); `motherlode.api` has its types.

Enters: request structs. Leaves: answer structs, or an error that says what to do.
What is asked, when it is asked again and what goes wrong stands in `calls`, `retries` and `errors`, without any
input or output; the two clients only send and wait. May import the ground floor alone.
"""

from motherlode.client.asynchronous import AsyncClient
from motherlode.client.blocking import Client
from motherlode.client.errors import (
    ApiError,
    DeadlineExceededError,
    OverloadedError,
    UnauthorizedError,
    UnavailableError,
)
from motherlode.client.retries import Budget, Retries

__all__ = [
    "ApiError",
    "AsyncClient",
    "Budget",
    "Client",
    "DeadlineExceededError",
    "OverloadedError",
    "Retries",
    "UnauthorizedError",
    "UnavailableError",
]
