"""The OpenAPI document, built from the framework's description, the tables of `texts.py` and the examples.

Rule: pure. Errors, headers and bodies are components, to which operations refer. The document of a port that serves
some of the operations has their tags and components, and no others.
"""

import copy
from collections.abc import Iterator, Mapping
from typing import Any, cast

from service.api.openapi import texts
from service.api.openapi.components import COMPONENTS, FILE, body_schemas
from service.api.openapi.event_schemas import EVENTS, event_schemas
from service.api.openapi.examples import add_examples
from service.api.openapi.texts import ERROR_TEXTS, HEADERS, LINKS, PARAMETERS, Link
from service.api.schemas.admin import ChangeBody, IssueBody, RotateBody
from service.api.schemas.requests import EditBody, EditForm, FileForm, GenerateBody

Node = dict[str, Any]

BODIES = (GenerateBody, EditBody, EditForm, FileForm, IssueBody, ChangeBody, RotateBody)
IMAGE_TYPES = ("image/png", "image/jpeg", "image/webp", "image/gif", "image/svg+xml")
EXPORT_TYPES = ("text/csv", "application/vnd.apache.parquet")
ERROR_SCHEMA = {"$ref": f"{COMPONENTS}ErrorReply"}
GENERATION_OPERATIONS = ("createImage", "createImageEdit")
IMAGE_FILE_OPERATIONS = ("fetchPicture", "downloadFile")
FALSE_BY_DEFAULT = ("deprecated", "allowEmptyValue", "allowReserved")
"""Keys that the framework writes everywhere, and that mean nothing where they are false."""


def build_document(schema: Mapping[str, Any]) -> Node:
    """Build the document from the description by the framework."""
    document = cast("Node", copy.deepcopy(schema))
    operations = dict(_operations(document))
    for name, operation in operations.items():
        _describe(name, operation)
    for link in LINKS:
        if link.source in operations and link.target in operations:
            _link(operations[link.source], link)
    # Examples come first: those of a refusal stand in its component, which may be dropped afterwards.
    add_examples(operations, components := _components(document))
    _drop_unused(document, components)
    used_tags = {tag for operation in operations.values() for tag in operation["tags"]}
    has_default = any("security" not in operation for operation in operations.values())
    return {
        "openapi": document["openapi"],
        "info": _info(document["info"]),
        "servers": texts.SERVERS,
        **({"security": document["security"]} if has_default else {}),
        "tags": [
            {"name": tag, "description": tag_description}
            for tag, (_, tag_description) in texts.TAGS.items()
            if tag in used_tags
        ],
        "x-tagGroups": _tag_groups(used_tags),
        "paths": document["paths"],
        "components": components,
    }


def _info(framework_info: Node) -> Node:
    about = f"{framework_info['description']} {texts.EXAMPLES_TEXT}"
    return framework_info | {"summary": texts.SUMMARY, "description": about, "contact": texts.CONTACT}


def _operations(document: Node) -> Iterator[tuple[str, Node]]:
    for methods in document["paths"].values():
        for operation in methods.values():
            yield operation["operationId"], operation


def _tag_groups(used: set[str]) -> list[Node]:
    """Group the used tags by plane."""
    groups: dict[str, list[str]] = {}
    for tag, (group, _) in texts.TAGS.items():
        if tag in used:
            groups.setdefault(group, []).append(tag)
    return [{"name": plane, "tags": tags} for plane, tags in groups.items()]


def _describe(name: str, operation: Node) -> None:
    for word in FALSE_BY_DEFAULT:
        operation.pop(word, None)
    for parameter in operation.get("parameters", ()):
        _describe_parameter(name, parameter)
    if name in GENERATION_OPERATIONS:
        _describe_generation(name, operation["responses"]["200"])
    if name in IMAGE_FILE_OPERATIONS:
        for status in ("200", "206"):
            operation["responses"][status]["content"] = {kind: {"schema": FILE} for kind in IMAGE_TYPES}
    if name == "exportUsage":
        operation["responses"]["200"]["content"] = {
            kind: {"schema": {"type": "string"}} for kind in EXPORT_TYPES[:1]
        } | {kind: {"schema": FILE} for kind in EXPORT_TYPES[1:]}
    operation["responses"] = {
        status: _response(name, int(status), response) for status, response in sorted(operation["responses"].items())
    }


def _describe_parameter(operation: str, parameter: Node) -> None:
    for word in FALSE_BY_DEFAULT:
        parameter.pop(word, None)
    if parameter["in"] != "header":
        name = parameter["name"]
        parameter["schema"] = dict(PARAMETERS.get(f"{operation}.{name}") or PARAMETERS[name])
    if not (parameter["in"] == "path" or parameter["name"] in texts.REQUIRED_PARAMETERS):
        parameter.pop("required", None)
    else:
        parameter["required"] = True


