"""The gate: asked once a request, before its body is read; no reading, no waiting, a few microseconds."""

import time
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final, Protocol

from motherlode import access
from motherlode.access import Key, Ring
from serving import problems
from serving.lock.caller import ANYONE, Caller, TokenError
from serving.lock.denials import Denial, Denials
from serving.lock.limits import Limits
from serving.lock.routes import OPEN, scope_of, told
from serving.problems import Refusal

_AUTHORIZATION: Final = b"authorization"
_SCHEME: Final = b"bearer "
_OURS: Final = "ml_"
_WHERE: Final = "Authorization"
_ASK: Final = 'Bearer realm="motherlode"'
_WRONG: Final = 'Bearer realm="motherlode", error="invalid_token"'
_GET: Final = "Ask who runs the server for a key: `motherlode access add`."

Headers = Iterable[tuple[bytes, bytes]]


class Verifier(Protocol):
    """Checks tokens; see `tokens.Tokens`."""

    def verify(self, token: str, now: float) -> Caller:
        """Who sent a token.

        Raises:
            TokenError: it is not taken.
        """


class Gate:
    """Admits callers, or refuses them.

    Args:
        keys: the ring's.
        denials: where refusals are noted.
        share: how many replicas share a caller's rate.
        tokens: None: keys alone are taken.
    """

    def __init__(self, keys: Iterable[Key], denials: Denials, share: int = 1, tokens: Verifier | None = None) -> None:
        self._tokens = tokens
        self._denials = denials
        self._limits = Limits(share)
        self._used: dict[str, float] = {}
        self.replace(keys)

    def replace(self, keys: Iterable[Key]) -> None:
        """Take another key ring, from the next request on."""
        listed = tuple(keys)
        ring = Ring(listed)
        callers = {
            key.id: (
                Caller(key.id, key.name, access.opened(key.scopes), key.rate, key.burst, key.purposes),
                _end(key),
            )
            for key in listed
        }
        self._ring, self._callers = ring, callers

    def used(self) -> dict[str, float]:
        """The ids of keys that were used since this was last asked, each with when: seconds since 1970."""
        used, self._used = self._used, {}
        return used

    def admit(self, method: str, path: str, headers: Headers, peer: str) -> Caller:
        """Who asks, where they may.

        Args:
            method, path: of the request.
            headers: their names in lower case.
            peer: the address that it comes from.

        Raises:
            Refusal: 404 where there is no such path, whoever asks; 401 without a valid key; 403 without its scope; 429
                too often.
        """
        scope = scope_of(path)
        if scope == OPEN:
            return ANYONE
        if scope is None:
            raise problems.nowhere(path)
        try:
            caller = self._caller(headers, time.time())
            self._require(caller, scope)
        except Refusal as refusal:
            who = refusal.caller if isinstance(refusal, _Known) else ""
            self._denials.note(Denial(refusal.status_code, who, method, told(path), refusal.problem.message, peer))
            raise
        return caller

    def _caller(self, headers: Headers, now: float) -> Caller:
        sent = None
        for name, value in headers:
            if name == _AUTHORIZATION:
                sent = value
                break
        if sent is None:
            raise _unknown("There is no key.", f"Send it: `Authorization: Bearer ml_…`. {_GET}", _ASK)
        if sent[:7].lower() != _SCHEME:
            raise _unknown("The header is no bearer token.", "Send `Authorization: Bearer ml_…`.", _ASK)
        token = sent[7:].strip().decode("latin-1")
        if self._tokens is not None and not token.startswith(_OURS):
            try:
                return self._tokens.verify(token, now)
            except TokenError as error:
                raise _unknown(str(error), "Get another token from its issuer.", _WRONG) from None
        key = self._ring.find(token, now)
        if key is None:
            raise _unknown("The key is unknown, or it is not whole.", _GET, _WRONG)
        caller, end = self._callers[key.id]
        if now >= end:
            state = "revoked" if key.revoked is not None else "expired"
            raise _Known(key.id, HTTPStatus.UNAUTHORIZED, f"Key {key.id} is {state}.", _GET, _WRONG)
        self._used[key.id] = now
        return caller

    def _require(self, caller: Caller, scope: str) -> None:
        if scope not in caller.scopes:
            message = f"{caller.subject} lacks the scope {scope!r}."
            ask = f'Bearer realm="motherlode", error="insufficient_scope", scope="{scope}"'
            raise _Known(caller.id, HTTPStatus.FORBIDDEN, message, "Use a key that has it.", ask)
        wait = self._limits.take(caller.id, caller.rate, caller.burst, time.monotonic())
        if wait > 0:
            message = f"{caller.subject} asks more often than {caller.rate:g} times a second."
            remedy = "Ask less often, or for more customers at once."
            raise _Known(caller.id, HTTPStatus.TOO_MANY_REQUESTS, message, remedy, retry=str(int(wait) + 1))


class _Known(Refusal):
    """A refusal of a caller whose secret was right."""

    def __init__(
        self, caller: str, status: HTTPStatus, message: str, remedy: str, ask: str = "", retry: str = ""
    ) -> None:
        headers = {"WWW-Authenticate": ask} if ask else {"Retry-After": retry}
        super().__init__(status, _WHERE, message, remedy, headers)
        self.caller = caller


def _unknown(message: str, remedy: str, ask: str) -> Refusal:
    return Refusal(HTTPStatus.UNAUTHORIZED, _WHERE, message, remedy, {"WWW-Authenticate": ask})


def _end(key: Key) -> float:
    """When a key ends, in seconds since 1970."""
    ends = [at.timestamp() for at in (key.expires, key.revoked) if at is not None]
    return min(ends, default=float("inf"))
