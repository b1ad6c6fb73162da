"""What a caller's requests may be for: a key, or a token, may be bound to purposes, and every call be asked for one.

Asked when the body is decoded, since it stands there; what a request costs that is free to ask for anything is a look
into its scope.
"""

from http import HTTPStatus
from typing import Any, Final, TypeVar

import msgspec

from motherlode.api import SERVICE
from serving.lock import caller
from serving.lock.caller import Caller
from serving.lock.denials import Denial, Denials
from serving.lock.routes import told
from serving.problems import Refusal

T = TypeVar("T")

PATH: Final = "$.purpose"
"""Where a body says what it is for."""
_FIELD: Final = "purpose"


class Purposes:
    """Holds requests to their callers' purposes.

    Args:
        required: whether a request must name its purpose.
        denials: where refusals are noted; None where the lock is off.
    """

    def __init__(self, required: bool = False, denials: Denials | None = None) -> None:
        self._required = required
        self._denials = denials

    def settle(self, scope: Any, data: T) -> T:
        """A request's body, with the purpose that it stands for.

        Args:
            scope: of the request, with its caller.
            data: the body; one without a purpose stays as it is.

        Raises:
            Refusal: see `choose`.
        """
        asks = caller.of(scope)
        if not self._required and (asks is None or not asks.purposes):
            return data
        named = getattr(data, _FIELD, None)
        if named is None:
            return data
        chosen = self.choose(scope, named, PATH)
        return data if chosen is named else msgspec.structs.replace(data, purpose=chosen)  # type: ignore[type-var]

    def choose(self, scope: Any, named: str, path: str) -> str:
        """The purpose that a request stands for.

        Args:
            scope: of the request, with its caller.
            named: what it names; `api.SERVICE` itself, the very object, where it names none.
            path: where it names it.

        Raises:
            Refusal: 422 where it names none and must; 403 where its caller is bound to others.
        """
        none = named is SERVICE
        if none and self._required:
            message = "The request names no purpose, and the server asks for one."
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, path, message, "Say what the answer is for.")
        asks = caller.of(scope)
        if asks is None or not asks.purposes or named in asks.purposes:
            return named
        if none and len(asks.purposes) == 1:
            return asks.purposes[0]
        listed = ", ".join(asks.purposes)
        if none:
            message = f"{asks.subject} is for {listed}, and the request names none of them."
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, path, message, f"Name one of {listed}.")
        raise self._refused(scope, asks, listed, path)

    def _refused(self, scope: Any, asks: Caller, listed: str, path: str) -> Refusal:
        # What was asked for is not repeated: refusals that differ are bounded by the key ring, not by what is sent.
        message = f"{asks.subject} is for {listed} alone."
        if self._denials is not None:
            client = scope.get("client")
            status, method = HTTPStatus.FORBIDDEN.value, scope["method"]
            peer = client[0] if client else ""
            self._denials.note(Denial(status, asks.id, method, told(scope["path"]), message, peer))
        return Refusal(HTTPStatus.FORBIDDEN, path, message, f"Name one of {listed}, or use another key.")
