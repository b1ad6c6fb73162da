"""What went wrong in one replica alone, and when it tries again. Nobody else is told of it."""

import time
from typing import Final

_FIRST_S: Final = 1.0
_LONGEST_S: Final = 60.0


class Setback:
    """A failure at one thing: it is tried again after a second, then after twice as long each time, up to a minute."""

    def __init__(self) -> None:
        self._what: object = None
        self._kind: type[Exception] | None = None
        self._wait_s = 0.0
        self._until = 0.0
        self._problem: str | None = None

    @property
    def problem(self) -> str | None:
        """For people; None where nothing is wrong."""
        return self._problem

    def due(self, what: object) -> bool:
        """Whether it may be tried now."""
        return what != self._what or time.monotonic() >= self._until

    def failed(self, what: object, error: Exception, problem: str) -> bool:
        """It went wrong. Returns whether that is news: another thing, or another kind of error.

        Args:
            what: was tried.
            error: why it failed.
            problem: the same for people.
        """
        if what != self._what:
            self.over()
        news = self._kind is not type(error)
        self._what, self._kind = what, type(error)
        if news:
            self._problem = problem
        self._wait_s = min(max(_FIRST_S, 2 * self._wait_s), _LONGEST_S)
        self._until = time.monotonic() + self._wait_s
        return news

    def over(self) -> None:
        """Nothing is wrong any more."""
        self._what = self._kind = self._problem = None
        self._wait_s = self._until = 0.0


def passing(error: BaseException | None) -> bool:
    """Whether a bundle that could not be read may be as good as any: the system had no memory, or no file to give."""
    while error is not None:
        if isinstance(error, MemoryError | OSError) and not isinstance(error, FileNotFoundError):
            return True
        error = error.__cause__ or error.__context__
    return False
