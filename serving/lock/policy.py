"""Whether the lock is on, and whether a server may start as it is told to: checked before anything is started."""

import ipaddress
import ssl
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from motherlode import access
from motherlode.errors import SettingsError
from motherlode.settings import Settings

ON: Final = "on"
OFF: Final = "off"
AUTO: Final = "auto"
PROXY: Final = "proxy"

_ADD: Final = "motherlode access add NAME --scope score"


def is_loopback(host: str) -> bool:
    """Whether a name or an address is loopback's."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def beyond_loopback(settings: Settings) -> bool:
    """Whether others than this machine may reach the server; a cluster's proxies listen where it says."""
    return settings.ray_address is not None or not is_loopback(settings.host)


def is_locked(settings: Settings) -> bool:
    """Whether callers need a key."""
    return settings.lock == ON or (settings.lock == AUTO and beyond_loopback(settings))


def require(settings: Settings) -> None:
    """Check that the server may start.

    Raises:
        SettingsError: it would listen beyond loopback without a lock or without TLS; nobody has a key for the lock; the
            certificate and its key are none; or they are for a cluster, which would not heed them.
    """
    where = settings.ray_address or settings.host
    if beyond_loopback(settings) and not is_locked(settings):
        raise SettingsError(
            f"The server would listen on {where}, beyond this machine, without a lock (MOTHERLODE_LOCK=off).",
            "Unset MOTHERLODE_LOCK, or serve on 127.0.0.1.",
        )
    if is_locked(settings) and settings.jwks is None and not access.Ring(access.read(settings)).usable(_now()):
        raise SettingsError(
            f"The lock of the server on {where} is on, and nobody has a key that opens it.",
            f"Make one: `{_ADD}`; or name an issuer of tokens (MOTHERLODE_JWKS).",
        )
    if settings.tls_cert is not None and settings.ray_address is not None:
        raise SettingsError(
            f"The proxies of the cluster at {where} take no certificate from here (MOTHERLODE_TLS_CERT).",
            "Unset it, and end TLS before the cluster.",
        )
    if settings.tls_cert is not None and settings.tls_key is not None:
        require_pair(Path(settings.tls_cert), Path(settings.tls_key))
    elif beyond_loopback(settings) and settings.ray_address is None and settings.tls != PROXY:
        raise SettingsError(
            f"The server would listen on {where}, beyond this machine, without TLS: keys would be sent in clear.",
            "Name a certificate and its key (MOTHERLODE_TLS_CERT, MOTHERLODE_TLS_KEY), or set MOTHERLODE_TLS=proxy "
            "where a proxy before it ends TLS.",
        )


def _now() -> datetime:
    return datetime.now(UTC)


def require_pair(certificate: Path, key: Path) -> None:
    """Check that both can be read, belong together, and that the key is closed to others.

    Raises:
        SettingsError: not so.
    """
    try:
        mode = key.stat().st_mode
        if mode & (stat.S_IRWXO | stat.S_IWGRP):
            raise SettingsError(
                f"The TLS key {key} is open to others (mode {stat.S_IMODE(mode):04o}).", f"Close it: chmod 600 {key}"
            )
        # A password would be asked for on the terminal, and again by every process: none is taken.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        raise SettingsError(
            f"The certificate {certificate} with the key {key} cannot be used: {why}.",
            "Give a PEM chain and its PEM key without a password (MOTHERLODE_TLS_CERT, MOTHERLODE_TLS_KEY).",
        ) from None


def _no_password() -> str:
    raise ValueError("the key has a password")
