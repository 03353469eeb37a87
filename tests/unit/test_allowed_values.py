"""Refusals name the allowed values of a field; nulls count as absent fields."""

import json
from typing import Any

import pytest

from service.api.schemas.admin import ChangeBody, IssueBody, RotateBody
from service.api.schemas.allowed_values import allowed_values, type_info
from service.api.schemas.requests import Body, EditBody, EditForm, FileForm, GenerateBody, decode_form, decode_json
from service.domain.errors import InvalidValue, MissingParameter, RequestError, UnknownParameter

KINDS: tuple[type[Body], ...] = (GenerateBody, EditBody, EditForm, FileForm, IssueBody, RotateBody, ChangeBody)
FIELDS = [(kind, field.encode_name) for kind in KINDS for field in getattr(type_info(kind), "fields", ())]
EFFORTS = "'high', 'low', 'max', 'medium', 'minimal', 'none' or 'xhigh'"


@pytest.mark.parametrize(("kind", "field"), FIELDS, ids=[f"{kind.__name__}.{field}" for kind, field in FIELDS])
def test_every_field_has_a_description(kind: type[Body], field: str) -> None:
    assert allowed_values(kind, field)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"background": "blue"}, "'auto', 'opaque' or 'transparent'"),
        ({"moderation": "none"}, "'auto' or 'low'"),
        ({"complexity": ""}, "'high', 'low' or 'medium'"),
        ({"response_format": "png"}, "'b64_json', 'base64' or 'url'"),
        ({"svg": {"reasoning": {"effort": "much"}}}, EFFORTS),
        ({"n": 11}, "a whole number from 1 to 10"),
        ({"n": "2"}, "a whole number from 1 to 10"),
        ({"n": 10**30}, "a whole number from 1 to 10"),
        ({"output_compression": -1}, "a whole number from 0 to 100"),
        ({"width": 0}, "a whole number that is at least 1"),
        ({"seed": 0.5}, "a whole number"),
        ({"guidance_scale": "x"}, "a number"),
        ({"stream": "yes"}, "true or false"),
        ({"prompt": ""}, "a string of 1 to 32000 characters"),
        ({"safety_identifier": "a" * 129}, "a string of at most 128 characters"),
        ({"size": 5}, "a string"),
        ({"svg": 5}, "an object"),
        ({"reference_images": "x"}, "a list"),
        ({"image_loras": [{"path": []}]}, "a string or a number"),
    ],
)
def test_a_refusal_names_the_allowed_values(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        decode_json(json.dumps({"prompt": "a fox"} | fields).encode(), GenerateBody)
    assert refused.value.message == f"Invalid value for '{refused.value.param}'. It must be {words}."


@pytest.mark.parametrize("images", [[], [{}] * 17])
def test_lists_have_bounds(images: list[object]) -> None:
    with pytest.raises(InvalidValue, match="It must be a list of 1 to 16 items"):
        decode_json(json.dumps({"prompt": "a fox", "images": images}).encode(), EditBody)


@pytest.mark.parametrize("purpose", ["assistants", ""])
def test_a_refusal_of_a_form_names_the_allowed_values(purpose: str) -> None:
    with pytest.raises(InvalidValue, match="It must be 'vision'"):
        decode_form({"purpose": purpose}, FileForm)


@pytest.mark.parametrize(
    ("kind", "plain", "nulls"),
    [
        (GenerateBody, {"prompt": "a fox"}, {"style": None}),
        (
            GenerateBody,
            {"prompt": "a fox", "n": 2},
            {"style": None, "size": None, "image_url": None, "a\n\u00e4": None},
        ),
        (GenerateBody, {"prompt": "a fox"}, {"svg": {"model": None, "colour": None, "reasoning": {"how": None}}}),
        (EditBody, {"prompt": "a fox"}, {"images": [{"file_id": "x", "detail": None}], "mask": None}),
        (IssueBody, {"team": "search"}, {"note": None}),
        (RotateBody, {}, {"overlap_seconds": None, "reason": None}),
        (ChangeBody, {}, {"expires_at": None, "reason": None}),
    ],
)
def test_a_null_is_an_absent_field(kind: type[Body], plain: dict[str, Any], nulls: dict[str, Any]) -> None:
    body = decode_json(json.dumps(plain | nulls, indent=1).encode(), kind)
    assert [name for name in plain if getattr(body, name) != plain[name]] == []


@pytest.mark.parametrize(
    ("body", "kind", "refusal", "param"),
    [
        (b'{"prompt":null}', GenerateBody, MissingParameter, "prompt"),
        (b'{"prompt":"a","images":null}', EditBody, MissingParameter, "images"),
        (b'{"prompt":"a","images":[null]}', EditBody, InvalidValue, "images[0]"),
        (b'{"prompt":"a","style":null,"colour":"red"}', GenerateBody, UnknownParameter, "colour"),
        (b'{"prompt":"a","style":"null"}', GenerateBody, UnknownParameter, "style"),
        (b'{"prompt":"a","style":null,"style":1}', GenerateBody, UnknownParameter, "style"),
    ],
)
def test_fields_beside_nulls_count(body: bytes, kind: type[Body], refusal: type[RequestError], param: str) -> None:
    with pytest.raises(refusal) as refused:
        decode_json(body, kind)
    assert refused.value.param == param
