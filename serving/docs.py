"""The page at /docs: one HTML file without anything from elsewhere, so it works offline.

Litestar's own pages load their scripts from a content delivery network.
"""

import html
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from litestar import Request
from litestar.openapi.plugins import OpenAPIRenderPlugin

from serving.openapi import complete

Document = Mapping[str, Any]

_EXAMPLES: Final[Mapping[str, object]] = {
    "/v1/score": {"customer_ids": [1, 2], "campaign": {"type": "Type A"}},
    "/v1/recommend": {"customer_ids": [1], "k": 10, "exclude_purchased": False},
    "/v1/similar/items": {"item_ids": [1029743], "k": 10},
}
_PATHS: Final[Mapping[str, str]] = {"{customer_id}": "1"}


class DocsPage(OpenAPIRenderPlugin):
    """Litestar's way of showing the OpenAPI document, as this page."""

    def __init__(self) -> None:
        super().__init__(path="/")

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The page."""
        return page(complete(openapi_schema)).encode()


def page(document: Document) -> str:
    """An OpenAPI 3.1 document as one HTML page: every call with its fields, an example, and a way to try it."""
    info = document["info"]
    calls = [
        _call(document, path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    title = html.escape(f"{info['title']} {info['version']}")
    return _PAGE.format(
        title=title, description=html.escape(info.get("description", "")), calls="\n".join(calls), style=_STYLE,
        script=_SCRIPT,
    )  # fmt: skip


def _call(document: Document, path: str, method: str, operation: Document) -> str:
    body = _schema(operation.get("requestBody"))
    example = _EXAMPLES.get(path)
    shown = path
    for parameter, value in _PATHS.items():
        shown = shown.replace(parameter, value)
    parts = [
        f"<h2><code>{method.upper()} {html.escape(path)}</code> {html.escape(operation.get('summary', ''))}</h2>",
        f"<p>{_text(operation.get('description', ''))}</p>",
        _parameters(document, operation.get("parameters", [])),
        *(_table(document, each, name) for name, each in _nested(document, body)),
        _try(method, shown, example),
    ]
    for status, response in operation["responses"].items():
        schema = _schema(response)
        described = _text(response.get("description", ""))
        parts.append(f"<details><summary><code>{status}</code> {described}</summary>")
        parts += [_table(document, each, name) for name, each in _nested(document, schema)]
        parts.append("</details>")
    return f"<section>{''.join(parts)}</section>"


def _try(method: str, path: str, example: object) -> str:
    body = "" if example is None else json.dumps(example)
    rows = f'<textarea rows="3" aria-label="Body">{html.escape(body)}</textarea>' if body else ""
    data = f" -H 'Content-Type: application/json' -d '{body}'" if body else ""
    return (
        f'<form data-method="{method.upper()}"><input aria-label="Path" value="{html.escape(path)}">{rows}'
        f"<button>Try it</button><pre hidden></pre></form>"
        f'<pre class="curl">curl <span class="origin"></span>{html.escape(path)}{html.escape(data)}</pre>'
    )


def _parameters(document: Document, parameters: list[Document]) -> str:
    if not parameters:
        return ""
    rows = [
        (f"{each['name']} <i>({each['in']})</i>", _kind(document, each["schema"]), _text(each.get("description", "")))
        for each in parameters
    ]
    return _rows("Parameters", rows)


def _table(document: Document, schema: Document, title: str) -> str:
    schema = _resolve(document, schema)
    required = set(schema.get("required", []))
    rows = [
        (
            html.escape(name) + ("" if name in required else " <i>(optional)</i>"),
            _kind(document, field),
            _text(" ".join(filter(None, [field.get("description", ""), _limits(_resolve(document, field))]))),
        )
        for name, field in schema.get("properties", {}).items()
    ]
    return f"<p>{_text(schema.get('description', ''))}</p>" + _rows(title, rows)


def _rows(title: str, rows: list[tuple[str, str, str]]) -> str:
    body = "".join(f"<tr><td>{a}</td><td>{b}</td><td>{c}</td></tr>" for a, b, c in rows)
    return f'<div class="wide"><table><caption>{html.escape(title)}</caption>{body}</table></div>'


def _nested(document: Document, schema: Document | None) -> Iterator[tuple[str, Document]]:
    """A schema and every named one that it holds, each once."""
    waiting, seen = [schema or {}], set()
    while waiting:
        each = waiting.pop(0)
        if "$ref" in each:
            name = each["$ref"].rsplit("/", 1)[-1]
            if name in seen:
                continue
            seen.add(name)
            each = _resolve(document, each)
            yield name, each
        waiting += [part for part in _parts(each) if isinstance(part, dict)]


def _parts(schema: Document) -> Iterator[Any]:
    yield from schema.get("properties", {}).values()
    for key in ("oneOf", "anyOf", "allOf"):
        yield from schema.get(key, [])
    yield schema.get("items")
    yield schema.get("additionalProperties")


def _kind(document: Document, schema: Document) -> str:
    if "$ref" in schema:
        return html.escape(schema["$ref"].rsplit("/", 1)[-1])
    for key in ("oneOf", "anyOf", "allOf"):
        if key in schema:
            return " or ".join(_kind(document, each) for each in schema[key])
    if "enum" in schema:
        return " | ".join(f"<code>{html.escape(json.dumps(each))}</code>" for each in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_kind(document, schema.get('items', {}))}"
    if schema.get("type") == "object":
        inner = schema.get("additionalProperties")
        return f"object of {_kind(document, inner)}" if isinstance(inner, dict) and inner else "object"
    return html.escape(str(schema.get("type", "any")))


def _limits(schema: Document) -> str:
    named = {"minimum": "at least", "maximum": "at most", "minLength": "length at least", "maxLength": "length at most"}
    found = [f"{text} {schema[key]}" for key, text in named.items() if key in schema]
    if "default" in schema:
        found.append(f"default `{json.dumps(schema['default'])}`")
    return f"({', '.join(found)})" if found else ""


def _schema(holder: Document | None) -> Document | None:
    media = next(iter((holder or {}).get("content", {}).values()), None)
    return media.get("schema") if media else None


def _resolve(document: Document, schema: Document) -> Document:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
    return schema


def _text(markdown: str) -> str:
    """Plain text with `code`, and nothing else of Markdown."""
    pieces = html.escape(" ".join(markdown.split())).split("`")
    return "".join(f"<code>{piece}</code>" if i % 2 else piece for i, piece in enumerate(pieces))


_STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
section { border-top: 1px solid #8884; padding: .5rem 0 1rem; }
h2 { font-size: 1.1rem; overflow-wrap: anywhere; }
code, pre, textarea, input { font-family: ui-monospace, monospace; font-size: .875rem; }
pre { background: #8882; padding: .6rem; overflow: auto; max-height: 24rem; margin: .4rem 0; white-space: pre-wrap; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .4rem 0; width: 100%; }
caption { text-align: left; font-weight: 600; }
td { border-top: 1px solid #8884; padding: .2rem .8rem .2rem 0; vertical-align: top; }
td:first-child { font-family: ui-monospace, monospace; font-size: .875rem; white-space: nowrap; }
input, textarea { box-sizing: border-box; width: 100%; padding: .4rem; }
button { padding: .3rem 1rem; margin: .3rem 0; }
summary { cursor: pointer; }
"""

_SCRIPT: Final = """
for (const each of document.querySelectorAll(".origin")) each.textContent = location.origin;
for (const form of document.querySelectorAll("form")) form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const [path, body, out] = ["input", "textarea", "pre"].map((tag) => form.querySelector(tag));
  const options = { method: form.dataset.method };
  if (body) Object.assign(options, { body: body.value, headers: { "Content-Type": "application/json" } });
  out.hidden = false;
  out.textContent = "…";
  try {
    const response = await fetch(path.value, options);
    const text = await response.text();
    let shown = text;
    try { shown = JSON.stringify(JSON.parse(text), null, 1); } catch {}
    out.textContent = response.status + "\\n" + shown;
  } catch (error) { out.textContent = String(error); }
});
"""

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
<p>{description} The same for machines: <a href="/openapi.json">openapi.json</a>.</p>
{calls}
<script>{script}</script>
</body>
</html>
"""
