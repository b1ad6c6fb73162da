"""Who calls."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

STATE: Final = "caller"
"""Where the ASGI scope's `state` keeps the `Caller` of a request; nothing is there where the lock is off."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a request comes from.

    Attributes:
        id: of the key, or `jwt-` and 16 hexadecimal digits of the SHA-256 of a token's issuer and subject; empty for
            who calls an open path without a key.
        name: of the system, as the key ring or the token's client has it.
        scopes: what is open to it.
        rate: requests a second, over all replicas.
        burst: how many at once, over all replicas.
        purposes: what their requests may be for; empty: anything.
    """

    id: str
    name: str
    scopes: Collection[str]
    rate: float
    burst: float
    purposes: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        """As messages name them."""
        return f"{'Token of' if self.id.startswith('jwt-') else 'Key'} {self.id}"


ANYONE: Final = Caller("", "", frozenset(), 0.0, 0.0)
"""Who calls an open path."""


def of(scope: Any) -> Caller | None:
    """Who sent an ASGI request; None where the lock is off."""
    state = scope.get("state")
    return None if state is None else state.get(STATE)


class TokenError(Exception):
    """A token that is not taken; the message says why and holds nothing of the token."""
