"""YAML → structs, strictly: every error names the line, the whole path of keys, the value, and what was likely meant.

A text stays the text that stands in the file: only `true` and `false` are truths (the Norway problem: `no` and `on` are
words), 007 is no 7, a date is no time at midnight, and a key given twice is refused.
"""

import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import msgspec
import yaml

from feature_repo.warehouse.mapping import suggest
from motherlode.errors import DataError

Place = tuple[str | int, ...]
"""The keys and list positions, from 0, that lead to a value."""

_Struct = TypeVar("_Struct", bound=msgspec.Struct)
_NULLS: Final = ("", "~", "null", "Null", "NULL")
_TRUTHS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_TAGS: Final = tuple(f"tag:yaml.org,2002:{name}" for name in ("str", "seq", "map"))


@dataclass(frozen=True)
class Places:
    """Where in the file things stand.

    Attributes:
        path: the file.
        lines: place → line, from 1.
    """

    path: Path
    lines: Mapping[Place, int] = field(default_factory=dict)

    def error(self, place: Place, problem: str, remedy: str = "") -> DataError:
        """An error at a place; one that the file does not spell out is shown where its block stands."""
        known = place
        while known and known not in self.lines:
            known = known[:-1]
        where = f"{self.path}, line {self.lines.get(known, 1)}"
        return DataError(f"{where}: {f'{dotted(place)}: ' if place else ''}{problem}", remedy)


