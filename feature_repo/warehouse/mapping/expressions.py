"""SQL expressions over one row → Polars expressions that never raise on data.

sqlglot parses, and every construct is translated here, one by one (docs/decisions/0017): so a CAST that fails gives
null and says so, text of a CSV file can be computed with, and what would mix rows (sums, windows) is refused before any
data is read.
"""

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import polars as pl
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from feature_repo.warehouse.mapping import functions, suggest
from feature_repo.warehouse.mapping.casts import Reading
from feature_repo.warehouse.mapping.steps import let_all
from feature_repo.warehouse.mapping.terms import (
    INSTANT,
    Node,
    Term,
    alternatives,
    chosen,
    column,
    comparable,
    constant,
    converted,
)
from feature_repo.warehouse.mapping.text_functions import pattern_of
from feature_repo.warehouse.mapping.time_functions import interval
from motherlode.errors import DataError

_DIALECT: Final = "duckdb"
_LONGEST: Final = 20_000
"""Characters of one expression: beyond it the parser's recursion is the limit."""


@dataclass(frozen=True)
class Known:
    """What an expression may refer to.

    Attributes:
        columns: name → type; a look-up's are named `<source>.<column>`.
        reading: how raw text is to be understood.
        what: what the columns are called in an error.
        readings: the columns that are to be understood otherwise → how.
    """

    columns: Mapping[str, pl.DataType]
    reading: Reading = field(default_factory=Reading)
    what: str = "raw columns"
    readings: Mapping[str, Reading] = field(default_factory=dict)


def build(sql: str, known: Known) -> Term:
    """An expression over a row.

    Raises:
        DataError: it cannot be parsed, refers to what is not there, or mixes kinds that do not go together.
    """
    return _Translator(known).term(_parse(sql))


def condition(sql: str, known: Known) -> Term:
    """An expression that is true or false.

    Raises:
        DataError: as `build`, or it is neither.
    """
    made = build(sql, known)
    if made.kind not in ("boolean", "null"):
        raise DataError(f"{sql!r} gives a {made.kind}, not true or false.", "Compare it with something.")
    return made


def references(sql: str) -> tuple[str, ...]:
    """The columns that an expression names, in their order, each once; functions are checked too.

    Raises:
        DataError: it cannot be parsed, or names a function that is not there.
    """
    tree = _parse(sql)
    for node in tree.walk():
        _known_construct(node)
    return tuple(dict.fromkeys(_name(node) for node in tree.find_all(exp.Column, bfs=False)))


def _parse(sql: str) -> Node:
    if len(sql) > _LONGEST:
        raise DataError(f"an expression of {len(sql):,} characters is too long.", f"At most {_LONGEST:,} are read.")
    try:
        # In parentheses, so that a second statement or an alias is no expression.
        tree = sqlglot.parse_one(f"({sql}\n)", dialect=_DIALECT)
    except (SqlglotError, RecursionError) as error:
        raise DataError(f"{sql!r} is no SQL expression{_where(error)}.", _SYNTAX) from error
    if not isinstance(tree, exp.Paren) or isinstance(tree.this, (exp.Alias, exp.Query)):
        raise DataError(f"{sql!r} is not one SQL expression.", _SYNTAX)
    inner: Node = tree.this
    return inner


_SYNTAX: Final = (
    "Write one expression over a row, such as ROUND(price * pieces, 2); names with blanks in \"…\", texts in '…'."
)


def _where(error: Exception) -> str:
    details: Sequence[Mapping[str, Any]] = getattr(error, "errors", ())
    if not details:
        return ""
    first = details[0]
    # The parenthesis in front of it counts as one.
    return f": near sign {max(first['col'] - 1, 1)}, {first['description'].rstrip('.')}"


def _name(node: exp.Column) -> str:
    return ".".join(part.name for part in node.parts)


