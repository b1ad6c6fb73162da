"""The OpenAPI document: Litestar's paths with msgspec's schemas, which keep every limit, and the docstrings."""

import inspect
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from motherlode import api

_STRUCTS: Final = (
    api.ScoreRequest,
    api.ScoreAnswer,
    api.RecommendRequest,
    api.RecommendAnswer,
    api.EventsRequest,
    api.EventsAnswer,
    api.Portrait,
    api.Alive,
    api.Ready,
    api.ErrorAnswer,
)
_FIELD: Final = re.compile(r"^(?P<names>\w+(?:, \w+)*): (?P<text>.+)$")


def complete(schema: Mapping[str, Any]) -> dict[str, Any]:
    """An OpenAPI document with its component schemas made anew.

    Args:
        schema: as Litestar makes it. It drops the limits of a union's members and the docstrings.
    """
    _, made = msgspec.json.schema_components(_STRUCTS, ref_template="#/components/schemas/{name}")
    for name, each in made.items():
        _describe(each, getattr(api, name))
    components = schema["components"]
    return {**schema, "components": {**components, "schemas": {**components["schemas"], **made}}}


def _describe(schema: dict[str, Any], struct: type[msgspec.Struct]) -> None:
    """Put a struct's docstring where readers of the document look: its sentences, and each field's."""
    sentences, fields = _docstring(inspect.getdoc(struct) or "")
    schema["description"] = sentences
    for name, text in fields.items():
        field = schema["properties"][name]
        if "$ref" in field:
            schema["properties"][name] = {"allOf": [dict(field)], "description": text}
        else:
            field["description"] = text


def _docstring(text: str) -> tuple[str, dict[str, str]]:
    """A Google-style docstring: what stands before `Attributes:`, and each attribute's text."""
    head, _, attributes = text.partition("\nAttributes:\n")
    fields: dict[str, str] = {}
    current: tuple[str, ...] = ()
    for line in inspect.cleandoc(attributes).splitlines():
        match = _FIELD.match(line)
        if match:
            current = tuple(match["names"].split(", "))
            fields |= dict.fromkeys(current, match["text"])
        elif line.strip():
            fields |= {name: f"{fields[name]} {line.strip()}" for name in current}
    return " ".join(head.split()), fields
