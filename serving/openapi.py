"""The OpenAPI document: Litestar's paths with msgspec's schemas, which keep every limit, and the docstrings."""

import inspect
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from motherlode import api
from serving.lock.routes import scope_of

_STRUCTS: Final = (
    api.ScoreRequest,
    api.ScoreAnswer,
    api.RecommendRequest,
    api.RecommendAnswer,
    api.SimilarRequest,
    api.SimilarAnswer,
    api.FeaturesRequest,
    api.FeaturesAnswer,
    api.ConsentRequest,
    api.ConsentAnswer,
    api.ContactRequest,
    api.ContactAnswer,
    api.EventsRequest,
    api.EventsAnswer,
    api.Portrait,
    api.Alive,
    api.Ready,
    api.ErrorAnswer,
)
_SCHEME: Final = "key"
_SCHEMES: Final[Mapping[str, Any]] = {
    _SCHEME: {
        "type": "http",
        "scheme": "bearer",
        "description": "A key of `motherlode access add`, or a token of the company's issuer. Asked for where the lock "
        "is on: wherever the server listens beyond its own machine.",
    }
}
_ERROR: Final[Mapping[str, Any]] = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorAnswer"}}}
_REFUSED: Final[Mapping[str, Any]] = {
    "401": {"description": "There is no valid key.", "content": _ERROR},
    "403": {"description": "The key lacks the scope, or is for other purposes.", "content": _ERROR},
    "429": {"description": "Too often, or too much at once: see `Retry-After`.", "content": _ERROR},
}
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
    return {
        **schema,
        "paths": {path: _guarded(path, item) for path, item in schema.get("paths", {}).items()},
        "components": {**components, "schemas": {**components["schemas"], **made}, "securitySchemes": _SCHEMES},
    }


def _guarded(path: str, item: Mapping[str, Any]) -> dict[str, Any]:
    """A path with what it asks for where the lock is on: a key or nothing, since the lock may be off."""
    scope = scope_of(path)
    if not scope:
        return dict(item)
    return {
        method: {
            **operation,
            "security": [{_SCHEME: []}, {}],
            "description": f"{operation.get('description', '')}\n\nWhere the lock is on: scope `{scope}`.".strip(),
            "responses": {**_REFUSED, **operation.get("responses", {})},
        }
        if isinstance(operation, Mapping) and "responses" in operation
        else operation
        for method, operation in item.items()
    }


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
