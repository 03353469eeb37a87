"""The OpenAPI document: it is valid, defines each thing once, and its examples fit its schemas."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema  # type: ignore[import-untyped,unused-ignore]
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from service.api.openapi.build import build_document
from service.api.openapi.texts import ERROR_TEXTS, HEADERS, TAGS
from service.commands.startup import build_openapi
from tools.openapi.story import ROOT

WITHOUT_EXAMPLE = {"RequestTimeout", "Gone", "InternalError"}
"""Cases that a sequence of requests cannot produce: a stalled body, a vanished result, a fault of the gateway."""


@pytest.fixture(scope="module")
def raw() -> dict[str, Any]:
    return build_openapi(ROOT / "config", {})


@pytest.fixture(scope="module")
def described(raw: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(build_document(raw)))
    return document


def operations(described: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for methods in described["paths"].values():
        yield from methods.values()


def media(described: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every body of the document, of requests and replies."""
    for operation in operations(described):
        name = operation["operationId"]
        for content in (operation.get("requestBody", {}), *operation["responses"].values()):
            yield from ((f"{name} {kind}", part) for kind, part in content.get("content", {}).items())
    for name, response in described["components"]["responses"].items():
        yield from ((f"{name} {kind}", part) for kind, part in response["content"].items())


def holds(described: dict[str, Any], schema: dict[str, Any], value: object) -> None:
    jsonschema.Draft202012Validator(schema | {"components": described["components"]}).validate(value)


def test_the_document_is_openapi_3_1(described: dict[str, Any]) -> None:
    assert described["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(described).validate()


def test_each_operation_has_an_id_a_tag_and_a_security_scheme(described: dict[str, Any]) -> None:
    all_operations = list(operations(described))
    assert len({operation["operationId"] for operation in all_operations}) == len(all_operations)
    assert {tag for operation in all_operations for tag in operation["tags"]} == {
        tag["name"] for tag in described["tags"]
    }
    assert {tag for group in described["x-tagGroups"] for tag in group["tags"]} == set(TAGS)
    needs = {
        tag: need for operation in all_operations for tag in operation["tags"] for need in [operation.get("security")]
    }
    assert needs["Images"] is None, "the document's own: a team's key"
    assert (needs["Admin"], needs["Operations"], needs["Stored images"]) == ([{"adminKey": []}], [{}], [{}])


def test_errors_and_headers_are_defined_once(described: dict[str, Any]) -> None:
    for operation in operations(described):
        for status, response in operation["responses"].items():
            if int(status) in ERROR_TEXTS and operation["operationId"] != "isReady":
                assert response == {"$ref": f"#/components/responses/{ERROR_TEXTS[int(status)].name}"}
            else:
                assert response["headers"]["x-request-id"] == {"$ref": "#/components/headers/x-request-id"}
    assert set(described["components"]["headers"]) == set(HEADERS)


def test_examples_fit_their_schemas(described: dict[str, Any]) -> None:
    checked = 0
    for name, part in media(described):
        for example, shown in part.get("examples", {}).items():
            if not name.endswith("multipart/form-data"):  # a file is named there
                try:
                    holds(described, part["schema"], shown["value"])
                except jsonschema.ValidationError as wrong:
                    raise AssertionError(f"{name} {example}: {wrong.message}") from None
                checked += 1
    assert checked > 50


def events(text: str) -> list[dict[str, str]]:
    """Return the events of a stream, without its comments."""
    frames = [frame for frame in text.split("\n\n") if frame and not frame.startswith(":")]
    return [dict(line.split(": ", 1) for line in frame.splitlines()) for frame in frames]


@pytest.mark.parametrize(("operation", "count"), [("createImage", 3), ("createImageEdit", 2)])
def test_events_fit_their_schemas(described: dict[str, Any], operation: str, count: int) -> None:
    (entry,) = (candidate for candidate in operations(described) if candidate["operationId"] == operation)
    part = entry["responses"]["200"]["content"]["text/event-stream"]
    seen = [event for shown in part["examples"].values() for event in events(shown["value"])]
    holds(described, part["schema"]["contentSchema"], seen)
    kinds = {kind["properties"]["event"]["const"]: kind for kind in part["schema"]["contentSchema"]["items"]["oneOf"]}
    for event in seen:
        schema = kinds[event["event"]]["properties"]["data"]["contentSchema"]
        data = json.loads(event["data"])
        holds(described, schema, data)
        assert data["type"] == event["event"]
    assert len(seen) == count


def test_every_body_and_error_has_an_example(described: dict[str, Any]) -> None:
    bare = {name for name, response in described["components"]["responses"].items() if not examples(response)}
    assert bare == WITHOUT_EXAMPLE
    for operation in operations(described):
        kinds = [part for response in operation["responses"].values() for part in response.get("content", {}).values()]
        text = [part for part in kinds if part["schema"].get("format") != "binary"]
        assert not text or any("examples" in part for part in text), operation["operationId"]


def examples(response: dict[str, Any]) -> list[str]:
    return [name for part in response["content"].values() for name in part.get("examples", {})]


def test_a_part_of_the_api_has_a_separate_document(raw: dict[str, Any]) -> None:
    """A port with a part of the operations describes those, and no component that only others need."""
    some = {path: methods for path, methods in raw["paths"].items() if not path.startswith("/v1")}
    part = build_document(raw | {"paths": some})
    assert [tag["name"] for tag in part["tags"]] == ["Operations", "Admin"]
    assert "ImagesReply" not in part["components"]["schemas"]
    assert "x-gateway-backend" not in part["components"]["headers"]
    assert list(part["components"]["securitySchemes"]) == ["adminKey"]
    OpenAPIV31SpecValidator(json.loads(json.dumps(part))).validate()
