"""Tokens of an issuer: signed by its published keys, for us, in time; whatever else is offered is refused."""

import asyncio
import base64
import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from motherlode import access
from motherlode.errors import SettingsError
from motherlode.settings import Settings
from serving.lock import tokens
from serving.lock.caller import TokenError
from serving.lock.tokens import Tokens

if TYPE_CHECKING:
    from tests.serving.lock.conftest import Issuer

ISSUER = "https://id.example/"


def settings_of(issuer: "Issuer") -> Settings:
    return Settings(home=Path("/h"), jwks=issuer.url, jwt_issuer=ISSUER, jwt_audience="motherlode")


@pytest.fixture
def verifier(issuer: "Issuer") -> Tokens:
    made = Tokens(settings_of(issuer))
    asyncio.run(made.refresh())
    return made


@pytest.mark.parametrize("algorithm", tokens.ALGORITHMS)
def test_a_token_of_each_algorithm_is_taken_with_its_scopes(issuer: "Issuer", algorithm: str) -> None:
    issuer.add("k", algorithm)
    verifier = Tokens(settings_of(issuer))
    asyncio.run(verifier.refresh())
    caller = verifier.verify(issuer.token("k", scope="openid motherlode:events score unheard", azp="till"), time.time())
    assert (caller.scopes, caller.name, caller.rate) == ({"score", "events"}, "till", access.RATE)
    assert caller.id.startswith("jwt-")
    assert "ann" not in caller.id, "a subject may be a person"
    listed = verifier.verify(issuer.token("k", scope=None, scp=["recommend", 7]), time.time())
    assert listed.scopes == {"recommend"}
    assert listed.purposes == ()
    bound = issuer.token("k", purposes=["marketing", "service", "marketing"])
    assert verifier.verify(bound, time.time()).purposes == ("marketing", "service")
    assert listed.id == caller.id, "one subject, one rate"


def _none(issuer: "Issuer") -> str:
    return issuer.token("one", "none", "")


