"""A circuit breaker: a server that gives no answer again and again is not waited for, but tried again soon."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from serving.reading import UnavailableError

FAILURES: Final = 3
"""In a row, after which nobody waits any more."""
RETRY_S: Final = 0.5
"""How long nobody waits; then one request tries, and where it is answered all do again."""


class Breaker:
    """Lets reads through while they are answered.

    Args:
        failures, retry_s: see `FAILURES` and `RETRY_S`.
        clock: seconds, never going back.
    """

    def __init__(
        self, failures: int = FAILURES, retry_s: float = RETRY_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._failures = failures
        self._retry_s = retry_s
        self._clock = clock
        self._count = 0
        self._until = 0.0
        self._reason = ""

    @property
    def open(self) -> bool:
        """Whether nobody is let through just now."""
        return self._count >= self._failures and self._clock() < self._until

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Around one read.

        Raises:
            UnavailableError: at once while it is open; or what the read raised.
        """
        if self._count >= self._failures:
            if self._clock() < self._until:
                raise UnavailableError(f"{self._reason}, {self._count} times in a row; it is tried again soon")
            self._until = self._clock() + self._retry_s  # this one tries; the others do not wait for what it finds
        try:
            yield
        except UnavailableError as error:
            self._count += 1
            self._until = self._clock() + self._retry_s
            self._reason = str(error)
            raise
        self._count = 0
