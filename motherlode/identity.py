"""A customer's outside id and the join key: the same function for ingest, serving and erase.

The join key is a string in every layer. Without a secret it is the outside id's text; with one it is
a keyed pseudonym (HMAC-SHA256, RFC 2104), so that nothing but raw holds the outside id. While a key is being
replaced, customers are known by the new key or by a previous one, until the re-key job ends.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from motherlode.errors import SettingsError

SHORTEST_KEY: Final = 16
"""Bytes. A shorter secret can be searched."""
PLAIN: Final = "none"
"""In the place of a previous key: customers were known by their outside ids."""
_BLOCK: Final = 64
"""Bytes: the block of SHA-256."""
_BLANKS: Final = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
"""Unicode's white space, which Polars strips; `str.strip` takes four control characters besides."""
_POINT_ZERO: Final = re.compile(r"-?\d+\.0")


def id_text(text: str) -> str | None:
    """An id as the warehouse writes it (`feature_repo.warehouse.mapping.casts`): one spelling for one customer.

    Without blanks around it; a whole number that a spreadsheet or pandas made a float of without its `.0`. None where
    nothing is left.
    """
    bare = text.strip(_BLANKS)
    return (bare[:-2] if bare.endswith(".0") and _POINT_ZERO.fullmatch(bare) else bare) or None


class Identity:
    """Turns outside ids into join keys, and other identifiers into pseudonyms.

    Args:
        secret: the pseudonym key; None makes the identity function.
        previous: keys that customers may still be known by, the newest first; `PLAIN` for no key.

    Raises:
        SettingsError: a secret is shorter than 16 bytes, or two are the same.
    """

    def __init__(self, secret: str | None = None, previous: Sequence[str] = ()) -> None:
        older = [None if each == PLAIN else _key(each, "MOTHERLODE_PREVIOUS_PSEUDONYM_KEYS") for each in previous]
        self._keys = (None if secret is None else _key(secret, "MOTHERLODE_PSEUDONYM_KEY"), *older)
        if len(set(self._keys)) < len(self._keys):
            raise SettingsError(
                "A pseudonym key is listed twice, or is current and previous at once.",
                "List each key once; previous ones in MOTHERLODE_PREVIOUS_PSEUDONYM_KEYS.",
            )
        self._hashers = tuple(_hasher(key) for key in self._keys)
        self._kinds: dict[str, Callable[[str], str]] = {}

    def __repr__(self) -> str:
        return f"Identity(key_ids={self.key_ids})"

    @property
    def keyed(self) -> bool:
        """Whether join keys are pseudonyms."""
        return self._keys[0] is not None

    @property
    def key_id(self) -> str:
        """Tells keys apart without giving one away: 16 hex digits; empty for the identity function."""
        return _key_id(self._keys[0])

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Of every key, the current one first."""
        return tuple(_key_id(key) for key in self._keys)

    def join_key(self, outside_id: int | str) -> str:
        """The join key of an outside id. `7` and `"7"` are the same customer."""
        return self._hashers[0](str(outside_id))

    def join_keys(self, outside_id: int | str) -> tuple[str, ...]:
        """By every key, the current one first, then the previous ones."""
        text = str(outside_id)
        return tuple(hasher(text) for hasher in self._hashers)

    def join_keys_of(self, outside_ids: Iterable[int | str]) -> list[str]:
        """`join_key` of many, in their order: 0.8 µs each."""
        hasher = self._hashers[0]
        return [hasher(str(each)) for each in outside_ids]

    def every_join_key_of(self, outside_ids: Sequence[int | str]) -> list[list[str]]:
        """`join_key` of many by every key: a list a key, in the order of `key_ids`."""
        return [[hasher(str(each)) for each in outside_ids] for hasher in self._hashers]

    def pseudonym(self, kind: str, text: str) -> str:
        """The pseudonym of another identifier; without a key, the text.

        Args:
            kind: what it identifies, as "visitor". Equal texts of two kinds have two pseudonyms; neither is a join key.
            text: the identifier.
        """
        return self._of_kind(kind)(text)

    def pseudonyms_of(self, kind: str, texts: Iterable[str]) -> list[str]:
        """`pseudonym` of many, in their order."""
        return list(map(self._of_kind(kind), texts))

    def vouch(self, purpose: str, content: bytes) -> str:
        """A MAC of content that only the holder of the current key can make, as hex; empty without a key."""
        return "" if self._keys[0] is None else _vouch(self._keys[0], purpose, content)

    def vouched(self, purpose: str, content: bytes, mac: str) -> bool:
        """Whether the holder of the current or a previous key made the MAC."""
        return any(
            hmac.compare_digest(_vouch(key, purpose, content).encode(), mac.encode())
            for key in self._keys
            if key is not None
        )

    def _of_kind(self, kind: str) -> Callable[[str], str]:
        if kind not in self._kinds:
            key = self._keys[0]
            self._kinds[kind] = _hasher(None if key is None else _derived(key, f"pseudonym/{kind}"))
        return self._kinds[kind]


def _key(secret: str, variable: str) -> bytes:
    key = secret.encode()
    if len(key) < SHORTEST_KEY:
        raise SettingsError(
            f"The pseudonym key has {len(key)} bytes.",
            f"Give at least {SHORTEST_KEY} ({variable}); `motherlode keys new` makes one.",
        )
    return key


def _apart(text: str) -> str:
    """An id's text as it is hashed. Two NULs in front are the derived keys' own: such an id gets a third before them,
    which no derived key has, so that none of its join keys is a key."""
    return f"\0\0\0{text}" if text.startswith("\0\0") else text


def _key_id(key: bytes | None) -> str:
    return _hasher(key)("motherlode key id")[:16] if key is not None else ""


def _derived(key: bytes, purpose: str) -> bytes:
    """A key for one purpose. No id is hashed as what it is made of: `_apart`."""
    return hmac.digest(key, b"\0\0motherlode/" + purpose.encode(), "sha256")


def _vouch(key: bytes, purpose: str, content: bytes) -> str:
    return hmac.digest(_derived(key, f"vouch/{purpose}"), content, "sha256").hex()


def _hasher(key: bytes | None) -> Callable[[str], str]:
    """HMAC-SHA256 of texts as hex: the two halves of the key hashed once, which halves the time of `hmac`."""
    if key is None:
        return str
    block = (key if len(key) <= _BLOCK else hashlib.sha256(key).digest()).ljust(_BLOCK, b"\0")
    start: Any = hashlib.sha256(bytes(byte ^ 0x36 for byte in block)).copy
    finish: Any = hashlib.sha256(bytes(byte ^ 0x5C for byte in block)).copy

    def hasher(text: str) -> str:
        inner, outer = start(), finish()
        inner.update(_apart(text).encode())
        outer.update(inner.digest())
        digest: str = outer.hexdigest()
        return digest

    return hasher
