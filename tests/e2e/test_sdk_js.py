"""OpenAI's SDK for JavaScript against every backend, as tests/e2e/test_sdks.py does with those for Python."""

import json
from base64 import b64encode
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from tests.simulators.images import Sketch, encode_image
from tests.simulators.openai import FAULTS
from tests.simulators.server import Answer, Simulator
from tests.support.gateway import GatewayProcess
from tests.support.images import mask, png
from tests.support.sdk_js import ROOT, File, Files, SdkOutcome, call, digest, through

FLUX = "black-forest-labs/FLUX.2-pro"
FOX = {"model": "gpt-image-2", "prompt": "a red fox", "size": "1536x1024", "quality": "low", "n": 2}
EDIT = {"model": "gpt-image-2", "prompt": "add a fox", "size": "1024x1024"}


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Three images and a mask."""
    paths = [tmp_path / f"image-{index}.png" for index in range(3)]
    for index, path in enumerate(paths):
        path.write_bytes(png(color=(index * 80, 80, 200)))
    (tmp_path / "mask.png").write_bytes(mask())
    return [*paths, tmp_path / "mask.png"]


def vendors(size: tuple[int, int], count: int = 1) -> list[dict[str, object]]:
    """Return the digests of a simulator's images."""
    return [digest(encode_image(Sketch(size=size, index=index))) for index in range(count)]


def test_the_sdk_generates_on_the_sandbox(sandbox_gateway: GatewayProcess, http: httpx2.Client) -> None:
    outcome = through(sandbox_gateway, "generate", FOX)
    url = f"{sandbox_gateway.url}/v1/images/generations"
    plain = http.post(url, json=FOX, headers=sandbox_gateway.headers).json()
    ids = [item["id"] for item in outcome.result["data"]]
    stored = [
        http.get(f"{sandbox_gateway.url}/v1/files/{name}/content", headers=sandbox_gateway.headers) for name in ids
    ]
    assert outcome.images == [digest(b64encode(name.content)) for name in stored]
    assert {**outcome.result, "created": 0, "data": 0, "id": 0} == {**plain, "created": 0, "data": 0, "id": 0}
    assert outcome.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize("count", [1, 3])
def test_the_sdk_edits_on_the_sandbox(sandbox_gateway: GatewayProcess, files: list[Path], count: int) -> None:
    outcome = through(sandbox_gateway, "edit", EDIT, files={"image": files[:count] if count > 1 else files[0]})
    assert (len(outcome.images), outcome.result["size"]) == (1, "1024x1024")


def test_the_sdk_generates_through_openai(openai_gateway: GatewayProcess, openai_sim: Simulator) -> None:
    outcome = through(openai_gateway, "generate", FOX)
    assert outcome.images == vendors((1536, 1024), 2)
    assert outcome.result["usage"]["output_tokens"] == 316
    assert len(openai_sim.requests) == 1


@pytest.mark.parametrize("typed", [True, False], ids=["typed", "as read from disk"])
@pytest.mark.parametrize(("count", "part"), [(1, "image"), (3, "image[]")])
def test_the_sdk_edits_through_openai(
    openai_gateway: GatewayProcess, openai_sim: Simulator, files: list[Path], count: int, part: str, *, typed: bool
) -> None:
    sources: list[File] = [(path, "image/png") for path in files] if typed else [*files]
    image = sources[:count] if count > 1 else sources[0]
    outcome = through(openai_gateway, "edit", EDIT, files={"image": image, "mask": sources[-1]})
    assert outcome.images == vendors((1024, 1024))
    (received,) = openai_sim.requests
    assert [file.part_name for file in received.files] == [part] * count + ["mask"]
    assert {file.content_type for file in received.files} == {"image/png"}
    assert [file.body for file in received.files] == [path.read_bytes() for path in [*files[:count], files[-1]]]


def test_the_sdk_generates_through_together(together_gateway: GatewayProcess, together_sim: Simulator) -> None:
    params = {"model": FLUX, "prompt": "a red fox", "size": "1024x768", "n": 2}
    assert through(together_gateway, "generate", params).images == vendors((1024, 768), 2)
    (received,) = together_sim.requests
    assert (received.fields["width"], received.fields["height"], received.fields["n"]) == (1024, 768, 2)


@pytest.mark.parametrize(("count", "model"), [(1, "gpt-image-2"), (3, FLUX)])
def test_the_sdk_edits_through_together(
    together_gateway: GatewayProcess, together_sim: Simulator, files: list[Path], count: int, model: str
) -> None:
    image = files[:count] if count > 1 else files[0]
    outcome = through(together_gateway, "edit", EDIT | {"model": model}, files={"image": image})
    assert outcome.images == vendors((1024, 1024))
    (received,) = together_sim.requests
    assert len(received.fields.get("reference_images") or [received.fields["image_url"]]) == count


