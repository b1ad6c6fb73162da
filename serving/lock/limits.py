"""How often a caller may call: a token bucket for each, in this replica's memory.

A replica enforces its share, rate / replicas: no word between processes, no trip to Redis. HAProxy deals requests out
evenly, so all shares together are the rate; a caller near its limit may be refused a little early when they fall
unevenly, and never gets more than its rate and burst over all replicas.
"""

from typing import Final

_MOST: Final = 10_000
"""Buckets; beyond that the one that was made first is dropped, and is full when it is made again."""


class Limits:
    """Token buckets by caller.

    Args:
        share: how many replicas share a caller's rate.
    """

    def __init__(self, share: int = 1) -> None:
        self._share = max(1, share)
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, caller: str, rate: float, burst: float, now: float) -> float:
        """Take a request out of a caller's bucket; returns 0, or the seconds until there is one again.

        Args:
            caller: the id.
            rate, burst: over all replicas.
            now: seconds of a clock that never goes back.
        """
        rate, full = rate / self._share, max(1.0, burst / self._share)
        left, at = self._buckets.get(caller, (full, now))
        left = min(full, left + (now - at) * rate)
        if left < 1.0:
            return (1.0 - left) / rate
        if caller not in self._buckets and len(self._buckets) >= _MOST:
            del self._buckets[next(iter(self._buckets))]
        self._buckets[caller] = (left - 1.0, now)
        return 0.0
