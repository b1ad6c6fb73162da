"""Where a client asks, and as whom: checked once, so that no key reaches an error's text or the wrong place."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self
from urllib.parse import urlsplit

from motherlode import __version__
from motherlode.errors import SettingsError

_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Address:
    """A server.

    Attributes:
        host, port: where it listens.
        prefix: before every path; empty, or from its first slash without a last one.
        tls: how its certificate is checked; None: plain HTTP.
        headers: of every request.
    """

    host: str
    port: int
    prefix: str
    tls: ssl.SSLContext | None
    headers: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, url: str, api_key: str | None = None, ca_file: Path | None = None) -> Self:
        """A server by its URL.

        Args:
            url: as `https://motherlode.example:8443`; a path is put before every route.
            api_key: sent as `Authorization: Bearer`.
            ca_file: PEM certificates to trust instead of the system's.

        Raises:
            SettingsError: one of them cannot be used.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise _bad(url) from None
        if parts.scheme not in _PORTS or not host or parts.username or parts.query or parts.fragment:
            raise _bad(url if parts.username is None else "the URL")
        headers = {"user-agent": f"motherlode/{__version__}", "content-type": "application/json"}
        if api_key is not None:
            if not api_key or not all("!" <= each <= "~" for each in api_key):
                raise SettingsError(
                    "The API key holds what no header may.", "Give it as it was issued, without blanks."
                )
            headers["authorization"] = f"Bearer {api_key}"
        tls = _tls(ca_file) if parts.scheme == "https" else None
        return cls(host, port or _PORTS[parts.scheme], parts.path.rstrip("/"), tls, MappingProxyType(headers))

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'http' if self.tls is None else 'https'}://{host}:{self.port}"


def _bad(url: str) -> SettingsError:
    return SettingsError(
        f"{url!r} is no server's URL." if url != "the URL" else "The URL names a user.",
        "Give one like http://127.0.0.1:8000, the key as `api_key`.",
    )


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise SettingsError(f"The certificates of {ca_file} cannot be read.", "Name a PEM file.") from error
