"""A company with the lock on, and an issuer of tokens: real keys, a real JWKS, a real HTTP server."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ISSUER = "https://id.example/"
AUDIENCE = "motherlode"
MAKERS: dict[str, tuple[Any, Callable[[], Any]]] = {
    "RS256": (jwt.algorithms.RSAAlgorithm, lambda: rsa.generate_private_key(65537, 2048)),
    "ES256": (jwt.algorithms.ECAlgorithm, lambda: ec.generate_private_key(ec.SECP256R1())),
    "EdDSA": (jwt.algorithms.OKPAlgorithm, ed25519.Ed25519PrivateKey.generate),
}


@dataclass
class Issuer:
    """An issuer of tokens.

    Attributes:
        url: of its JWKS.
        keys: key id → algorithm and private key.
        extra: further keys of its JWKS, as they are.
        up: whether it answers.
        redirect: where it leads instead; empty: nowhere.
        fetched: how often it was asked.
    """

    url: str = ""
    keys: dict[str, tuple[str, Any]] = field(default_factory=dict)
    extra: list[dict[str, Any]] = field(default_factory=list)
    up: bool = True
    redirect: str = ""
    fetched: int = 0

    def add(self, key_id: str, algorithm: str = "ES256") -> None:
        self.keys[key_id] = (algorithm, MAKERS[algorithm][1]())

    def jwks(self) -> bytes:
        listed = [
            json.loads(MAKERS[algorithm][0].to_jwk(key.public_key())) | {"kid": key_id, "use": "sig"}
            for key_id, (algorithm, key) in self.keys.items()
        ]
        return json.dumps({"keys": listed + self.extra}).encode()

    def token(self, key_id: str, algorithm: str = "", key: Any = None, **changes: Any) -> str:
        """A token; a claim that is changed to None is left out."""
        known, private = self.keys.get(key_id, ("", None))
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "ann@example.org",
            "exp": time.time() + 300,
            "scope": "openid score",
        } | changes
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(claims, key if key is not None else private, algorithm or known, headers={"kid": key_id})


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.fetched += 1
            if made.redirect:
                self.send_response(302)
                self.send_header("Location", made.redirect)
                self.end_headers()
                return
            self.send_response(200 if made.up else 503)
            self.end_headers()
            self.wfile.write(made.jwks() if made.up else b"")

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}/keys"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    made.add("one")
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def certificate(tmp_path: Path) -> Callable[[str], tuple[Path, Path]]:
    """Writes a certificate of a name, signed by itself, and its key; always into the same two files."""

    def write(name: str) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        called = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder().subject_name(called).issuer_name(called).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(hours=1))
        made = builder.not_valid_after(now + timedelta(days=1)).sign(key, hashes.SHA256())
        pem, secret = tmp_path / "cert.pem", tmp_path / "key.pem"
        pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        form = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, *form))
        secret.chmod(0o600)
        return pem, secret

    return write
