"""The parts of the OpenAPI document that handlers cannot tell by themselves: bodies read by hand, and errors.

Rule: what is documented is made from the same structs that decode and encode.
"""

from collections.abc import Mapping
from typing import Any, cast

import msgspec
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIMediaType, RequestBody, Schema

from service.api.errors import ErrorReply
from service.api.replies import ImagesReply
from service.api.schemas import EditBody, EditForm, GenerateBody

MEANINGS = {
    400: "The request cannot be honoured; `param` names the field.",
    401: "No key, or one that is not known.",
    403: "The key's team may not do this.",
    404: "No such model, picture or path.",
    408: "The body arrived too slowly.",
    413: "The body or one of its pictures is too large.",
    429: "A rate limit or the backend's budget is used up; `x-should-retry` says whether waiting helps.",
    502: "The backend failed or refused the gateway.",
    503: "The gateway or its backend is overloaded, or a part of it is down.",
    504: "The backend did not answer in time.",
}

Responses = Mapping[int, ResponseSpec]


def errors_of(*statuses: int) -> dict[int, ResponseSpec]:
    """The documented errors of a handler."""
    return {
        status: ResponseSpec(ErrorReply, generate_examples=False, description=MEANINGS[status]) for status in statuses
    }


def images_reply() -> dict[int, ResponseSpec]:
    """The documented success of the image endpoints."""
    return {200: ResponseSpec(ImagesReply, generate_examples=False, description="The pictures.")}


FILE = {"type": "string", "format": "binary"}
PARTS = {
    "image": {
        "description": "One to sixteen PNG, JPEG or WebP files. Also as `image[]`.",
        "oneOf": [FILE, {"type": "array", "items": FILE, "minItems": 1, "maxItems": 16}],
    },
    "mask": FILE | {"description": "A PNG with alpha as large as the first picture; transparent is redrawn."},
    "markup": FILE | {"description": "A transparent PNG drawn over the first picture; not with mask."},
}


def generate_body() -> RequestBody:
    """The body of generations."""
    return RequestBody(required=True, content={"application/json": _media(_schema(GenerateBody))})


def edit_bodies() -> RequestBody:
    """The two bodies of edits."""
    form = _schema(EditForm)
    form["properties"] |= PARTS
    form["required"] = [*form["required"], "image"]
    return RequestBody(
        required=True,
        content={"multipart/form-data": _media(form), "application/json": _media(_schema(EditBody))},
    )


def _media(schema: dict[str, Any]) -> OpenAPIMediaType:
    return OpenAPIMediaType(schema=cast("Schema", schema))


def _schema(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """A struct's JSON Schema with everything in place rather than by reference."""
    (schema,), components = msgspec.json.schema_components([kind], ref_template="{name}")
    return cast("dict[str, Any]", _inlined(schema, components))


def _inlined(node: Any, components: Mapping[str, Any]) -> Any:  # noqa: ANN401 (a JSON document)
    if isinstance(node, dict):
        if "$ref" in node:
            return _inlined(components[node["$ref"]], components)
        return {key: _inlined(value, components) for key, value in node.items()}
    return [_inlined(item, components) for item in node] if isinstance(node, list) else node
