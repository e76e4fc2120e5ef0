"""The page at `/docs`: what the OpenAPI document says, as plain HTML that loads nothing from elsewhere."""

from __future__ import annotations

import json
from html import escape

from pipeline.serve.schemas.base import JsonObject

STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font-family: ui-monospace, monospace; font-size: .9em; }
pre { overflow: auto; padding: .75rem; border: 1px solid #8886; border-radius: .4rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .75rem .3rem 0; border-bottom: 1px solid #8884; }
details { margin: .5rem 0; }
summary { cursor: pointer; }
.method { display: inline-block; min-width: 4rem; font-weight: 600; }
"""


def docs_page(document: JsonObject) -> str:
    """The document as a page."""
    schemas = document["components"]["schemas"]
    parts = [
        "<!doctype html><html lang=en><head><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width, initial-scale=1'>",
        f"<title>{escape(document['info']['title'])}: the API</title><style>{STYLE}</style></head><body>",
        f"<h1>{escape(document['info']['title'])} <small>{escape(document['info']['version'])}</small></h1>",
        f"<p>{escape(document['info']['description'])} Made of <a href='/openapi.json'>openapi.json</a>.</p>",
    ]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts += _operation(method.upper(), path, operation)
    parts.append("<h2>Records</h2>")
    for name, schema in sorted(schemas.items()):
        parts += _record(name, schema)
    return "".join([*parts, "</body></html>"])


def _operation(method: str, path: str, operation: JsonObject) -> list[str]:
    parts = [
        f"<h2 id='{escape(operation['operationId'])}'><span class=method>{method}</span> "
        f"<code>{escape(path)}</code></h2><p>{escape(operation['summary'])}.</p>"
    ]
    if parameters := operation.get("parameters"):
        parts.append("<table><thead><tr><th>Parameter<th>Where<th>Type<th>Meaning</thead><tbody>")
        parts += [
            f"<tr><td><code>{escape(one['name'])}</code>{'' if one['required'] else ' (optional)'}"
            f"<td>{escape(one['in'])}<td>{_type(one['schema'])}<td>{escape(one.get('description', ''))}"
            for one in parameters
        ]
        parts.append("</tbody></table>")
    if body := operation.get("requestBody"):
        (content,) = body["content"].values()
        parts.append(f"<p>Body: {_type(content['schema'])}</p>")
    parts.append("<table><thead><tr><th>Status<th>Meaning<th>Body</thead><tbody>")
    for status, response in operation["responses"].items():
        kinds = [f"{_type(content.get('schema', {}))}" for content in response.get("content", {}).values()]
        parts.append(f"<tr><td>{status}<td>{escape(response['description'])}<td>{', '.join(kinds)}")
    return [*parts, "</tbody></table>"]


def _record(name: str, schema: JsonObject) -> list[str]:
    parts = [f"<h3 id='{escape(name)}'>{escape(name)}</h3><p>{escape(schema.get('description', ''))}</p>"]
    if properties := schema.get("properties"):
        parts.append("<table><thead><tr><th>Field<th>Type<th>Meaning</thead><tbody>")
        for field, of in properties.items():
            default = f" Default: <code>{escape(json.dumps(of['default']))}</code>." if "default" in of else ""
            meaning = escape(of.get("description", "")) + default
            parts.append(f"<tr><td><code>{escape(field)}</code><td>{_type(of)}<td>{meaning}")
        parts.append("</tbody></table>")
    return parts


def _type(schema: JsonObject) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f"<a href='#{name}'>{name}</a>"
    if "anyOf" in schema:
        return " or ".join(_type(option) for option in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        values = schema.get("enum") or [schema["const"]]
        return " or ".join(f"<code>{escape(json.dumps(value))}</code>" for value in values)
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if schema.get("type") == "object":
        of = schema.get("additionalProperties")
        return f"object of {_type(of)}" if isinstance(of, dict) and of else "object"
    return escape(str(schema.get("type", "anything")))
