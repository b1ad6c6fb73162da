"""The functions of SQL expressions that take text."""

import re
from collections.abc import Callable, Mapping
from typing import Final

import polars as pl
from polars.exceptions import PolarsError
from sqlglot import exp

from feature_repo.warehouse.mapping.steps import let
from feature_repo.warehouse.mapping.terms import Function, Node, Term, Translator
from motherlode.errors import DataError


def pattern_of(like: str, *, insensitive: bool) -> str:
    """A LIKE pattern as a regular expression."""
    signs = {"%": ".*", "_": "."}
    return ("(?is)^" if insensitive else "(?s)^") + "".join(signs.get(sign) or re.escape(sign) for sign in like) + "$"


def checked_regex(pattern: str) -> str:
    """A regular expression that Polars can read.

    Raises:
        DataError: it cannot.
    """
    try:
        pl.select(pl.lit("").str.contains(pattern))
    except PolarsError as error:
        told = str(error).splitlines()[0]
        raise DataError(f"{pattern!r} is no regular expression: {told}.", "Escape its special signs by \\.") from error
    return pattern


def _text(method: Callable[[pl.Expr], pl.Expr], kind: str = "string") -> Function:
    def function(node: Node, made: Translator) -> Term:
        this = made.to("string", made.term(node.this))
        return Term.of(kind, method(this.value), this)

    return function


def _strings(nodes: list[Node], made: Translator) -> list[Term]:
    return [made.to("string", made.term(node)) for node in nodes]


def _concat(node: Node, made: Translator) -> Term:
    # As in SQL: CONCAT leaves out what is null.
    parts = _strings(node.expressions, made)
    return Term.of("string", pl.concat_str([part.value for part in parts], ignore_nulls=True), *parts)


def _concat_ws(node: Node, made: Translator) -> Term:
    separator = made.constant(node.expressions[0], str)
    parts = _strings(node.expressions[1:], made)
    joined = pl.concat_str([part.value for part in parts], separator=separator, ignore_nulls=True)
    return Term.of("string", joined, *parts)


def _pipe(node: Node, made: Translator) -> Term:
    # As in SQL: || gives null where one side is.
    parts = _strings([node.this, node.expression], made)
    return Term.of("string", pl.concat_str([part.value for part in parts]), *parts)


def _substring(node: Node, made: Translator) -> Term:
    this = made.to("string", made.term(node.this))
    start = made.constant(node.args.get("start"), int, 1)
    length = made.constant(node.args.get("length"), int)
    if start == 0 or (length is not None and length < 0):
        raise DataError("SUBSTRING counts from 1 on, and takes no negative length.", "SUBSTRING(text, 1, 3).")
    return Term.of("string", this.value.str.slice(start - 1 if start > 0 else start, length), this)


def _side(node: Node, made: Translator) -> Term:
    this = made.to("string", made.term(node.this))
    count = made.constant(node.expression, int)
    if count < 0:
        raise DataError("LEFT and RIGHT take no negative length.", "LEFT(text, 3).")
    cut = this.value.str.head(count) if isinstance(node, exp.Left) else this.value.str.tail(count)
    return Term.of("string", cut, this)


def _trim(node: Node, made: Translator) -> Term:
    this = made.to("string", made.term(node.this))
    signs = made.constant(node.args.get("expression"), str)
    position = str(node.args.get("position") or "BOTH").upper()
    strip = {"BOTH": this.value.str.strip_chars, "LEADING": this.value.str.strip_chars_start}
    return Term.of("string", strip.get(position, this.value.str.strip_chars_end)(signs), this)


def _replace(node: Node, made: Translator) -> Term:
    this = made.to("string", made.term(node.this))
    old, new = made.constant(node.expression, str), made.constant(node.args["replacement"], str)
    return Term.of("string", this.value.str.replace_all(old, new, literal=True) if old else this.value, this)


def _split_part(node: Node, made: Translator) -> Term:
    this = made.to("string", made.term(node.this))
    separator, index = made.constant(node.args["delimiter"], str), made.constant(node.args["part_index"], int)
    if index == 0 or not separator:
        raise DataError("SPLIT_PART counts from 1 on, and needs a separator.", "SPLIT_PART(text, '-', 1).")
    place = index - 1 if index > 0 else index

    def part(text: pl.Expr) -> pl.Expr:
        found = text.str.split(separator).list.get(place, null_on_oob=True)
        return pl.when(text.is_not_null()).then(found.fill_null(""))

    return Term.of("string", let(this.value, part), this)


def _pad(node: Node, made: Translator) -> Term:
    this = made.to("string", made.term(node.this))
    length, fill = made.constant(node.expression, int), made.constant(node.args.get("fill_pattern"), str, " ")
    if len(fill) != 1 or not 0 <= length <= 10_000:
        raise DataError("LPAD and RPAD fill with one sign, up to 10,000.", "LPAD(text, 8, '0').")
    padded = (
        this.value.str.pad_start(length, fill) if node.args.get("is_left") else this.value.str.pad_end(length, fill)
    )
    return Term.of("string", padded.str.head(length), this)


def _affix(node: Node, made: Translator) -> Term:
    this, other = _strings([node.this, node.expression], made)
    if isinstance(node, exp.StartsWith):
        found = this.value.str.starts_with(other.value)
    elif isinstance(node, exp.EndsWith):
        found = this.value.str.ends_with(other.value)
    else:
        found = this.value.str.contains(other.value, literal=True)
    return Term.of("boolean", found, this, other)


def _regex(node: Node, made: Translator) -> Term:
    this = made.to("string", made.term(node.this))
    pattern = checked_regex(made.constant(node.expression, str))
    if isinstance(node, exp.RegexpLike):
        return Term.of("boolean", this.value.str.contains(pattern), this)
    if isinstance(node, exp.RegexpExtract):
        group = made.constant(node.args.get("group"), int, 0)
        if not 0 <= group <= len(pl.select(pl.lit("").str.extract_groups(pattern).struct.unnest()).columns):
            raise DataError(f"{pattern!r} has no group {group}.", "Groups are counted from 1; 0 is the whole match.")
        return Term.of("string", this.value.str.extract(pattern, group), this)
    new = made.constant(node.args.get("replacement"), str, "")
    # DuckDB's \1 is Rust's ${1}; a $ of the text itself is none.
    new = re.sub(r"\\(\d)", r"${\1}", new.replace("$", "$$"))
    modifiers = made.constant(node.args.get("modifiers"), str, "")
    replace = this.value.str.replace_all if "g" in modifiers else this.value.str.replace
    # In parentheses: where a pattern is plain text, Polars takes the replacement for plain text, too.
    return Term.of("string", replace(f"(?:{pattern})", new), this)


TEXT: Final[Mapping[type[Node], Function]] = {
    exp.Upper: _text(lambda it: it.str.to_uppercase()),
    exp.Lower: _text(lambda it: it.str.to_lowercase()),
    exp.Length: _text(lambda it: it.str.len_chars().cast(pl.Int64), "integer"),
    exp.Trim: _trim,
    exp.Substring: _substring,
    exp.Left: _side,
    exp.Right: _side,
    exp.Replace: _replace,
    exp.SplitPart: _split_part,
    exp.Pad: _pad,
    exp.Concat: _concat,
    exp.ConcatWs: _concat_ws,
    exp.DPipe: _pipe,
    exp.StartsWith: _affix,
    exp.EndsWith: _affix,
    exp.Contains: _affix,
    exp.RegexpLike: _regex,
    exp.RegexpExtract: _regex,
    exp.RegexpReplace: _regex,
}