def dotted(place: Place) -> str:
    """A place as one reads it: `tables.transactions[1].columns`, positions from 0."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read(
    content: bytes, path: Path, kind: type[_Struct], remedies: Mapping[Place, str] | None = None
) -> tuple[_Struct, Places]:
    """A YAML file's content as a struct.

    Args:
        content: UTF-8, with or without a byte-order mark.
        path: for errors.
        kind: of the document.
        remedies: place → what to say where a value that cannot stand there does.

    Raises:
        DataError: it is no YAML, or not of that shape.
    """
    try:
        node = yaml.compose(content.decode("utf-8-sig"), Loader=yaml.BaseLoader)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: byte {error.start + 1} is no UTF-8.", "Save the file as UTF-8.") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        told = ", ".join(part for part in (error.context, error.problem) if part)
        remedy = "Indent by blanks, and quote texts that hold `: ` or begin with one of @ ` % & * ! | > [ {."
        raise DataError(f"{path}{line} is no YAML: {told}.", remedy) from error
    except yaml.YAMLError as error:
        raise DataError(
            f"{path} is no YAML: {' '.join(str(error).split())}.", "Save it as plain UTF-8 text."
        ) from error
    if node is None:
        raise DataError(f"{path} is empty.", "`motherlode init` writes one to begin with.")
    lines: dict[Place, int] = {}
    shaper = _Shaper(Places(path, lines), lines, remedies or {})
    made: _Struct = shaper.shape(node, kind, ())
    return made, shaper.places


class _Shaper:
    """One document's reading; notes the line of every place that it comes by."""

    def __init__(self, places: Places, lines: dict[Place, int], remedies: Mapping[Place, str]) -> None:
        self.remedies = remedies
        self.places = places
        self.lines = lines

    def shape(self, node: yaml.Node, kind: Any, place: Place) -> Any:
        """A node as a value of a type."""
        self.lines.setdefault(place, node.start_mark.line + 1)
        if node.tag not in _TAGS:
            raise self.places.error(place, f"tags such as {node.tag} are not read.", "Leave the tag out.")
        options = typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else (kind,)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, options, place)
        for option in options:
            origin = typing.get_origin(option) or option
            if isinstance(node, yaml.SequenceNode) and origin is list:
                (inner,) = typing.get_args(option)
                return [self.shape(item, inner, (*place, number)) for number, item in enumerate(node.value)]
            if isinstance(node, yaml.MappingNode) and isinstance(origin, type) and issubclass(origin, msgspec.Struct):
                return self._struct(node, origin, place)
            if isinstance(node, yaml.MappingNode) and origin is dict:
                inner = typing.get_args(option)[1]
                return {key: self.shape(item, inner, (*place, key)) for key, item in self._items(node, place).items()}
        found = "a list" if isinstance(node, yaml.SequenceNode) else "a block of keys"
        raise self.places.error(place, f"it is {found}; expected {_said(options)}.", _example(options))

    def _struct(self, node: yaml.MappingNode, kind: type[msgspec.Struct], place: Place) -> msgspec.Struct:
        hints = typing.get_type_hints(kind)
        fields = {it.encode_name: it for it in msgspec.structs.fields(kind)}
        items = self._items(node, place)
        for key in items:
            if key not in fields:
                raise self.places.error(
                    (*place, key), "there is no such key here.", suggest.remedy(key, fields, "The keys are")
                )
        for key, it in fields.items():
            if it.required and key not in items:
                raise self.places.error(place, f"it lacks the key {key!r}.", f"Its keys are {', '.join(fields)}.")
        values = {
            it.name: self.shape(items[key], hints[it.name], (*place, key)) for key, it in fields.items() if key in items
        }
        return kind(**values)

    def _items(self, node: yaml.MappingNode, place: Place) -> dict[str, yaml.Node]:
        items: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self.places.error(place, "a key is no plain text.", "Quote it.")
            here = (*place, key.value)
            line = key.start_mark.line + 1
            if key.value in items:
                problem = f"it stands here and in line {self.lines[here]}."
                raise Places(self.places.path, {**self.lines, here: line}).error(here, problem, "Keep one of the two.")
            self.lines[here] = line
            items[key.value] = value
        return items

    def _scalar(self, node: yaml.ScalarNode, options: tuple[Any, ...], place: Place) -> Any:
        text, plain = node.value, node.style is None
        if plain and text in _NULLS and (type(None) in options or Any in options):
            return None
        if Any in options:
            return text
        for option in options:
            # Beside text, a number stays the text that was written: 1.10 is no 1.1.
            number = option is float and str not in options
            reader = _PLAIN.get(option) if number or (plain and option is not float) else None
            value = None if reader is None else reader(text)
            if value is not None:
                return value
            if typing.get_origin(option) is Literal:
                value = next((it for it in typing.get_args(option) if str(it) == text), None)
                if value is not None:
                    return value
        if str in options and not (plain and text in _NULLS):
            return text
        raise self.places.error(place, f"{_shown(node)}; expected {_said(options)}.", self._hint(text, options, place))

    def _hint(self, text: str, options: tuple[Any, ...], place: Place) -> str:
        if place in self.remedies:
            return self.remedies[place]
        known = [
            str(it) for option in options if typing.get_origin(option) is Literal for it in typing.get_args(option)
        ]
        if known and (match := suggest.nearest(text, known)):
            return f"Did you mean {match!r}?"
        return _example(options)


def _shown(node: yaml.ScalarNode) -> str:
    return f"it is {node.value!r}" if node.value else "it is empty"


def _integer(text: str) -> int | None:
    digits = text.removeprefix("-")
    return (
        int(text) if digits.isascii() and digits.isdigit() and (digits == "0" or not digits.startswith("0")) else None
    )


def _float(text: str) -> float | None:
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


_PLAIN: Final[Mapping[Any, Callable[[str], Any]]] = {bool: _TRUTHS.get, int: _integer, float: _float}


def _said(options: tuple[Any, ...]) -> str:
    said: list[str] = []
    for option in options:
        origin = typing.get_origin(option) or option
        if origin is Literal:
            said.append(f"one of {', '.join(str(it) for it in typing.get_args(option))}")
        elif origin is not type(None):
            said.append(_WORDS.get(origin, "a block of keys"))
    return " or ".join(dict.fromkeys(said))


_WORDS: Final[Mapping[Any, str]] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a block of keys",
    Any: "a value",
}


def _example(options: tuple[Any, ...]) -> str:
    if bool in options:
        return "Write true or false; no other word is a truth."
    if list in {typing.get_origin(option) for option in options} and str not in options:
        return "Write a list: one `- ` a line, or [a, b]."
    return ""
