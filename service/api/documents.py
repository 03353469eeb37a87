"""The parts of the OpenAPI document that handlers cannot tell by themselves: bodies read by hand, and errors.

Rule: what is documented is made from the same structs that decode and encode.
"""

import copy
from collections.abc import Mapping
from typing import Any, cast

import msgspec
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Parameter, Reference, RequestBody, Schema

from service.api.errors import ErrorReply
from service.api.replies import ImagesReply
from service.api.schemas import EditBody, EditForm, FileForm, GenerateBody

MEANINGS = {
    400: "The request cannot be honoured; `param` names the field.",
    401: "No key, or one that is not known.",
    403: "The key's team may not do this.",
    404: "No such model, picture, file, key, team or path.",
    408: "The body arrived too slowly.",
    409: "The request with this Idempotency-Key is still under way, and the operator wants nobody to wait.",
    410: "What this request bought is not kept any more; it is not bought again.",
    413: "The body or one of its pictures is too large.",
    416: "The picture has no such part; `content-range` says how long it is.",
    422: "This Idempotency-Key came with another request before.",
    429: "A rate limit or the backend's budget is used up; `x-should-retry` says whether waiting helps.",
    500: "A mistake of the gateway's own; its log has more under the request's id.",
    502: "The backend failed or refused the gateway.",
    503: "The gateway or its backend is overloaded, or a part of it is down.",
    504: "The backend did not answer in time.",
}


def errors_of(*statuses: int) -> dict[int, ResponseSpec]:
    """The documented errors of a handler."""
    return {
        status: ResponseSpec(ErrorReply, generate_examples=False, description=MEANINGS[status]) for status in statuses
    }


def refusals() -> dict[int, ResponseSpec]:
    """The documented errors of the image endpoints."""
    return errors_of(400, 401, 403, 404, 408, 409, 410, 413, 422, 429, 500, 502, 503, 504)


TERMS: Mapping[str, tuple[str, str]] = {
    "Idempotency-Key": (
        "Your name for this intention. The same key and request get the same answer for a day, whatever happens.",
        "8e03978e-40d5-43dd-bc93-6894a57f9324",
    ),
    "Cache-Control": ("no-store, no-cache, max-age=N or only-if-cached: may the answer be an older one?", "no-cache"),
    "x-gateway-variant": ("A whole number: another sample of the same prompt.", "2"),
    "x-gateway-keepalive": (
        "true: the JSON answer begins when the backend is asked, and a later failure is an error in a 200.",
        "true",
    ),
    "x-gateway-tags": ("Names under which the cost is to be found.", "project=search,env=prod"),
}
"""Header → what it says, and an example."""


def terms_of_a_request() -> list[Parameter | Reference]:
    """The documented headers of the image endpoints."""
    return [
        Parameter(
            name=name,
            param_in="header",
            description=description,
            example=example,
            schema=Schema(type=OpenAPIType.STRING),
        )
        for name, (description, example) in TERMS.items()
    ]


def images_reply() -> dict[int, ResponseSpec]:
    """The documented success of the image endpoints."""
    return {200: ResponseSpec(ImagesReply, generate_examples=False, description="The pictures.")}


FILE = {"type": "string", "format": "binary"}
FILES = {"type": "array", "items": FILE, "minItems": 1, "maxItems": 16}
PARTS = {
    "image": FILE | {"description": "A PNG, JPEG or WebP file. Several: repeat `image[]`."},
    "image[]": FILES | {"description": "One to sixteen PNG, JPEG or WebP files."},
    "mask": FILE | {"description": "A PNG with alpha as large as the first picture; transparent is redrawn."},
    "markup": FILE | {"description": "A transparent PNG drawn over the first picture; not with mask."},
}


def generate_body() -> RequestBody:
    """The body of generations."""
    return json_body(GenerateBody)


def json_body(kind: type[msgspec.Struct]) -> RequestBody:
    """A body that is one struct."""
    return RequestBody(required=True, content={"application/json": _media(_schema(kind))})


def edit_bodies() -> RequestBody:
    """The two bodies of edits."""
    form = _schema(EditForm)
    form["properties"] |= PARTS
    form["anyOf"] = [{"required": ["image"]}, {"required": ["image[]"]}]
    return RequestBody(
        required=True,
        content={"multipart/form-data": _media(form), "application/json": _media(_schema(EditBody))},
    )


def file_body() -> RequestBody:
    """The body of an upload."""
    form = _schema(FileForm)
    form["properties"] |= {"file": FILE | {"description": "A PNG, JPEG or WebP file."}}
    form["required"] = [*form["required"], "file"]
    return RequestBody(required=True, content={"multipart/form-data": _media(form)})


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


PICTURE_STATUSES = {
    206: ResponseSpec(bytes, generate_examples=False, description="The part that `Range` asked for.", media_type="*/*"),
    304: ResponseSpec(None, generate_examples=False, description="The copy that `If-None-Match` names is good."),
}
PICTURE_TYPES = ("image/png", "image/jpeg", "image/webp", "image/gif", "image/svg+xml")
HEADERS = {
    "x-request-id": "The id of this request in the gateway's log.",
    "x-should-retry": "On errors: whether another try can succeed without buying twice. The SDKs obey it.",
    "retry-after": "On errors that pass: seconds to wait, at most 60.",
    "x-gateway-backend": "On pictures: who drew them.",
    "x-gateway-route-notes": "On pictures: what the gateway did for the backend, such as `transcoded=webp, n=3 calls`.",
    "x-gateway-partial": "On pictures: delivered/wanted, where a part of a large order failed.",
}
EVENTS = {
    "type": "string",
    "description": "With `stream`: `image_generation.partial_image` (`image_edit.…`) up to `partial_images` times, "
    "then `.completed` with `usage`, once for each picture; what fails after the first is an event `error`.",
    "example": "event: image_generation.completed\ndata: "
    '{"type":"image_generation.completed","b64_json":"iVBORw0KGgo=","created_at":1795262402,"size":"1024x1024",'
    '"quality":"low","background":"opaque","output_format":"png","usage":{"input_tokens":9,"input_tokens_details":'
    '{"text_tokens":9,"image_tokens":0},"output_tokens":208,"output_tokens_details":{"text_tokens":0,"image_tokens":208},'
    '"total_tokens":217},"id":"img_24193290p00000000000000000000000000000001","index":0}\n\n',
}
PICTURE_OPERATIONS = ("fetchPicture", "downloadFile")
OF_ERRORS = ("x-request-id", "x-should-retry", "retry-after")
OF_PICTURES = ("x-request-id", "x-gateway-backend", "x-gateway-route-notes", "x-gateway-partial")


def finished(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The framework's description with what it cannot say: reply headers, and the types that pictures have."""
    document = cast("dict[str, Any]", copy.deepcopy(schema))
    for operations in document["paths"].values():
        for operation in operations.values():
            _describe(operation)
    return document


def _describe(operation: dict[str, Any]) -> None:
    is_picture = operation["operationId"] in PICTURE_OPERATIONS
    for status, response in operation["responses"].items():
        draws = status == "200" and operation["operationId"].startswith("createImage")
        names = OF_PICTURES if draws else OF_ERRORS if int(status) in MEANINGS else OF_ERRORS[:1]
        response["headers"] = {
            name: {"description": HEADERS[name], "schema": {"type": "string"}, "required": name == "x-request-id"}
            for name in names
        }
        if draws:
            response["content"]["text/event-stream"] = {"schema": EVENTS}
        if is_picture and status in {"200", "206"}:
            response["content"] = {kind: {"schema": FILE} for kind in PICTURE_TYPES}