def _hmac(issuer: "Issuer") -> str:
    """Signed with the public key as if it were a secret: the classic confusion."""
    public = issuer.keys["one"][1].public_key()
    secret = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    part = [{"alg": "HS256", "kid": "one"}, {"iss": ISSUER, "aud": "motherlode", "sub": "s", "exp": time.time() + 9}]
    text = b".".join(base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=") for each in part)
    mac = hmac.digest(secret, text, hashlib.sha256)
    return (text + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()


def _tampered(issuer: "Issuer") -> str:
    head, _, signature = issuer.token("one").split(".")
    body = issuer.token("one", scope="admin").split(".")[1]
    return f"{head}.{body}.{signature}"


WRONG: list[tuple[str, Callable[["Issuer"], str], str]] = [
    ("expired", lambda it: it.token("one", exp=time.time() - 60), "expired"),
    ("not yet", lambda it: it.token("one", nbf=time.time() + 300), "not valid yet"),
    ("audience", lambda it: it.token("one", aud="others"), "audience"),
    ("issuer", lambda it: it.token("one", iss="https://evil.example/"), "issuer"),
    ("no end", lambda it: it.token("one", exp=None), "lacks a claim"),
    ("no subject", lambda it: it.token("one", sub=None), "lacks a claim"),
    ("none", _none, "algorithm"),
    ("hmac", _hmac, "algorithm"),
    ("es384", lambda it: it.token("one", "ES384", ec.generate_private_key(ec.SECP384R1())), "algorithm"),
    ("another's key", lambda it: it.token("one", "ES256", ec.generate_private_key(ec.SECP256R1())), "signature"),
    ("another type", lambda it: it.token("one", "RS256", rsa.generate_private_key(65537, 2048)), "algorithm"),
    ("unknown key", lambda it: it.token("two", "ES256", ec.generate_private_key(ec.SECP256R1())), "not known"),
    ("tampered", _tampered, "signature"),
    ("no token", lambda _: "a.b", "not verify"),
    ("empty", lambda _: "", "not verify"),
    ("no purposes", lambda it: it.token("one", purposes=[]), "purposes"),
    ("odd purposes", lambda it: it.token("one", purposes=["marketing", 7]), "purposes"),
    ("purposes of another kind", lambda it: it.token("one", purposes={"marketing": True}), "purposes"),
    ("too long", lambda _: "a" * 9000, "too long"),
]


@pytest.mark.parametrize(("make", "why"), [each[1:] for each in WRONG], ids=[each[0] for each in WRONG])
def test_a_wrong_token_is_refused_and_not_repeated(
    issuer: "Issuer", verifier: Tokens, make: Callable[["Issuer"], str], why: str
) -> None:
    token = make(issuer)
    for _ in range(2):
        with pytest.raises(TokenError, match=why) as caught:
            verifier.verify(token, time.time())
        assert not token or token not in str(caught.value)


def test_clocks_may_differ_by_half_a_minute(issuer: "Issuer", verifier: Tokens) -> None:
    verifier.verify(issuer.token("one", exp=time.time() - 20, nbf=time.time() + 20), time.time())


def test_a_token_is_verified_once_and_not_beyond_its_end(
    issuer: "Issuer", verifier: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, verified, real = issuer.token("one"), [], jwt.decode

    def decode(*arguments: Any, **options: Any) -> Any:
        verified.append(1)
        return real(*arguments, **options)

    monkeypatch.setattr(jwt, "decode", decode)
    now = time.time()
    callers = {id(verifier.verify(token, now + second)) for second in range(300)}
    assert (len(callers), len(verified)) == (1, 1)
    short = issuer.token("one", exp=time.time() - 29)
    verifier.verify(short, now)
    time.sleep(1.1)
    with pytest.raises(TokenError, match="expired"):
        verifier.verify(short, time.time())
    monkeypatch.setattr(tokens, "_KEPT", 2)
    for second in range(5):
        verifier.verify(issuer.token("one", exp=time.time() + 100 + second), now)
    assert len(verifier._known) <= 2


def test_keys_are_fetched_anew_for_an_unknown_id_but_not_at_an_attackers_pace(
    issuer: "Issuer", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "_ONCE_S", 0.5)

    async def story() -> None:
        verifier = Tokens(settings_of(issuer))
        watching = asyncio.create_task(verifier.watch())
        while not verifier._keys:
            await asyncio.sleep(0.01)
        issuer.add("two")
        token, began = issuer.token("two"), time.monotonic()
        while True:
            try:
                verifier.verify(token, time.time())
                break
            except TokenError:
                assert time.monotonic() - began < 5
                await asyncio.sleep(0.001)
        assert issuer.fetched == 2, "however often an unknown id was sent"
        watching.cancel()

    asyncio.run(story())


def test_an_outage_keeps_the_known_keys_and_a_key_taken_back_ends_its_tokens(
    issuer: "Issuer", verifier: Tokens
) -> None:
    token = issuer.token("one")
    verifier.verify(token, time.time())
    issuer.up = False
    asyncio.run(verifier.refresh())
    verifier.verify(token, time.time())
    verifier.verify(issuer.token("one", sub="bob"), time.time())
    issuer.up = True
    del issuer.keys["one"]
    issuer.add("two")
    asyncio.run(verifier.refresh())
    with pytest.raises(TokenError, match="not known"):
        verifier.verify(token, time.time())


def test_an_answer_that_breaks_off_leaves_the_known_keys_and_is_no_end_of_asking(issuer: "Issuer") -> None:
    with socket.create_server(("127.0.0.1", 0)) as raw:

        def answer() -> None:
            connection, _ = raw.accept()
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        broken = Tokens(replace(settings_of(issuer), jwks=f"http://127.0.0.1:{raw.getsockname()[1]}/"))
        asyncio.run(broken.refresh())
        thread.join()


def test_keys_that_are_none_of_ours_are_passed_over(issuer: "Issuer") -> None:
    weak = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key()))
    issuer.extra = [
        weak | {"kid": "weak"},
        {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "kid": "shared", "alg": "HS256"},
        {"kty": "EC", "crv": "P-256", "x": "?", "y": "?", "kid": "broken"},
        {"kty": "RSA"},
        weak | {"kid": "sealed", "use": "enc"},
    ]
    verifier = Tokens(settings_of(issuer))
    asyncio.run(verifier.refresh())
    assert set(verifier._keys) == {"one"}


def test_a_redirection_is_not_followed(issuer: "Issuer") -> None:
    issuer.redirect = f"{issuer.url}?again"
    verifier = Tokens(settings_of(issuer))
    asyncio.run(verifier.refresh())
    assert (verifier._keys, issuer.fetched) == ({}, 1)


def test_a_file_will_do_and_what_is_no_jwks_changes_nothing(issuer: "Issuer", tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(issuer.jwks())
    verifier = Tokens(replace(settings_of(issuer), jwks=str(path)))
    asyncio.run(verifier.refresh())
    for content in (b"", b"[]", b"{}", b'{"keys": 1}', b"{" * 9):
        path.write_bytes(content)
        asyncio.run(verifier.refresh())
        verifier.verify(issuer.token("one"), time.time())
    path.unlink()
    asyncio.run(verifier.refresh())
    verifier.verify(issuer.token("one"), time.time())


def test_keys_come_by_https_or_from_this_machine() -> None:
    with pytest.raises(SettingsError, match="on the way"):
        Tokens(Settings(home=Path("/h"), jwks="http://id.example/k", jwt_issuer="i", jwt_audience="a"))
