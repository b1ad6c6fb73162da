"""What either client is told when it is made: whom to ask, as whom, what for, and for how long."""

from pathlib import Path

from motherlode.client import calls
from motherlode.client.address import Address
from motherlode.client.retries import Budget, Retries
from motherlode.client.talk import Manner


class Told:
    """What both clients have.

    A call that takes more than one request may, more than 1000 customers for instance, is split and its answers are
    joined in order; `bundle` then names each bundle that answered. All its requests and retries end within the time
    for the call.

    Args:
        url: the server's, as `http://127.0.0.1:8000`.
        api_key: sent as `Authorization: Bearer`.
        purpose: of requests that name none (or `service`, the server's default), as `marketing`.
        timeout_s: seconds a call, its retries included; each call may say otherwise.
        retries: how often a request is repeated that failed and may succeed.
        budget: what may be repeated over all calls; clients may share one.
        ca_file: PEM certificates to trust instead of the system's.

    Raises:
        SettingsError: the URL, the key or the file cannot be used.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        purpose: str | None = None,
        timeout_s: float = calls.TIMEOUT_S,
        retries: Retries | None = None,
        budget: Budget | None = None,
        ca_file: Path | None = None,
    ) -> None:
        self._address = Address.of(url, api_key, ca_file)
        self._manner = Manner(retries or Retries(), budget or Budget(), purpose)
        self._timeout_s = timeout_s

    def _within(self, timeout_s: float | None) -> float:
        return self._timeout_s if timeout_s is None else timeout_s
