"""JSON Web Tokens of an issuer that the company has: checked against its published keys (JWKS), never against a secret.

A token is verified once; after that a request costs a look-up until the token ends. The keys are fetched in the
background: a request never waits for the issuer, and an issuer that is down changes nothing for the keys it gave.
"""

import asyncio
import hashlib
import logging
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import urlsplit

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from motherlode import access
from motherlode.errors import SettingsError
from motherlode.settings import Settings
from serving.lock.caller import Caller, TokenError
from serving.lock.policy import is_loopback

ALGORITHMS: Final = ("RS256", "ES256", "EdDSA")
"""All that is taken: with a public key alone, so that who checks a token could not have made it."""

_TYPES: Final = {"RS256": "RSA", "ES256": "EC", "EdDSA": "OKP"}
_RSA_BITS: Final = 2048
_LEEWAY_S: Final = 30
_LONGEST: Final = 8192
"""Characters of a token."""
_KEPT: Final = 10_000
"""Verified tokens."""
_ONCE_S: Final = 60.0
"""Between two fetches because of an unknown key id, at least."""
_EVERY_S: Final = 300.0
"""Between two fetches without a cause."""
_TIMEOUT_S: Final = 5.0
_MOST_BYTES: Final = 1024**2
_PREFIX: Final = "motherlode:"
"""That an issuer may put before a scope."""
PURPOSES: Final = "purposes"
"""The claim that binds a token to purposes, as a list or as words; without it the token is for anything."""

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _PublicKey:
    algorithm: str
    key: Any


class Tokens:
    """Verifies tokens.

    Args:
        settings: with the JWKS' place, the issuer and the audience.

    Raises:
        SettingsError: one of those is missing, or the JWKS' address is neither HTTPS nor on this machine.
    """

    def __init__(self, settings: Settings) -> None:
        if not settings.jwks or not settings.jwt_issuer or not settings.jwt_audience:
            raise SettingsError(
                "Tokens need three settings.", "Set MOTHERLODE_JWKS, MOTHERLODE_JWT_ISSUER and MOTHERLODE_JWT_AUDIENCE."
            )
        self._place = settings.jwks
        _require_safe(self._place)
        self._issuer, self._audience = settings.jwt_issuer, settings.jwt_audience
        self._keys: Mapping[str, _PublicKey] = {}
        self._content = b""
        self._known: dict[bytes, tuple[Caller, float]] = {}
        self._fetched = -_EVERY_S
        self._asked = asyncio.Event()

    def verify(self, token: str, now: float) -> Caller:
        """Who sent a token; no reading, no waiting.

        Args:
            token: as it was sent.
            now: seconds since 1970.

        Raises:
            TokenError: it is not taken, and why.
        """
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is not None:
            if now < known[1]:
                return known[0]
            del self._known[digest]
        claims = self._claims(token)
        caller = _caller(claims)
        if len(self._known) >= _KEPT:
            del self._known[next(iter(self._known))]
        self._known[digest] = (caller, float(claims["exp"]) + _LEEWAY_S)
        return caller

    async def watch(self) -> None:
        """Fetch the keys now, every five minutes, and a moment after an unknown key id, for ever."""
        while True:
            await self.refresh()
            try:
                async with asyncio.timeout(_EVERY_S):
                    await self._asked.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(max(0.0, self._fetched + _ONCE_S - time.monotonic()))

    async def refresh(self) -> None:
        """Fetch the keys; those that are known stay where that fails."""
        self._fetched = time.monotonic()
        self._asked.clear()
        try:
            content = await asyncio.to_thread(_fetch, self._place)
            if content != self._content:
                # A key that was taken back ends its tokens too.
                self._keys, self._content = _public_keys(content), content
                self._known.clear()
                _log.info("%d keys of %s are known.", len(self._keys), self._issuer)
        except Exception as error:  # noqa: BLE001 - an address may answer anything, and is to be asked again
            _log.error("%s gives no keys, the %d known stay: %s", self._place, len(self._keys), error)

    def _claims(self, token: str) -> dict[str, Any]:
        if len(token) > _LONGEST:
            raise TokenError("The token is too long.")
        try:
            header = jwt.get_unverified_header(token)
            algorithm, key_id = header.get("alg"), header.get("kid")
            if algorithm not in ALGORITHMS:
                raise TokenError(f"The token's algorithm is none of {', '.join(ALGORITHMS)}.")
            key = self._keys.get(key_id) if isinstance(key_id, str) else None
            if key is None:
                self._asked.set()
                raise TokenError("The token was signed by a key that is not known.")
            if key.algorithm != algorithm:
                raise TokenError("The token's algorithm is not its key's.")
            claims: dict[str, Any] = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm],
                audience=self._audience,
                issuer=self._issuer,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            raise TokenError(_WHY.get(type(error), "The token does not verify.")) from None
        return claims


