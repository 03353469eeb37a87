"""Every reply and every event is a valid document of the vendors' own types: no field is missing or null.

SDKs for Python build their objects without checks. Those for Rust, Java and Go check: these tests hold their
requirements.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.simulators.openai_faults import FAULTS
from tests.simulators.server import Simulator
from tests.support.environments import sdk_python
from tests.support.gateway import GatewayProcess, clean_environment
from tests.support.images import data_url, mask, png

CHECKER = Path(__file__).parent / "sdk_types.py"
GENERATIONS, EDITS = "/v1/images/generations", "/v1/images/edits"
RESPONSE = ("openai.types", "ImagesResponse")
TOGETHER = ("together.types", "ImageFile")
ERROR = ("openai.types.shared", "ErrorObject")
EVENTS = {
    "image_generation.partial_image": ("openai.types", "ImageGenPartialImageEvent"),
    "image_generation.completed": ("openai.types", "ImageGenCompletedEvent"),
    "image_edit.partial_image": ("openai.types", "ImageEditPartialImageEvent"),
    "image_edit.completed": ("openai.types", "ImageEditCompletedEvent"),
}
FLUX = "black-forest-labs/FLUX.2-pro"
Type = tuple[str, str]


class Checker:
    """Checks against the SDKs' types. One process serves all, because its start takes long."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def __call__(self, kind: Type, document: object) -> list[str]:
        """Return the faults of a document."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([*kind, document]) + "\n")
        self._process.stdin.flush()
        faults: list[str] = json.loads(self._process.stdout.readline())
        return faults


@pytest.fixture(scope="module")
def faults() -> Iterator[Checker]:
    process = subprocess.Popen(
        [sdk_python("new"), str(CHECKER)],
        env=clean_environment(TOGETHER_NO_BANNER="1"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield Checker(process)
        assert process.stdin
        process.stdin.close()


def ask(http: httpx2.Client, gateway: GatewayProcess, path: str, **body: Any) -> httpx2.Response:
    reply = http.post(gateway.url + path, json={"prompt": "a fox"} | body, headers=gateway.headers)
    assert reply.status_code == 200, reply.text
    return reply


def events(reply: httpx2.Response) -> list[dict[str, Any]]:
    """Return the data of each event of a stream."""
    pairs = re.findall(r"^event: (.+)\ndata: (.+)$", reply.text, re.MULTILINE)
    documents = [json.loads(data) for _, data in pairs]
    assert [name for name, _ in pairs] == [document["type"] for document in documents]
    return documents


NEWEST = "gpt-image-2.6-flare"
BODIES: list[dict[str, Any]] = [
    {"model": "gpt-image-2", "quality": "low"},
    {"model": "gpt-image-2", "n": 2, "output_format": "webp"},
    {"model": "gpt-image-2", "response_format": "url"},
    {"model": NEWEST, "background": "transparent"},
    {"model": NEWEST, "output_format": "svg"},
    {"model": NEWEST, "output_format": "gif"},
    {"model": FLUX},
    {"model": FLUX, "response_format": "url", "n": 2},
]


@pytest.mark.parametrize("body", BODIES, ids=json.dumps)
@pytest.mark.parametrize("where", ["sandbox_gateway", "openai_gateway"])
def test_a_reply_has_both_vendors_types(
    request: pytest.FixtureRequest, http: httpx2.Client, faults: Checker, where: str, body: dict[str, Any]
) -> None:
    gateway: GatewayProcess = request.getfixturevalue(where)
    if where == "openai_gateway" and body["model"] == FLUX:
        body = {**body, "model": "gpt-image-2.5-flare"}
    for _ in ("bought", "kept"):
        document = ask(http, gateway, GENERATIONS, **body).json()
        assert (faults(RESPONSE, document), faults(TOGETHER, document)) == ([], [])


@pytest.mark.parametrize("model", ["gpt-image-2", FLUX])
@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("operation", [GENERATIONS, EDITS])
def test_every_event_has_its_type(
    http: httpx2.Client, sandbox_gateway: GatewayProcess, faults: Checker, model: str, operation: str, *, fresh: bool
) -> None:
    body = {"images": [{"image_url": data_url(png())}]} if operation == EDITS else {}
    more = {"partial_images": 2} if fresh else {"n": 2}
    received = events(ask(http, sandbox_gateway, operation, model=model, stream=True, **more, **body))
    assert len(received) == (3 if fresh and model != FLUX else 1 if fresh else 2)
    assert [fault for event in received for fault in faults(EVENTS[event["type"]], event)] == []


@pytest.mark.parametrize("operation", [GENERATIONS, EDITS])
def test_events_of_a_vendor_have_their_types(
    http: httpx2.Client, openai_gateway: GatewayProcess, openai_sim: Simulator, faults: Checker, operation: str
) -> None:
    assert openai_sim.requests == []
    body = {"images": [{"image_url": data_url(png())}], "mask": {"image_url": data_url(mask())}}
    more = body if operation == EDITS else {}
    for _ in ("bought", "kept"):
        received = events(
            ask(http, openai_gateway, operation, model="gpt-image-2", stream=True, partial_images=2, **more)
        )
        assert [fault for event in received for fault in faults(EVENTS[event["type"]], event)] == []


def test_an_error_in_a_stream_is_an_error(
    http: httpx2.Client, openai_gateway: GatewayProcess, openai_sim: Simulator, faults: Checker
) -> None:
    openai_sim.answer(FAULTS["error_in_stream"])
    reply = ask(http, openai_gateway, GENERATIONS, prompt="an owl", stream=True, partial_images=1)
    (data,) = re.findall(r"^event: error\ndata: (.+)$", reply.text, re.MULTILINE)
    assert faults(ERROR, json.loads(data)["error"]) == []


@pytest.mark.parametrize("body", [{}, {"prompt": "a fox", "n": 0}, {"prompt": "a fox", "model": "none"}])
def test_a_refusal_is_an_error(
    http: httpx2.Client, sandbox_gateway: GatewayProcess, faults: Checker, body: dict[str, Any]
) -> None:
    reply = http.post(sandbox_gateway.url + GENERATIONS, json=body, headers=sandbox_gateway.headers)
    assert (reply.is_error, faults(ERROR, reply.json()["error"])) == (True, [])


def test_files_are_files(http: httpx2.Client, sandbox_gateway: GatewayProcess, faults: Checker) -> None:
    url, headers = f"{sandbox_gateway.url}/v1/files", sandbox_gateway.headers
    lent = {"purpose": "vision", "expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    file = http.post(url, data=lent, files={"file": ("a.png", png())}, headers=headers).json()
    listed = http.get(url, params={"limit": 1}, headers=headers).json()
    again = http.get(f"{url}/{file['id']}", headers=headers).json()
    gone = http.delete(f"{url}/{file['id']}", headers=headers).json()
    assert [faults(("openai.types", "FileObject"), document) for document in (file, again)] == [[], []]
    assert (faults(("openai.pagination", "SyncCursorPage[FileObject]"), listed), listed["data"]) == ([], [file])
    assert faults(("openai.types", "FileDeleted"), gone) == []


def test_models_are_models(http: httpx2.Client, sandbox_gateway: GatewayProcess, faults: Checker) -> None:
    listed = http.get(f"{sandbox_gateway.url}/v1/models", headers=sandbox_gateway.headers).json()
    one = http.get(f"{sandbox_gateway.url}/v1/models/{FLUX}", headers=sandbox_gateway.headers).json()
    assert [fault for model in (*listed["data"], one) for fault in faults(("openai.types", "Model"), model)] == []