def _known_construct(node: Node) -> None:
    """Refuses what no expression over a row may hold."""
    if isinstance(node, (exp.AggFunc, exp.Window)):
        raise DataError(f"{node.sql(_DIALECT)} looks at more than one row.", "An expression sees one row alone.")
    if isinstance(node, exp.Query):
        raise DataError("an expression holds a query.", "Use a `join` to look something up.")
    if isinstance(node, exp.Anonymous):
        name = node.name.upper()
        raise DataError(f"there is no function {name}.", suggest.remedy(name, functions.NAMES))
    if isinstance(node, exp.Func) and type(node) not in _HANDLERS:
        raise DataError(f"there is no function {node.sql_name()}.", suggest.remedy(node.sql_name(), functions.NAMES))


_Compare = Literal["==", "!=", "<", "<=", ">", ">="]
_COMPARE: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class _Translator:
    """One expression's translation."""

    def __init__(self, known: Known) -> None:
        self.known = known
        self.reading = known.reading

    def term(self, node: Node) -> Term:
        """A node's term."""
        handler = _HANDLERS.get(type(node))
        if handler is None:
            _known_construct(node)
            raise DataError(f"{node.sql(_DIALECT)!r} cannot stand in an expression.", _SYNTAX)
        return handler(self, node)

    def terms(self, node: Node, *keys: str) -> list[Term]:
        """The terms of a node's arguments that are there."""
        return [self.term(node.args[key]) for key in keys if node.args.get(key) is not None]

    def to(self, kind: str, term: Term) -> Term:
        return converted(term, kind, self.reading)

    def column(self, node: Node) -> Term:
        assert isinstance(node, exp.Column)
        name = _name(node)
        dtype = self.known.columns.get(name)
        if dtype is None:
            hint = suggest.remedy(name, self.known.columns, f"The {self.known.what} are")
            raise DataError(f"there is no column {name!r}.", hint)
        return column(name, dtype, self.known.readings.get(name, self.reading))

    def literal(self, node: Node) -> Term:
        assert isinstance(node, exp.Literal)
        if node.is_string:
            return constant("string", node.this)
        number = node.this
        return (
            constant("integer", int(number))
            if number.isdigit() and int(number) < 2**63
            else constant("number", float(number))
        )

    def binary(self, node: Node) -> Term:
        if isinstance(node.expression, exp.Interval):
            return interval(node, self)
        left, right = self.terms(node, "this", "expression")
        return functions.arithmetic(type(node).__name__, left, right, self.reading)

    def compare(self, sign: str, left: Term, right: Term) -> Term:
        left, right = comparable((left, right), self.reading)
        return Term.of("boolean", _COMPARE[sign](left.value, right.value), left, right)

    def distinct(self, node: Node) -> Term:
        left, right = comparable(self.terms(node, "this", "expression"), self.reading)
        equal = left.value.eq_missing(right.value)
        return Term.of("boolean", equal if isinstance(node, exp.NullSafeEQ) else ~equal, left, right)

    def logical(self, node: Node) -> Term:
        left, right = (self.to("boolean", it) for it in self.terms(node, "this", "expression"))
        both = left.value & right.value if isinstance(node, exp.And) else left.value | right.value
        return Term.of("boolean", both, left, right)

    def negated(self, node: Node) -> Term:
        (inner,) = self.terms(node, "this")
        inner = self.to("boolean", inner)
        return Term.of("boolean", ~inner.value, inner)

    def is_(self, node: Node) -> Term:
        (inner,) = self.terms(node, "this")
        other = node.args["expression"]
        if isinstance(other, exp.Null):
            return Term(
                "boolean", inner.value.is_null() if inner.failed is None else inner.value.is_null() & ~inner.failed
            )
        if isinstance(other, exp.Boolean):
            inner = self.to("boolean", inner)
            return Term.of("boolean", inner.value.eq_missing(pl.lit(other.this)), inner)
        raise DataError(f"{node.sql(_DIALECT)!r} compares with neither NULL, TRUE nor FALSE.", "Use `=`.")

    def in_(self, node: Node) -> Term:
        if node.args.get("query") or node.args.get("unnest") or node.args.get("field"):
            raise DataError("IN (SELECT ...) looks at other rows.", "Use a `join`, and compare with its column.")
        this, *items = comparable([self.term(node.this), *map(self.term, node.expressions)], self.reading)
        values = [this.value, *(item.value for item in items)]
        found = let_all(values, lambda of: functools.reduce(operator.or_, [of[0] == item for item in of[1:]]))
        return Term.of("boolean", found, this, *items)

    def between(self, node: Node) -> Term:
        parts = comparable(self.terms(node, "this", "low", "high"), self.reading)
        within = let_all([part.value for part in parts], lambda of: (of[0] >= of[1]) & (of[0] <= of[2]))
        return Term.of("boolean", within, *parts)

    def like(self, node: Node) -> Term:
        (this,) = self.terms(node, "this")
        pattern = pattern_of(self.constant(node.args["expression"], str), insensitive=isinstance(node, exp.ILike))
        this = self.to("string", this)
        found = this.value.str.contains(pattern)
        return Term.of("boolean", ~found if node.args.get("negate") else found, this)

    def case(self, node: Node) -> Term:
        subject = node.args.get("this")
        branches = node.args["ifs"] if isinstance(node, exp.Case) else [node]
        conditions = [
            self.to("boolean", self.term(branch.this))
            if subject is None or isinstance(node, exp.If)
            else self.compare("==", self.term(subject), self.term(branch.this))
            for branch in branches
        ]
        results = [self.term(branch.args["true"]) for branch in branches]
        last = node.args.get("default") or node.args.get("false")
        results.append(self.term(last) if last is not None else constant("null", None))
        *results, otherwise = alternatives(results, self.reading)
        value, failed = otherwise.value, otherwise.failed_or_false
        for test, result in zip(reversed(conditions), reversed(results), strict=True):
            value = pl.when(test.value).then(result.value).otherwise(value)
            failed = pl.when(test.value).then(result.failed_or_false).otherwise(failed)
        tests = [test.failed for test in conditions if test.failed is not None]
        sure = not tests and otherwise.failed is None and all(result.failed is None for result in results)
        total = functools.reduce(operator.or_, [failed, *tests])
        pairs = [(test.value.fill_null(False), result) for test, result in zip(conditions, results, strict=True)]
        readings = chosen(pairs, otherwise, self.reading)
        return Term(otherwise.kind, value, None if sure else total & value.is_null(), readings=readings)

    def coalesce(self, node: Node) -> Term:
        parts = alternatives([self.term(node.this), *(self.term(item) for item in node.expressions)], self.reading)
        made = Term.of(parts[0].kind, pl.coalesce([part.value for part in parts]), *parts)
        pairs = [(part.value.is_not_null(), part) for part in parts[:-1]]
        return replace(made, readings=chosen(pairs, parts[-1], self.reading))

    def extreme(self, node: Node) -> Term:
        parts = comparable([self.term(node.this), *(self.term(item) for item in node.expressions)], self.reading)
        values = [part.value for part in parts]
        largest = pl.max_horizontal(values) if isinstance(node, exp.Greatest) else pl.min_horizontal(values)
        return Term.of(parts[0].kind, largest, *parts)

    def nullif(self, node: Node) -> Term:
        this, other = self.terms(node, "this", "expression")
        left, right = comparable((this, other), self.reading)
        values = [this.value, left.value, right.value]
        kept = let_all(values, lambda of: pl.when((of[1] == of[2]).not_().fill_null(True)).then(of[0]))
        same = (left.value == right.value).fill_null(False)
        failed = None if this.failed is None else this.failed & ~same
        return Term(this.kind, kept, failed, readings=this.readings)

    def cast(self, node: Node) -> Term:
        target = node.args["to"].this
        kind = _TYPES.get(target)
        if kind is None:
            raise DataError(
                f"there is no type {node.args['to'].sql(_DIALECT)}.", f"The types are {', '.join(_TYPE_NAMES)}."
            )
        made = self.to(kind, self.term(node.this))
        return replace(made, failed=None) if isinstance(node, exp.TryCast) else made

    def function(self, node: Node) -> Term:
        return functions.call(node, self)

    def constant(self, node: Node | None, kind: type, default: Any = None) -> Any:
        """An argument that must stand in the mapping itself.

        Raises:
            DataError: it is computed, or of another kind.
        """
        if node is None:
            return default
        sign = -1 if isinstance(node, exp.Neg) else 1
        inner = node.this if isinstance(node, exp.Neg) else node
        if kind is str and isinstance(node, exp.Literal) and node.is_string:
            return node.this
        number = inner.this if isinstance(inner, exp.Literal) and not inner.is_string else ""
        if kind is int and number.isdigit() and int(number) < _LONGEST:
            return sign * int(number)
        noun = "text" if kind is str else "whole number"
        raise DataError(f"{node.sql(_DIALECT)} is no constant {noun}.", f"Write it out as a {noun}.")


