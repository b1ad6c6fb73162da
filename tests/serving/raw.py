"""Requests as they are written, byte by byte: what a well-behaved client would never send."""

import socket
import ssl

RAYS = (b"/-/routes", b"/-/healthz")
SPELLINGS = (
    *RAYS,
    b"/%2d/routes",
    b"/%2D/healthz",
    b"/%252d/routes",
    b"/-%2Froutes",
    b"/%2f-/routes",
    b"/-/route%73",
    b"//-/routes",
    b"/./-/routes",
    b"/x/../-/routes",
    b"/-/../-/routes",
    b"/docs/../-/routes",
    b"/v1/score/../../-/routes",
    b"/-/ROUTES",
    b"/-/routes/",
    b"/-/routes?x",
    b"/-/routes;x",
    b"/\\-/routes",
    b"http://x/-/routes",
    b"http://x/%2d/routes",
    b"HTTP://x//-/routes",
    b"*",
    b"/%00/routes",
    b"/%c0%ad/routes",
)
"""Ray's own paths, as others have written such to get past a rule."""


def trusting() -> ssl.SSLContext:
    """TLS with whoever answers."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def asked(host: str, port: int, request: bytes, tls: ssl.SSLContext | None = None, timeout_s: float = 8.0) -> bytes:
    """All that comes back until the other side closes."""
    plain = socket.create_connection((host, port), timeout=timeout_s)
    with plain if tls is None else tls.wrap_socket(plain) as connection:
        connection.sendall(request)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def got(
    host: str, port: int, target: bytes, *headers: bytes, tls: ssl.SSLContext | None = None
) -> tuple[int, bytes, bytes]:
    """The status, the head in lower case and the body of a GET."""
    lines = (b"GET " + target + b" HTTP/1.1", b"Host: x", b"Connection: close", *headers, b"", b"")
    head, _, body = asked(host, port, b"\r\n".join(lines), tls).partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), head.lower(), body
