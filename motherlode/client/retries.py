"""When a call is asked again: how often, after how long, and out of which budget.

Calls may be repeated: most read, events and contacts count once by their ids (consent: see `calls`). Waits are
exponential with full jitter (Brooker, "Exponential backoff and jitter", AWS 2015). The budget is a token bucket as in
gRPC's retry throttling (gRFC A6): a server that fails all its calls is asked a tenth more, not four times as much.
"""

import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

from motherlode.errors import SettingsError

AGAIN: Final = frozenset({429, 502, 503, 504})
"""The statuses that another try may mend."""
_RETRY_AFTER: Final = "retry-after"


@dataclass(frozen=True)
class Retries:
    """How often, and after how long.

    Attributes:
        tries: at most so many a request, the first included.
        first_s, longest_s: the n-th wait is drawn evenly from 0 to `first_s` · 2ⁿ⁻¹, at most `longest_s`.

    Raises:
        SettingsError: one of them cannot be.
    """

    tries: int = 4
    first_s: float = 0.05
    longest_s: float = 2.0

    def __post_init__(self) -> None:
        if self.tries < 1:
            raise SettingsError(f"A request of {self.tries} tries is never sent.", "Give at least 1.")
        if not 0 <= self.first_s <= self.longest_s:
            raise SettingsError(
                f"A wait cannot begin at {self.first_s:g} s and end at {self.longest_s:g} s.",
                "Give a first one from 0 to the longest one.",
            )

    def wait_s(self, tried: int, after_s: float) -> float:
        """Seconds until the next try.

        Args:
            tried: how often it was asked, 1 or more.
            after_s: what the server asked for; the jitter comes on top, so that not all come back in one moment.
        """
        return after_s + random.uniform(0.0, min(self.longest_s, self.first_s * 2.0 ** min(tried - 1, 60)))


class Budget:
    """What may be asked again: a tenth of the calls, and a reserve. Threads may share it, and clients too.

    Args:
        share: retries a call, in the long run.
        reserve: retries at once; what is not used is saved up to so many.
    """

    def __init__(self, share: float = 0.1, reserve: int = 10) -> None:
        self._share = share
        self._reserve = float(reserve)
        self._tokens = float(reserve)
        self._lock = threading.Lock()

    @property
    def tokens(self) -> float:
        """Retries that may be made now."""
        return self._tokens

    def earn(self) -> None:
        """A request is sent for the first time."""
        if self._tokens < self._reserve:
            with self._lock:
                self._tokens = min(self._reserve, self._tokens + self._share)

    def spend(self) -> bool:
        """Take a retry out of the budget; False: there is none."""
        with self._lock:
            if self._tokens < 1.0:
                return False
            self._tokens -= 1.0
            return True


def retry_after_s(headers: Mapping[str, str]) -> float:
    """What an answer's `Retry-After` asks for, as seconds or a date (RFC 9110, 10.2.3); 0 where it is not to be read.

    Args:
        headers: by names in lower case.
    """
    text = headers.get(_RETRY_AFTER, "").strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0