def _describe_generation(name: str, response: Node) -> None:
    """Describe the three forms of the images: JSON, JSON behind spaces, and events."""
    response["description"] = (
        "The images. With `x-gateway-keepalive` spaces may come first, and the body may be an error. With `stream`, "
        "events."
    )
    response["content"]["application/json"]["schema"] = {"anyOf": [{"$ref": f"{COMPONENTS}ImagesReply"}, ERROR_SCHEMA]}
    response["content"]["text/event-stream"] = {"schema": EVENTS[name]}


def _response(name: str, status: int, response: Node) -> Node:
    content = response.get("content", {})
    if content.get("application/json", {}).get("schema") == ERROR_SCHEMA:
        return {"$ref": f"#/components/responses/{ERROR_TEXTS[status].name}"}
    names = texts.HEADERS_BY_OPERATION.get(name, texts.ALWAYS_HEADERS)
    names = (*names, "content-range") if status == 206 else names  # noqa: PLR2004 (a status)
    return {"description": response["description"], "headers": _headers(names)} | (
        {"content": content} if content else {}
    )


def _headers(names: tuple[str, ...]) -> Node:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _link(source: Node, link: Link) -> None:
    """Add a link to the success of an operation."""
    success = next(response for status, response in source["responses"].items() if status.startswith("2"))
    link_object: Node = {"operationId": link.target, "description": link.description}
    if link.parameters:
        link_object["parameters"] = dict(link.parameters)
    if link.body is not None:
        link_object["requestBody"] = link.body
    success.setdefault("links", {})[link.target] = link_object


def _components(document: Node) -> Node:
    components = document["components"]
    for name, description in texts.SECURITY.items():
        components["securitySchemes"][name]["description"] = description
    return {
        "schemas": _tidy(dict(sorted((components["schemas"] | body_schemas(*BODIES) | event_schemas()).items()))),
        "responses": {error_text.name: _error_component(status) for status, error_text in ERROR_TEXTS.items()},
        "headers": {
            name: {
                "description": header.description,
                "required": name in texts.REQUIRED,
                "schema": dict(header.schema),
                "example": header.example,
            }
            for name, header in HEADERS.items()
        },
        "securitySchemes": components["securitySchemes"],
    }


def _error_component(status: int) -> Node:
    names = (
        *texts.ERROR_HEADERS,
        *texts.HEADERS_BY_ERROR_STATUS.get(status, ()),
        "idempotent-replayed",
        "x-gateway-cache",
    )
    return {
        "description": ERROR_TEXTS[status].meaning,
        "headers": _headers(names),
        "content": {"application/json": {"schema": ERROR_SCHEMA}},
    }


def _tidy(node: Any) -> Any:  # noqa: ANN401 (a JSON document)
    """Simplify schemas. Enums of words are strings; `oneOf` of integer and number would refuse an integer."""
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    tidied = {key: _tidy(value) for key, value in node.items()}
    # msgspec writes enums of words without a type.
    if "type" not in node and all(isinstance(word, str) for word in node.get("enum") or [None]):
        tidied["type"] = "string"
    if len(tidied.get("enum", ())) == 1:
        tidied["const"] = tidied.pop("enum")[0]
    # `oneOf` with `required` is an exclusive choice of fields in a form, which has to stay.
    choices = tidied.pop("oneOf", None) if "oneOf" in node and "required" not in node["oneOf"][0] else None
    if choices is None:
        return tidied
    if {"type": "number"} in choices:
        choices = [choice for choice in choices if choice != {"type": "integer"}]
    return tidied | (choices[0] if len(choices) == 1 else {"anyOf": choices})


def _drop_unused(document: Node, components: Node) -> None:
    """Drop the components to which no reference leads."""
    # Follow references from the paths through the components.
    used: set[str] = set()
    pending = list(_references(document["paths"]))
    while pending:
        place = pending.pop()
        if place not in used:
            used.add(place)
            _, _, kind, name = place.split("/")
            pending += _references(components[kind][name])
    references_by_component: list[Any] = [
        operation.get("security", document["security"]) for _, operation in _operations(document)
    ]
    schemes = {name for names in references_by_component for name_needed in names for name in name_needed}
    for kind in ("schemas", "responses", "headers"):
        components[kind] = {
            name: part for name, part in components[kind].items() if f"#/components/{kind}/{name}" in used
        }
    components["securitySchemes"] = {
        name: scheme for name, scheme in components["securitySchemes"].items() if name in schemes
    }


def _references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)
