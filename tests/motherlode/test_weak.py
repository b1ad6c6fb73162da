"""A method that is given away does not keep its object."""

import gc
import weakref

import pytest

from motherlode.weak import weakly


class Thing:
    """Holds what calls one of its own methods."""

    def __init__(self) -> None:
        self.twice = weakly(self._twice)

    def _twice(self, number: int, *, more: int = 0) -> int:
        return 2 * number + more


def test_it_is_called_as_it_is_and_its_object_is_freed_at_once() -> None:
    gc.disable()
    try:
        thing = Thing()
        twice, gone = thing.twice, weakref.ref(thing)
        assert twice(4, more=1) == 9
        del thing
        assert gone() is None
    finally:
        gc.enable()
    with pytest.raises(ReferenceError):
        twice(4)