def _caller(claims: Mapping[str, Any]) -> Caller:
    """Who a token's claims tell of; the subject, which may be a person, is kept as a digest."""
    told = claims.get("scope", claims.get("scp", ()))
    listed = told if isinstance(told, list) else []
    words = told.split() if isinstance(told, str) else [each for each in listed if isinstance(each, str)]
    scopes = {word.removeprefix(_PREFIX) for word in words} & set(access.SCOPES)
    who = hashlib.sha256(f"{claims['iss']}\n{claims['sub']}".encode()).hexdigest()[:16]
    client = claims.get("azp", claims.get("client_id", ""))
    burst = access.RATE * access.SECONDS_OF_BURST
    return Caller(f"jwt-{who}", str(client)[:100], access.opened(scopes), access.RATE, burst, _purposes(claims))


def _purposes(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """What a token is for; empty: anything.

    Raises:
        TokenError: the claim is there, and says nothing that can be understood: nobody can tell what it is for.
    """
    if PURPOSES not in claims:
        return ()
    told = claims[PURPOSES]
    words = told.split() if isinstance(told, str) else told
    if not isinstance(words, list) or not words or not all(isinstance(each, str) and each for each in words):
        raise TokenError("The token's claim `purposes` is no list of names.")
    return tuple(dict.fromkeys(words))


def _public_keys(content: bytes) -> dict[str, _PublicKey]:
    """The keys of a JWKS that may sign: with an id, of a type that is taken, and long enough. Others are passed over.

    Raises:
        ValueError: it is no JWKS.
    """
    read = msgspec.json.decode(content)
    listed = read.get("keys") if isinstance(read, dict) else None
    if not isinstance(listed, list):
        raise ValueError("it is no JWKS")
    found = {}
    for each in listed:
        if not isinstance(each, dict) or not isinstance(each.get("kid"), str) or each.get("use", "sig") != "sig":
            continue
        algorithm = next((name for name, kind in _TYPES.items() if kind == each.get("kty")), None)
        if algorithm is None or each.get("alg", algorithm) != algorithm:
            continue
        try:
            key = jwt.PyJWK(each, algorithm).key
        except (jwt.PyJWTError, ValueError):
            continue
        if isinstance(key, RSAPublicKey) and key.key_size < _RSA_BITS:
            continue
        found[each["kid"]] = _PublicKey(algorithm, key)
    return found


def _require_safe(place: str) -> None:
    """Check that nobody on the way can put keys of their own into the answer."""
    parts = urlsplit(place)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise SettingsError(f"MOTHERLODE_JWKS is {place}: anybody on the way could change it.", "Use https.")


def _fetch(place: str) -> bytes:
    """The content of a JWKS.

    Raises:
        OSError: it cannot be had. A redirection is not followed: it could lead away from HTTPS.
        ValueError: it is too large.
    """
    if urlsplit(place).scheme in ("http", "https"):
        with _OPENER.open(place, timeout=_TIMEOUT_S) as response:
            content: bytes = response.read(_MOST_BYTES + 1)
    else:
        with Path(place).open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ValueError(f"it is larger than {_MOST_BYTES} bytes")
    return content


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> None:
        raise HTTPError(req.full_url, code, "It redirects; name the last address.", headers, fp)


_OPENER: Final = urllib.request.build_opener(_NoRedirect)
_WHY: Final[Mapping[type[Exception], str]] = {
    jwt.ExpiredSignatureError: "The token is expired.",
    jwt.ImmatureSignatureError: "The token is not valid yet.",
    jwt.InvalidAudienceError: "The token is for another audience.",
    jwt.InvalidIssuerError: "The token is of another issuer.",
    jwt.MissingRequiredClaimError: "The token lacks a claim: exp, iss, aud and sub are needed.",
    jwt.InvalidSignatureError: "The token's signature is wrong.",
}
