"""Which paths there are, and what each needs: the one list, for the gate, the two proxies and the documentation.

What is not here does not exist, whoever asks: a new route is closed until it is opened here.
"""

from collections.abc import Mapping
from typing import Final

from motherlode import access

NOWHERE: Final = ("There is nothing at this path.", "See /docs.")
"""What is said of another, and the remedy."""

OPEN: Final = ""
"""What a path needs that is answered without a key."""

SCOPE_OF: Final[Mapping[str, str]] = {
    "/v1/score": access.SCORE,
    "/v1/features": access.SCORE,
    "/v1/recommend": access.RECOMMEND,
    "/v1/similar/items": access.RECOMMEND,
    "/v1/events": access.EVENTS,
    "/v1/consent": access.EVENTS,
    "/v1/contacts": access.EVENTS,
    "/metrics": access.METRICS,
    "/healthz": OPEN,
    "/readyz": OPEN,
    "/docs": OPEN,
    "/openapi.json": OPEN,
    "/docs/openapi.json": OPEN,
    "/": OPEN,
}
"""Path → scope."""

BELOW: Final[Mapping[str, str]] = {"/v1/customers/": access.PORTRAIT}
"""Beginning of a path → scope. What follows may hold a customer's id."""

PATHS: Final = (*SCOPE_OF, *(f"{path}/" for path in SCOPE_OF if path != "/"))
"""As they may be written: the application takes a slash at the end for none."""


def scope_of(path: str) -> str | None:
    """What a path needs; `OPEN`: nothing; None: there is no such path."""
    scope = SCOPE_OF.get(path)
    if scope is not None:
        return scope
    return next((each for start, each in BELOW.items() if path.startswith(start)), None)


def plain(path: str) -> str:
    """A path without slashes that say nothing: the application takes both for the same."""
    return "/" + "/".join(filter(None, path.split("/"))) if path.endswith("/") or "//" in path else path


def told(path: str) -> str:
    """A path that there is, as it may be written down: without what it names."""
    return path if path in SCOPE_OF else next(each for each in BELOW if path.startswith(each))