_Handler = Callable[[_Translator, Node], Term]


def _comparing(sign: str) -> _Handler:
    return lambda made, node: made.compare(sign, *made.terms(node, "this", "expression"))


def _inner(made: _Translator, node: Node) -> Term:
    return made.term(node.this)


_TYPE = exp.DataType.Type
_TYPES: Final[Mapping[Any, str]] = {
    **dict.fromkeys((_TYPE.TINYINT, _TYPE.SMALLINT, _TYPE.INT, _TYPE.BIGINT), "integer"),
    **dict.fromkeys((_TYPE.FLOAT, _TYPE.DOUBLE, _TYPE.DECIMAL), "number"),
    **dict.fromkeys((_TYPE.TEXT, _TYPE.VARCHAR, _TYPE.CHAR, _TYPE.NVARCHAR), "string"),
    _TYPE.BOOLEAN: "boolean",
    _TYPE.DATE: "date",
    **dict.fromkeys((_TYPE.TIMESTAMP, _TYPE.TIMESTAMPNTZ, _TYPE.TIMESTAMPTZ, _TYPE.DATETIME), INSTANT),
}
_TYPE_NAMES: Final = ("VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN", "DATE", "TIMESTAMP")

_HANDLERS: Final[Mapping[type[Node], _Handler]] = {
    exp.Paren: _inner,
    exp.Column: _Translator.column,
    exp.Literal: _Translator.literal,
    exp.Null: lambda made, node: constant("null", None),
    exp.Boolean: lambda made, node: constant("boolean", bool(node.this)),
    **dict.fromkeys((exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod), _Translator.binary),
    exp.EQ: _comparing("=="),
    exp.NEQ: _comparing("!="),
    exp.LT: _comparing("<"),
    exp.LTE: _comparing("<="),
    exp.GT: _comparing(">"),
    exp.GTE: _comparing(">="),
    **dict.fromkeys((exp.NullSafeEQ, exp.NullSafeNEQ), _Translator.distinct),
    **dict.fromkeys((exp.And, exp.Or), _Translator.logical),
    exp.Not: _Translator.negated,
    exp.Is: _Translator.is_,
    exp.In: _Translator.in_,
    exp.Between: _Translator.between,
    **dict.fromkeys((exp.Like, exp.ILike), _Translator.like),
    **dict.fromkeys((exp.Case, exp.If), _Translator.case),
    exp.Coalesce: _Translator.coalesce,
    **dict.fromkeys((exp.Greatest, exp.Least), _Translator.extreme),
    exp.Nullif: _Translator.nullif,
    **dict.fromkeys((exp.Cast, exp.TryCast), _Translator.cast),
    **dict.fromkeys(functions.FUNCTIONS, _Translator.function),
}
