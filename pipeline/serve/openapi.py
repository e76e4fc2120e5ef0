"""The OpenAPI 3.1 document, made of the endpoints and their models."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from pipeline.config import ServeLimits
from pipeline.serve.endpoint import Endpoint
from pipeline.serve.guard.gate import OPEN
from pipeline.serve.problems import MEDIA_TYPE, problem_schema
from pipeline.serve.schemas.base import JsonObject, ProblemAnswer

_REFERENCE = "#/components/schemas/{model}"
_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")
_ALWAYS = (429, 500, 503, 504)
_QUICK = (500,)
_WORDS = {
    400: "The request is malformed",
    401: "No key, or none that is known",
    403: "The key may not do this",
    404: "There is no such thing",
    408: "The body did not arrive in time",
    413: "The body is too large",
    415: "The body is not JSON",
    421: "The service is not called by this name",
    422: "The request makes no sense",
    429: "Too many requests wait already",
    500: "Something went wrong",
    503: "The index or the model cannot be used",
    504: "It took too long",
}


def document(endpoints: Sequence[Endpoint], limits: ServeLimits, has_keys: bool) -> JsonObject:
    """The document that describes these endpoints under these limits. `has_keys`: whether they ask for a key."""
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [(ProblemAnswer, "serialization")]
    for endpoint in endpoints:
        models.append((endpoint.answer, "serialization"))
        if endpoint.body is not None:
            models.append((endpoint.body, "validation"))
    names, schemas = models_json_schema(list(dict.fromkeys(models)), ref_template=_REFERENCE)
    components = schemas.get("$defs", {})
    paths: dict[str, JsonObject] = {}
    for endpoint in endpoints:
        path = _PARAMETER.sub(r"{\1}", endpoint.path)
        paths.setdefault(path, {})[endpoint.method.lower()] = _operation(
            endpoint, names, limits, has_keys and endpoint.path not in OPEN
        )
    for name in components:
        _bounded(name, components[name].get("properties", {}), limits)
    keyed: JsonObject = {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}} if has_keys else {}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "hybrid-pipeline",
            "version": version("hybrid-pipeline"),
            "description": "Searches over hybrid (dense + lexical) indexes, with every leg's score.",
        },
        "paths": paths,
        "components": {"schemas": components, **keyed},
    }


def _operation(endpoint: Endpoint, names: Any, limits: ServeLimits, asks_for_a_key: bool) -> JsonObject:
    problems = {*endpoint.problems, *(_QUICK if endpoint.quick else _ALWAYS), 421}
    found: JsonObject = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "description": endpoint.handle.__doc__ or "",
        "tags": [endpoint.tag],
    }
    if asks_for_a_key:
        found["security"] = [{"key": []}]
        problems |= {401, 403}
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in _PARAMETER.findall(endpoint.path)
    ]
    schema = endpoint.parameters.model_json_schema()
    _bounded("SearchParameters", schema.get("properties", {}), limits)
    for name, field in schema.get("properties", {}).items():
        shown = _without_null(field)
        parameters.append(
            {
                "name": name,
                "in": "query",
                "required": name in schema.get("required", ()),
                "description": field.get("description", ""),
                "schema": {key: value for key, value in shown.items() if key not in ("title", "description")},
            }
        )
    if parameters:
        found["parameters"] = parameters
    problems.add(422)
    if endpoint.body is not None:
        problems |= {400, 408, 413, 415}
        content = {"application/json": {"schema": names[endpoint.body, "validation"]}}
        found["requestBody"] = {"required": True, "content": content}
    answer = {"application/json": {"schema": names[endpoint.answer, "serialization"]}}
    found["responses"] = {
        "200": {"description": "The answer", "content": answer},
        **{
            str(status): {"description": _WORDS[status], "content": {MEDIA_TYPE: {"schema": problem_schema()}}}
            for status in sorted(problems)
        },
    }
    return found


def _without_null(field: JsonObject) -> JsonObject:
    """A query string cannot say null: what may be null may be left out."""
    options = [option for option in field.get("anyOf", ()) if option.get("type") != "null"]
    found = {key: value for key, value in field.items() if key != "anyOf"}
    if found.get("default", 0) is None:
        del found["default"]
    if len(options) == 1:
        return {**found, **options[0]}
    return {**found, "anyOf": options} if options else found


def _bounded(model: str, properties: JsonObject, limits: ServeLimits) -> None:
    """Write the service's own limits into a request's schema."""
    if model not in ("SearchBody", "SearchParameters", "SimilarBody"):
        return
    for name, most in (
        ("k", limits.k),
        ("rerank_top", limits.rerank_top),
        ("context", limits.context),
        ("facet_limit", limits.facet_values),
    ):
        field = properties.get(name)
        for option in (field, *(field.get("anyOf", ()) if field else ())):
            if option is not None and option.get("type") == "integer":
                option["maximum"] = most
    for name in ("doc_ids", "texts", "unlike_doc_ids", "unlike_texts"):
        if name in properties:
            properties[name]["maxItems"] = limits.texts
            properties[name]["items"]["maxLength"] = limits.query_characters
    facets = properties.get("facets", {})
    if facets.get("type") == "array":
        facets["maxItems"] = limits.facets
    for field in (properties.get("query"), properties.get("q")):
        for option in (field, *(field.get("anyOf", ()) if field else ())):
            if option is not None and option.get("type") == "string":
                option["maxLength"] = limits.query_characters
            if option is not None and option.get("type") == "array":
                option["maxItems"] = limits.queries
                option["items"]["maxLength"] = limits.query_characters
