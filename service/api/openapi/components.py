"""Parts of the OpenAPI document that the framework cannot derive from handlers: bodies, headers and errors.

Rule: schemas are built from the structs that decode and encode. Each body has a name, and is a component of the
document once; `build.py` puts it there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import msgspec
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIMediaType, Operation, Parameter, Reference, RequestBody, Schema

from service.api.http.errors import ErrorReply
from service.api.openapi.texts import ERROR_TEXTS
from service.api.schemas.images_reply import ImagesReply
from service.api.schemas.requests import EditBody, EditForm, FileForm

COMPONENTS = "#/components/schemas/"

HeaderText = tuple[str, Mapping[str, object]]
"""Description and schema of a header."""

NO_HEADERS: Mapping[str, HeaderText] = {}


def error_responses(*statuses: int) -> dict[int, ResponseSpec]:
    """Build the documentation of a handler's errors."""
    return {
        status: ResponseSpec(ErrorReply, generate_examples=False, description=ERROR_TEXTS[status].meaning)
        for status in statuses
    }


def image_error_responses() -> dict[int, ResponseSpec]:
    """Build the documentation of the errors of image requests."""
    return error_responses(400, 401, 403, 404, 408, 409, 410, 413, 422, 429, 500, 502, 503, 504, 508)


def documented(body: RequestBody | None = None, headers: Mapping[str, HeaderText] = NO_HEADERS) -> type[Operation]:
    """Build the documentation of a body and of headers that a handler reads itself."""

    @dataclass
    class Documented(Operation):
        def __post_init__(self) -> None:
            self.request_body = body
            if headers:
                self.parameters = [*(self.parameters or []), *_header_parameters(headers)]

    return Documented


def _header_parameters(table: Mapping[str, HeaderText]) -> list[Parameter | Reference]:
    return [
        Parameter(name=name, param_in="header", description=description, schema=cast("Schema", schema))
        for name, (description, schema) in table.items()
    ]


def image_responses() -> dict[int, ResponseSpec]:
    """Build the documentation of the success of image requests."""
    return {200: ResponseSpec(ImagesReply, generate_examples=False, description="The images.")}


FILE = {"type": "string", "format": "binary"}
FILES = {"type": "array", "items": FILE, "minItems": 1, "maxItems": 16}
FORM_PARTS = {
    "image": FILE | {"description": "A PNG, JPEG or WebP file. Several: repeat `image[]`."},
    "image[]": FILES | {"description": "One to sixteen PNG, JPEG or WebP files."},
    "mask": FILE | {"description": "A PNG with alpha, as large as the first image; its transparent part is replaced."},
    "markup": FILE | {"description": "A transparent PNG laid over the first image; not with mask."},
}
ANY_IMAGE, PNG = {"contentType": "image/png, image/jpeg, image/webp"}, {"contentType": "image/png"}
BRACKET_EXAMPLE = {"svg": {"model": "svg[model]", "reasoning": {"effort": "svg[reasoning][effort]"}}}
"""Fields of a form that are objects in JSON, with their names in brackets."""


def json_request_body(kind: type[msgspec.Struct]) -> RequestBody:
    """Build the documentation of a body that is one struct."""
    return RequestBody(required=True, content={"application/json": _media(kind)})


def edit_request_bodies() -> RequestBody:
    """Build the documentation of the two bodies of edits."""
    encoding = {"image": ANY_IMAGE, "image[]": ANY_IMAGE, "mask": PNG, "markup": PNG}
    return RequestBody(
        required=True,
        content={"multipart/form-data": _media(EditForm, encoding), "application/json": _media(EditBody)},
    )


def upload_request_body() -> RequestBody:
    """Build the documentation of the body of uploads."""
    return RequestBody(required=True, content={"multipart/form-data": _media(FileForm, {"file": ANY_IMAGE})})


def _media(kind: type[msgspec.Struct], encoding: Mapping[str, Any] | None = None) -> OpenAPIMediaType:
    schema = {"$ref": COMPONENTS + kind.__name__}
    return OpenAPIMediaType(schema=cast("Schema", schema), encoding=dict(encoding) if encoding else None)


def body_schemas(*kinds: type[msgspec.Struct]) -> dict[str, Any]:
    """Build the named schemas of bodies and of their parts."""
    _, schemas = msgspec.json.schema_components(kinds, ref_template=COMPONENTS + "{name}")
    named: dict[str, Any] = schemas
    for name in ("EditForm", "FileForm"):
        named[name]["properties"] = {
            field: _without_null(schema) for field, schema in named[name]["properties"].items()
        }

    # A form has nested fields as bracketed names, and its files beside them.
    edit, file = named["EditForm"], named["FileForm"]
    efforts = named["Reasoning"]["properties"]["effort"]
    expiry_fields = named["ExpiresAfter"]["properties"]
    del edit["properties"]["svg"], file["properties"]["expires_after"]
    edit["properties"] |= {
        "svg[model]": {"type": "string"},
        "svg[reasoning][effort]": _without_null(efforts),
    } | FORM_PARTS
    edit["oneOf"] = [{"required": ["image"]}, {"required": ["image[]"]}]
    file["properties"] |= {f"expires_after[{name}]": schema for name, schema in expiry_fields.items()}
    file["dependentRequired"] = {
        "expires_after[anchor]": ["expires_after[seconds]"],
        "expires_after[seconds]": ["expires_after[anchor]"],
    }
    file["properties"]["file"] = FILE | {"description": "A PNG, JPEG or WebP file."}
    file["required"] = [*file["required"], "file"]
    named["ChangeBody"]["minProperties"] = 1
    return named


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Remove null from a schema, because a form has no null."""
    choices = [choice for choice in schema.get("anyOf", []) if choice != {"type": "null"}]
    if len(choices) != 1:
        return schema
    rest = {key: value for key, value in schema.items() if key not in {"anyOf", "default"}}
    property_schema: dict[str, Any] = choices[0]
    return rest | property_schema


IMAGE_FILE_RESPONSES = {
    206: ResponseSpec(bytes, generate_examples=False, description="The range that `Range` names.", media_type="*/*"),
    304: ResponseSpec(None, generate_examples=False, description="The copy that `If-None-Match` names is current."),
}
