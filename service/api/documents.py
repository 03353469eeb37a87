"""The parts of the OpenAPI document that handlers cannot tell by themselves: bodies read by hand, and errors.

Rule: what is documented is made from the same structs that decode and encode. Bodies are named, and stand among the
components once; `finishing.py` puts them there.
"""

from collections.abc import Mapping
from typing import Any, cast

import msgspec
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIMediaType, Parameter, Reference, RequestBody, Schema

from service.api.described import FETCHES, REFUSALS, TERMS
from service.api.errors import ErrorReply
from service.api.replies import ImagesReply
from service.api.schemas import EditBody, EditForm, FileForm, GenerateBody

COMPONENTS = "#/components/schemas/"


def errors_of(*statuses: int) -> dict[int, ResponseSpec]:
    """The documented errors of a handler."""
    return {
        status: ResponseSpec(ErrorReply, generate_examples=False, description=REFUSALS[status].meaning)
        for status in statuses
    }


def refusals() -> dict[int, ResponseSpec]:
    """The documented errors of the image endpoints."""
    return errors_of(400, 401, 403, 404, 408, 409, 410, 413, 422, 429, 500, 502, 503, 504, 508)


def terms_of_a_request() -> list[Parameter | Reference]:
    """The documented headers of the image endpoints."""
    return _headers(TERMS)


def terms_of_a_fetch() -> list[Parameter | Reference]:
    """The documented headers of the endpoints that give a picture's bytes."""
    return _headers(FETCHES)


def _headers(table: Mapping[str, tuple[str, Mapping[str, object]]]) -> list[Parameter | Reference]:
    return [
        Parameter(name=name, param_in="header", description=description, schema=cast("Schema", schema))
        for name, (description, schema) in table.items()
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
ANY_PICTURE, PNG = {"contentType": "image/png, image/jpeg, image/webp"}, {"contentType": "image/png"}
BRACKETS = {"svg": {"model": "svg[model]", "reasoning": {"effort": "svg[reasoning][effort]"}}}
"""Fields of a form that are objects in JSON: nesting is in brackets."""


def generate_body() -> RequestBody:
    """The body of generations."""
    return json_body(GenerateBody)


def json_body(kind: type[msgspec.Struct]) -> RequestBody:
    """A body that is one struct."""
    return RequestBody(required=True, content={"application/json": _media(kind)})


def edit_bodies() -> RequestBody:
    """The two bodies of edits."""
    encoding = {"image": ANY_PICTURE, "image[]": ANY_PICTURE, "mask": PNG, "markup": PNG}
    return RequestBody(
        required=True,
        content={"multipart/form-data": _media(EditForm, encoding), "application/json": _media(EditBody)},
    )


def file_body() -> RequestBody:
    """The body of an upload."""
    return RequestBody(required=True, content={"multipart/form-data": _media(FileForm, {"file": ANY_PICTURE})})


def _media(kind: type[msgspec.Struct], encoding: Mapping[str, Any] | None = None) -> OpenAPIMediaType:
    schema = {"$ref": COMPONENTS + kind.__name__}
    return OpenAPIMediaType(schema=cast("Schema", schema), encoding=dict(encoding) if encoding else None)


def body_schemas(*kinds: type[msgspec.Struct]) -> dict[str, Any]:
    """The named schemas of bodies, and of what is in them."""
    _, schemas = msgspec.json.schema_components(kinds, ref_template=COMPONENTS + "{name}")
    found: dict[str, Any] = schemas
    for name in ("EditForm", "FileForm"):
        found[name]["properties"] = {
            field: _without_null(schema) for field, schema in found[name]["properties"].items()
        }
    edit, file = found["EditForm"], found["FileForm"]
    options = found["Reasoning"]["properties"]["effort"]
    after = found["ExpiresAfter"]["properties"]
    del edit["properties"]["svg"], file["properties"]["expires_after"]
    edit["properties"] |= {"svg[model]": {"type": "string"}, "svg[reasoning][effort]": _without_null(options)} | PARTS
    edit["oneOf"] = [{"required": ["image"]}, {"required": ["image[]"]}]
    file["properties"] |= {f"expires_after[{name}]": schema for name, schema in after.items()}
    file["dependentRequired"] = {
        "expires_after[anchor]": ["expires_after[seconds]"],
        "expires_after[seconds]": ["expires_after[anchor]"],
    }
    file["properties"]["file"] = FILE | {"description": "A PNG, JPEG or WebP file."}
    file["required"] = [*file["required"], "file"]
    found["ChangeBody"]["minProperties"] = 1
    return found


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A form cannot say null."""
    choices = [choice for choice in schema.get("anyOf", []) if choice != {"type": "null"}]
    if len(choices) != 1:
        return schema
    rest = {key: value for key, value in schema.items() if key not in {"anyOf", "default"}}
    stated: dict[str, Any] = choices[0]
    return rest | stated


PICTURE_STATUSES = {
    206: ResponseSpec(bytes, generate_examples=False, description="The part that `Range` asked for.", media_type="*/*"),
    304: ResponseSpec(None, generate_examples=False, description="The copy that `If-None-Match` names is good."),
}
