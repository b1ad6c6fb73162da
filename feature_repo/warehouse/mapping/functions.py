"""The functions of SQL expressions: those of numbers, and all of them by name; and their arithmetic."""

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

import polars as pl
from sqlglot import exp

from feature_repo.warehouse.mapping.casts import Reading
from feature_repo.warehouse.mapping.steps import let, let_all
from feature_repo.warehouse.mapping.terms import Function, Node, Term, Translator, converted, failing, numeric
from feature_repo.warehouse.mapping.text_functions import TEXT
from feature_repo.warehouse.mapping.time_functions import TIME
from motherlode.errors import DataError

_HALVES: Final = "half_away_from_zero"
"""How SQL rounds; Polars rounds halves to even."""
_DIVIDE: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "Div": operator.truediv,
    "IntDiv": operator.floordiv,
    "Mod": operator.mod,
}
_OPERATE: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "Add": operator.add,
    "Sub": operator.sub,
    "Mul": operator.mul,
}
_DIGITS: Final = 18
_OVERFLOW: Final = float(2**63)


def call(node: Node, made: Translator) -> Term:
    """A function's term."""
    return FUNCTIONS[type(node)](node, made)


def arithmetic(name: str, left: Term, right: Term, reading: Reading) -> Term:
    """Add, Sub, Mul, Div, IntDiv, Mod of numbers; days between dates; what divides by nothing, or overflows, failed.

    Raises:
        DataError: they are no numbers.
    """
    if name == "Sub" and left.kind == right.kind == "date":
        return Term.of("integer", (left.value - right.value).dt.total_days(), left, right)
    left, right = (numeric(term, reading) for term in (left, right))
    whole = left.kind == right.kind == "integer" and name != "Div"
    if not whole:
        left, right = (converted(term, "number", reading) for term in (left, right))
    values = [left.value, right.value]
    if name in ("Div", "IntDiv", "Mod"):
        value = let_all(values, lambda of: _DIVIDE[name](of[0], pl.when(of[1] != 0).then(of[1])))
        nothing = let_all(values, lambda of: (of[1] == 0) & of[0].is_not_null())
        return failing(Term.of("integer" if whole else "number", value, left, right), nothing)
    operation = _OPERATE[name]
    if not whole:
        return Term.of("number", operation(*values), left, right)
    value = let_all(values, lambda of: pl.when(_size(operation, *of) < _OVERFLOW).then(operation(*of)))
    return failing(Term.of("integer", value, left, right), _size(operation, *values) >= _OVERFLOW)


def _size(operation: Callable[[Any, Any], Any], left: pl.Expr, right: pl.Expr) -> pl.Expr:
    size: pl.Expr = operation(left.cast(pl.Float64), right.cast(pl.Float64)).abs()
    return size


def _finite(value: pl.Expr) -> pl.Expr:
    return let(value, lambda it: pl.when(it.is_finite()).then(it))


def _number(method: Callable[[pl.Expr], pl.Expr], kind: str = "number", *, keep: bool = False) -> Function:
    def function(node: Node, made: Translator) -> Term:
        this = numeric(made.term(node.this), made.reading)
        if keep and this.kind == "integer":
            return Term.of("integer", method(this.value), this)
        this = made.to("number", this)
        kept = _finite(method(this.value))
        return failing(Term.of("number", kept, this), this.value.is_not_null() & kept.is_null())

    return function


def _as(kind: str) -> Function:
    return lambda node, made: made.to(kind, made.term(node.this))


def _round(node: Node, made: Translator) -> Term:
    this = made.to("number", made.term(node.this))
    digits = made.constant(node.args.get("decimals"), int, 0)
    if abs(digits) > _DIGITS:
        raise DataError(f"ROUND to {digits} digits.", f"A number has {_DIGITS} digits at most.")
    if digits < 0:
        size = 10.0**-digits
        return Term.of("number", (this.value / size).round(mode=_HALVES) * size, this)
    return Term.of("number", this.value.round(digits, mode=_HALVES), this)


def _power(node: Node, made: Translator) -> Term:
    base, exponent = (made.to("number", numeric(made.term(it), made.reading)) for it in (node.this, node.expression))
    kept = _finite(base.value.pow(exponent.value))
    return failing(
        Term.of("number", kept, base, exponent),
        base.value.is_not_null() & exponent.value.is_not_null() & kept.is_null(),
    )


def _log(node: Node, made: Translator) -> Term:
    # LOG(x) is the common one, as in DuckDB; LOG(base, x) comes with both.
    base, this = (
        (10, node.this) if node.args.get("expression") is None else (made.constant(node.this, int), node.expression)
    )
    return _number(lambda it: it.log(base))(exp.Ln(this=this), made)


_NUMBERS: Final[Mapping[type[Node], Function]] = {
    exp.Abs: _number(lambda it: it.abs(), keep=True),
    exp.Neg: _number(lambda it: -it, keep=True),
    exp.Sign: _number(lambda it: it.sign(), keep=True),
    exp.Floor: _number(lambda it: it.floor()),
    exp.Ceil: _number(lambda it: it.ceil()),
    exp.Sqrt: _number(lambda it: it.sqrt()),
    exp.Exp: _number(lambda it: it.exp()),
    exp.Ln: _number(lambda it: it.log()),
    exp.Log: _log,
    exp.Pow: _power,
    exp.Round: _round,
    exp.Date: _as("date"),
}
FUNCTIONS: Final[Mapping[type[Node], Function]] = {**TEXT, **TIME, **_NUMBERS}
"""Node → its function."""
NAMES: Final = tuple(
    sorted(
        (
            *("ABS", "CAST", "CEIL", "COALESCE", "CONCAT", "CONCAT_WS", "CONTAINS", "DATE", "DATE_DIFF", "DATE_TRUNC"),
            *("DAY", "ENDS_WITH", "EXP", "EXTRACT", "FLOOR", "GREATEST", "HOUR", "IF", "IFNULL", "LEAST", "LEFT"),
            *("LENGTH", "LN", "LOG", "LOWER", "LPAD", "LTRIM", "MINUTE", "MOD", "MONTH", "NULLIF", "POWER", "QUARTER"),
            *(
                "REGEXP_EXTRACT",
                "REGEXP_LIKE",
                "REGEXP_REPLACE",
                "REPLACE",
                "RIGHT",
                "ROUND",
                "RPAD",
                "RTRIM",
                "SECOND",
            ),
            *("SIGN", "SPLIT_PART", "SQRT", "STARTS_WITH", "STRFTIME", "STRPTIME", "SUBSTRING", "TRIM", "TRY_CAST"),
            *("UPPER", "YEAR"),
        )
    )
)
"""Functions by the names that users write."""
