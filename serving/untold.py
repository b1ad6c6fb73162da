"""What was said lately, from the ledger itself: Redis may not know it yet.

A word that comes while Redis is down, or hangs, is kept and told later; a failover may lose the last second's. Until
Redis has it, whoever withdrew would be answered personally, so the newest words are looked at beside what Redis says.
"""

import logging
import time
from collections.abc import Mapping
from typing import Final

from motherlode.consent import Ledger
from motherlode.errors import DataError
from motherlode.settings import Settings

_log: Final = logging.getLogger(__name__)

_EVERY_S: Final = 0.2
_MOST: Final = 10_000
"""Words that are remembered."""
_BYTES: Final = 2 << 20
"""Read of the ledger's end at most, so that nobody waits for a long one."""
_NONE: Final[Mapping[str, int]] = {}


class Untold:
    """The newest words of a home.

    Args:
        settings: whose ledger.
    """

    def __init__(self, settings: Settings) -> None:
        self._ledger = Ledger(settings)
        self._look_at = 0.0
        self._said: dict[tuple[str, str], int] = {}
        self._of: dict[str, dict[str, int]] = {}

    def of(self, purpose: str) -> Mapping[str, int]:
        """Name → signed time of what was said of a purpose, as of a fifth of a second ago at most."""
        if (now := time.monotonic()) >= self._look_at:
            self._look_at = now + _EVERY_S
            self._look()
        return self._of.get(purpose, _NONE)

    def _look(self) -> None:
        try:
            words = self._ledger.fresh(_BYTES, damaged=_tell)  # a damaged line must not hide those beside it
        except OSError as error:
            _log.error("The ledger of consents cannot be read: %s", error)
            return
        for word in words:
            of, place = self._of.setdefault(word.purpose, {}), (word.purpose, word.customer)
            at = self._said.pop(place, 0)  # what was said last stands last
            newest = word.signed if (abs(at), at < 0) <= (word.at, not word.granted) else at
            self._said[place] = of[word.customer] = newest
        while len(self._said) > _MOST:
            purpose, customer = next(iter(self._said))
            del self._said[purpose, customer], self._of[purpose][customer]


def _tell(damage: DataError) -> None:
    _log.error("A word of consent cannot be read: %s", damage)
