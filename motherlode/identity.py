"""A customer's outside id and the join key: the same function for ingest, serving and erase.

The join key is a string in every layer. Without a secret it is the outside id's text; with one it is
a keyed pseudonym (HMAC-SHA256), so that nothing but raw holds the outside id.
"""

import hashlib
import hmac
from typing import Final

from motherlode.errors import SettingsError

_SHORTEST_KEY: Final = 16
"""Bytes. A shorter secret can be searched."""


class Identity:
    """Turns outside ids into join keys.

    Args:
        secret: the pseudonym key; None makes the identity function.

    Raises:
        SettingsError: the secret is shorter than 16 bytes.
    """

    def __init__(self, secret: str | None = None) -> None:
        if secret is not None and len(secret.encode()) < _SHORTEST_KEY:
            raise SettingsError(
                f"The pseudonym key has {len(secret.encode())} bytes.",
                f"Give at least {_SHORTEST_KEY} (MOTHERLODE_PSEUDONYM_KEY).",
            )
        self._key = None if secret is None else secret.encode()

    @property
    def key_id(self) -> str:
        """Tells keys apart without giving one away: 16 hex digits; empty for the identity function."""
        return "" if self._key is None else self.join_key("motherlode key id")[:16]

    def join_key(self, outside_id: int | str) -> str:
        """The join key of an outside id. `7` and `"7"` are the same customer."""
        text = str(outside_id)
        if self._key is None:
            return text
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()
