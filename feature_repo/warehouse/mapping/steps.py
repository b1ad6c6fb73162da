"""Polars expressions in steps: a value that several parts of an expression need is named, and computed once.

An expression is a tree. Where a part stands in it twice, and a part of that again, the tree doubles with every level:
six levels of `when(x > 0).then(x)` took minutes to plan. A field of a struct is named instead of copied.
"""

from collections.abc import Callable
from typing import Self

import polars as pl


class Steps:
    """Named values of a row; each step's values are computed from `pl.field(name)` of the steps before.

    Args:
        first: name → expression.
    """

    def __init__(self, **first: pl.Expr) -> None:
        self._row: pl.Expr = pl.struct([value.alias(name) for name, value in first.items()])

    def then(self, **more: pl.Expr) -> Self:
        """These steps and one more."""
        steps = object.__new__(type(self))
        steps._row = self._row.struct.with_fields([value.alias(name) for name, value in more.items()])
        return steps

    def get(self, name: str) -> pl.Expr:
        """A value."""
        value: pl.Expr = self._row.struct.field(name)
        return value


def let(value: pl.Expr, body: Callable[[pl.Expr], pl.Expr]) -> pl.Expr:
    """`body` of a value, which it may name more than once.

    Args:
        value: an expression.
        body: uses nothing else of the row, holds no `let` of its own, and adds to no sum: Polars' optimiser asks for
            the type of a sum's parts, where it cannot tell a field's.
    """
    if value.meta.is_column() or not value.meta.root_names():
        return body(value)
    return Steps(of=value).then(made=body(pl.field("of"))).get("made")


def let_all(values: list[pl.Expr], body: Callable[[list[pl.Expr]], pl.Expr]) -> pl.Expr:
    """As `let`, of several values."""
    if all(value.meta.is_column() or not value.meta.root_names() for value in values):
        return body(values)
    named = {f"of{number}": value for number, value in enumerate(values)}
    return Steps(**named).then(made=body([pl.field(name) for name in named])).get("made")