def refused(outcome: SdkOutcome) -> tuple[object, ...]:
    assert outcome.error["request_id"] == outcome.headers["x-request-id"]
    return tuple(outcome.error.get(name) for name in ("class", "status", "type", "code", "param"))


def test_a_wrong_size_is_a_bad_request_that_names_it(sandbox_gateway: GatewayProcess) -> None:
    outcome = through(sandbox_gateway, "generate", FOX | {"size": "1920x1080"})
    assert refused(outcome) == ("BadRequestError", 400, "invalid_request_error", "invalid_value", "size")
    assert "1920x1080" in outcome.error["message"]


def test_a_wrong_key_is_an_authentication_error(sandbox_gateway: GatewayProcess) -> None:
    outcome = call(f"{sandbox_gateway.url}/v1", "igw_nobody", "generate", FOX)
    assert refused(outcome) == ("AuthenticationError", 401, "invalid_request_error", "invalid_api_key", None)


@pytest.mark.parametrize("operation", ["generate", "edit"])
def test_after_a_timeout_the_sdk_gets_the_generated_image_on_its_retry(
    tmp_path: Path, openai_sim: Simulator, files: list[Path], operation: str
) -> None:
    """The settings are the shipped ones. The SDK repeats a form only with its images in memory."""
    openai_sim.answer(Answer(delay=1.5))
    images: Files = {"image": [(path, "image/png") for path in files[:2]]} if operation == "edit" else {}
    environment = {"OPENAI_API_KEY": "sk-operator", "OPENAI_BASE_URL": openai_sim.base_url}
    with GatewayProcess(tmp_path / "data", environment) as gateway:
        outcome = through(gateway, operation, EDIT, files=images, client={"timeout": 1000, "maxRetries": 2})
    assert outcome.error == {}
    assert outcome.images == vendors((1024, 1024))
    assert outcome.headers["x-gateway-cache"] in {"joined", "hit"}
    assert len(openai_sim.requests) == 1


@pytest.mark.parametrize("operation", ["generate", "edit"])
def test_the_sdk_counts_its_tries_and_sends_no_idempotency_key(
    openai_sim: Simulator, files: list[Path], operation: str
) -> None:
    """Headers by which the gateway recognises a retry, recorded by the vendor's simulator."""
    overloaded = replace(FAULTS["server_is_overloaded"], headers={"retry-after-ms": "1"})
    openai_sim.answer(overloaded, overloaded)
    images: Files = {"image": [(files[0], "image/png")]} if operation == "edit" else {}
    options = {"maxRetries": 2, "timeout": 20_000}
    outcome = call(openai_sim.base_url, "sk-caller", operation, EDIT, files=images, request=options)
    assert outcome.images == vendors((1024, 1024))
    tries = openai_sim.requests
    assert [request.headers["x-stainless-retry-count"] for request in tries] == ["0", "1", "2"]
    assert {request.headers["x-stainless-timeout"] for request in tries} == {"20"}
    assert not any("idempotency-key" in request.headers for request in tries)
    assert all((request.fields, request.files) == (tries[0].fields, tries[0].files) for request in tries)


def test_files_with_an_expiry_are_listed_by_pages_and_deleted_on_the_way(
    sandbox_gateway: GatewayProcess, files: list[Path]
) -> None:
    expiry = {"anchor": "created_at", "seconds": 7200}
    outcome = through(
        sandbox_gateway, "files", {"purpose": "vision", "expires_after": expiry}, files={"file": files[0]}
    )
    made = outcome.result["made"]
    assert [file["expires_at"] - file["created_at"] for file in made] == [7200] * 3
    ours = [file["id"] for file in made]
    assert [file for file in outcome.result["listed"] if file in ours] == ours[::-1]
    assert (set(outcome.result["left"]) & {*ours}, outcome.result["has_more"]) == (set(), False)


def test_the_lock_file_pins_every_package_and_names_no_registry() -> None:
    packages = json.loads((ROOT / "tests" / "sdk_js" / "package-lock.json").read_text())["packages"]
    pinned = {name: package for name, package in packages.items() if name}
    assert {"node_modules/openai", "node_modules/ai", "node_modules/@ai-sdk/togetherai"} <= pinned.keys()
    assert all(package["integrity"].startswith("sha512-") for package in pinned.values())
    assert not [name for name, package in pinned.items() if "://" in json.dumps(package | {"funding": None})]
