"""Methods given away without their object: what holds one of its own methods lives on until a collector finds it."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar
from weakref import WeakMethod

P = ParamSpec("P")
R = TypeVar("R")


def weakly(method: Callable[P, R]) -> Callable[P, R]:
    """A bound method that does not keep its object; whoever calls it holds that by other means.

    A bundle's models and vectors are freed when nobody has them any more, and not when the collector next looks at
    the oldest objects, which may be bundles later.

    Raises:
        ReferenceError: when it is called, and its object is gone.
    """
    held = WeakMethod(method)

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        found = held()
        if found is None:
            raise ReferenceError("what it is a method of is gone")
        return found(*args, **kwargs)

    return call
