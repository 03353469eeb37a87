"""The simulators keep the vendors' contract, and break it on request.

Rule: every test talks HTTP to a real server; what it shows of a vendor is what the contract says of that vendor.
"""

import base64
import hashlib
import io
import json
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from PIL import Image

from tests.simulators import openai, together
from tests.simulators.exchange import Fault
from tests.simulators.images import DRAW, Sketch, draw
from tests.simulators.openai_models import formula
from tests.simulators.server import Answer, Defaults, Simulator
from tools.simulators import parsed

PICTURE = draw(Sketch(size=(64, 64), alpha=True))
ASK = {"model": "gpt-image-2", "prompt": "a cat on a red sofa", "size": "1024x1024", "quality": "low"}
ASK_TOGETHER = {"model": "openai/gpt-image-2", "prompt": "a cat", "response_format": "base64"}
FORM = {"model": "gpt-image-2", "prompt": "a hat", "n": "2"}
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
GENERATE, EDIT = "/images/generations", "/images/edits"


@pytest.fixture(scope="module")
def _openai() -> Iterator[Simulator]:
    with openai.simulator() as running:
        yield running


@pytest.fixture(scope="module")
def _together() -> Iterator[Simulator]:
    with together.simulator() as running:
        yield running


@pytest.fixture
def vendor(_openai: Simulator) -> Simulator:
    _openai.reset()
    return _openai


@pytest.fixture
def other(_together: Simulator) -> Simulator:
    _together.reset()
    return _together


def client(simulator: Simulator, timeout: float = 20) -> httpx2.Client:
    headers = {"Authorization": "Bearer sk-test"}
    return httpx2.Client(base_url=simulator.base_url, headers=headers, timeout=timeout, verify=NO_TLS)


def call(simulator: Simulator, path: str, **content: Any) -> httpx2.Response:
    with client(simulator) as http:
        return http.post(path, **content)


def generate(simulator: Simulator, **fields: Any) -> httpx2.Response:
    return call(simulator, GENERATE, json=ASK | fields)


def opened(b64: str) -> Image.Image:
    picture = Image.open(io.BytesIO(base64.b64decode(b64)))
    picture.load()
    return picture


def refusal(response: httpx2.Response) -> tuple[int, str | None, str | None]:
    error = response.json()["error"]
    return response.status_code, error.get("param"), error.get("code")


def test_a_generation_is_answered_and_recorded(vendor: Simulator) -> None:
    response = generate(vendor, n=2)
    reply = response.json()
    look = {"background": "opaque", "output_format": "png", "quality": "low", "size": "1024x1024"}
    assert {name: reply[name] for name in look} == look
    first, second = (item["b64_json"] for item in reply["data"])
    assert opened(first).size == (1024, 1024)
    assert first != second
    assert reply["usage"]["output_tokens"] == 2 * 196
    assert {"x-request-id", "openai-processing-ms", "x-ratelimit-limit-requests"} <= set(response.headers)
    (request,) = vendor.requests
    assert (request.method, request.path) == ("POST", "/v1/images/generations")
    assert request.fields == ASK | {"n": 2}
    assert request.raw_length == int(request.headers["content-length"])


def test_an_edit_is_answered_and_its_files_are_recorded(vendor: Simulator) -> None:
    big = PICTURE + bytes(2_000_000)
    files = [("image[]", ("a.png", PICTURE, "image/png")), ("image[]", ("b.png", big, "image/png"))]
    reply = call(vendor, EDIT, data=FORM, files=files).json()
    assert reply["usage"]["input_tokens_details"]["image_tokens"] == 2 * 2 * 1450
    (request,) = vendor.requests
    small, large = request.files
    assert request.fields == FORM
    assert (small.part_name, small.filename, small.content_type) == ("image[]", "a.png", "image/png")
    assert small.body == PICTURE
    assert (large.length, large.sha256, large.body) == (len(big), hashlib.sha256(big).hexdigest(), None)


def test_an_edit_may_come_as_links(vendor: Simulator) -> None:
    images = [{"image_url": "https://example.com/a.png"}, {"file_id": "file-1"}]
    assert call(vendor, EDIT, json=ASK | {"images": images}).status_code == 200
    both = [{"image_url": "https://example.com/a.png", "file_id": "file-1"}]
    assert refusal(call(vendor, EDIT, json=ASK | {"images": both})) == (400, "images[0]", "invalid_value")


def test_a_mask_has_alpha_and_the_size_of_its_image(vendor: Simulator) -> None:
    image = ("image", ("a.png", PICTURE, "image/png"))
    for mask, status in (
        (PICTURE, 200),
        (draw(Sketch(size=(64, 64))), 400),
        (draw(Sketch(size=(32, 32), alpha=True)), 400),
    ):
        response = call(vendor, EDIT, data=FORM, files=[image, ("mask", ("m.png", mask, "image/png"))])
        assert response.status_code == status


def test_an_octet_stream_is_refused(vendor: Simulator) -> None:
    response = call(vendor, EDIT, data=FORM, files={"image": ("upload", PICTURE, "application/octet-stream")})
    assert refusal(response) == (400, "image", "unsupported_file_mimetype")
    assert response.json() == json.loads(openai.FAULTS["unsupported_file_mimetype"].body or b"")


@pytest.mark.parametrize(
    ("files", "param", "code"),
    [
        ([], "image", "missing_required_parameter"),
        ([("image[]", ("a.png", PICTURE, "image/png"))] * 17, "image", "array_above_max_length"),
        ([("image", ("a.png", PICTURE, "image/png"))] * 2, "image", "duplicate_parameter"),
        ([("image[0]", ("a.png", PICTURE, "image/png"))], "image[0]", "unknown_parameter"),
        ([("image", ("a.png", b"not a picture", "image/png"))], "image", "invalid_image_file"),
    ],
)
def test_files_that_are_refused(vendor: Simulator, files: list[Any], param: str, code: str) -> None:
    parts = [(name, (None, text)) for name, text in FORM.items()] + files
    assert refusal(call(vendor, EDIT, files=parts)) == (400, param, code)


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"response_format": "b64_json"}, "response_format", "unknown_parameter"),
        ({"seed": 1}, "seed", "unknown_parameter"),
        ({"n": "2"}, "n", "invalid_type"),
        ({"n": 11}, "n", "integer_above_max_value"),
        ({"n": 0}, "n", "integer_below_min_value"),
        ({"model": None}, "model", "missing_required_parameter"),
        ({"prompt": ""}, "prompt", "missing_required_parameter"),
        ({"prompt": "x" * 32_001}, "prompt", "string_above_max_length"),
        ({"quality": "xhigh"}, "quality", "invalid_value"),
        ({"output_format": "svg"}, "output_format", "invalid_value"),
        ({"size": "1920x1080"}, "size", "invalid_value"),
        ({"size": "512x512"}, "size", "invalid_value"),
        ({"size": "3840x2176"}, "size", "invalid_value"),
        ({"size": "4096x1024"}, "size", "invalid_value"),
        ({"size": "3840x1264"}, "size", "invalid_value"),
        ({"model": "gpt-image-1.5", "size": "2048x2048"}, "size", "invalid_value"),
        ({"background": "transparent", "output_format": "jpeg"}, "background", "invalid_value"),
        ({"output_compression": 50}, "output_compression", "invalid_value"),
        ({"partial_images": 2}, "partial_images", "invalid_value"),
        ({"complexity": "low"}, "complexity", "invalid_value"),
        ({"frame_count": 3}, "frame_count", "invalid_value"),
        ({"model": "gpt-image-2.6-flare", "output_format": "svg", "n": 2}, "n", "invalid_value"),
        ({"model": "gpt-image-2.6-flare", "output_format": "gif", "stream": True}, "stream", "invalid_value"),
    ],
)
def test_generations_that_are_refused(vendor: Simulator, fields: dict[str, Any], param: str, code: str) -> None:
    assert refusal(generate(vendor, **fields)) == (400, param, code)


@pytest.mark.parametrize(
    ("size", "quality", "grid", "tokens"),
    [("3840x2160", "high", 96, 13342), ("1536x1024", "medium", 48, 1372), ("816x816", "low", 16, 171)],
)
def test_tokens_follow_the_formula(size: str, quality: str, grid: int, tokens: int, vendor: Simulator) -> None:
    assert formula(grid, *(int(edge) for edge in size.split("x"))) == tokens
    assert generate(vendor, size=size, quality=quality).json()["usage"]["output_tokens"] == tokens


def test_older_models_follow_the_table(vendor: Simulator) -> None:
    reply = generate(vendor, model="gpt-image-1.5", size="auto", quality="auto", user="u-1").json()
    assert (reply["size"], reply["quality"], reply["safety_identifier"]) == ("1024x1024", "medium", "u-1")
    assert reply["usage"]["output_tokens"] == 1056


@pytest.mark.parametrize("form", sorted(DRAW))
def test_every_format_is_real(vendor: Simulator, form: str) -> None:
    vendor.defaults = Defaults(image_bytes=50_000)
    reply = generate(vendor, model="gpt-image-2.6-flare", output_format=form).json()
    raw = base64.b64decode(reply["data"][0]["b64_json"])
    assert len(raw) >= 50_000
    assert ("svg_usage" in reply) == (form == "svg")
    if form != "svg":
        picture = opened(reply["data"][0]["b64_json"])
        assert (picture.format or "").lower() == form
        assert getattr(picture, "n_frames", 1) == (9 if form == "gif" else 1)


def test_a_transparent_picture_has_alpha(vendor: Simulator) -> None:
    reply = generate(vendor, background="transparent").json()
    assert reply["background"] == "transparent"
    assert opened(reply["data"][0]["b64_json"]).mode == "RGBA"


def frames_of(text: str) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for frame in text.strip().split("\n\n"):
        event, data = frame.split("\n")
        found.append((event.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_a_stream_is_made_of_frames(vendor: Simulator) -> None:
    response = generate(vendor, stream=True, partial_images=2)
    assert response.headers["content-type"] == "text/event-stream"
    *partials, (event, last) = frames_of(response.text)
    assert [(name, frame["partial_image_index"]) for name, frame in partials] == [
        ("image_generation.partial_image", 0),
        ("image_generation.partial_image", 1),
    ]
    assert event == last["type"] == "image_generation.completed"
    assert last["usage"]["output_tokens"] == 196 + 200
    assert opened(last["b64_json"]).size == (1024, 1024)


def test_a_form_may_ask_for_a_stream(vendor: Simulator) -> None:
    files = {"image": ("a.png", PICTURE, "image/png")}
    response = call(vendor, EDIT, data=FORM | {"stream": "true", "n": "1"}, files=files)
    assert [event for event, _ in frames_of(response.text)] == ["image_edit.completed"]


def test_the_first_half_of_a_stream_arrives_before_the_rest(vendor: Simulator) -> None:
    vendor.answer(Answer(fault="hold_mid_body"))
    ask = ASK | {"stream": True, "partial_images": 1}
    with client(vendor) as http, http.stream("POST", GENERATE, json=ask) as response:
        pieces = response.iter_text()
        assert next(pieces).startswith("event: image_generation.partial_image")
        vendor.release()
        assert "event: image_generation.completed" in "".join(pieces)


def test_malformed_bodies_are_refused(vendor: Simulator) -> None:
    for body in ('{"model": "a", "model": "b"}', "[1]", "{", '{"n": NaN}'):
        response = call(vendor, GENERATE, content=body, headers={"Content-Type": "application/json"})
        assert response.status_code == 400
    response = call(vendor, EDIT, content=b"--x\r\n", headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert response.status_code == 400
    assert all(request.malformed for request in vendor.requests)


def test_models_keys_and_paths(vendor: Simulator, other: Simulator) -> None:
    with client(vendor) as http:
        entries = {entry["id"]: entry for entry in http.get("/models").json()["data"]}
        assert http.get("/models/gpt-image-2").json() == entries["gpt-image-2"]
        assert refusal(http.get("/models/gpt-image-1")) == (404, "model", "model_not_found")
        assert refusal(http.post("/images/variations")) == (404, None, "unknown_url")
    assert entries["gpt-image-1.5"]["shutdown_date"] == "2026-12-01"
    for simulator in (vendor, other):
        response = httpx2.post(simulator.base_url + GENERATE, json=ASK)
        assert refusal(response) == (401, None, "invalid_api_key")
    assert refusal(call(other, EDIT, json=ASK))[0] == 404


def test_together_answers_and_ignores_what_it_does_not_know(other: Simulator) -> None:
    reply = call(other, GENERATE, json=ASK_TOGETHER | {"width": 1536, "height": 1024, "n": 2, "quality": "low"}).json()
    assert set(reply) == {"id", "model", "object", "data"}
    assert [(item["index"], item["type"]) for item in reply["data"]] == [(0, "b64_json"), (1, "b64_json")]
    picture = opened(reply["data"][1]["b64_json"])
    assert (picture.format, picture.size) == ("JPEG", (1536, 1024))
    assert other.requests[0].fields["quality"] == "low"
    by_url = call(other, GENERATE, json=ASK_TOGETHER | {"response_format": "url", "output_format": "png"}).json()
    assert by_url["data"][0]["url"].startswith("https://api.together.ai/shrt/")


@pytest.mark.parametrize(
    ("fields", "param", "status"),
    [
        ({"response_format": "b64_json"}, "response_format", 400),
        ({"width": 512, "height": 512}, "size", 400),
        ({"model": "Qwen/Qwen-Image", "width": 1025}, "width", 400),
        ({"model": "black-forest-labs/FLUX.1-kontext-pro", "width": 1024}, "width", 400),
        ({"model": "black-forest-labs/FLUX.1-schnell"}, "model", 400),
        ({"model": "gpt-image-2"}, "model", 404),
        ({"n": 5}, "n", 400),
        ({"steps": 51}, "steps", 400),
        ({"seed": "1"}, "seed", 400),
        ({"output_format": "webp"}, "output_format", 400),
        ({"prompt": None}, "prompt", 400),
    ],
)
def test_what_together_refuses(other: Simulator, fields: dict[str, Any], param: str, status: int) -> None:
    assert refusal(call(other, GENERATE, json=ASK_TOGETHER | fields))[:2] == (status, param)


def test_kontext_takes_an_aspect_ratio(other: Simulator) -> None:
    wide = {
        "model": "black-forest-labs/FLUX.1-kontext-pro",
        "aspect_ratio": "16:9",
        "image_url": "https://example.com/a.png",
    }
    reply = call(other, GENERATE, json=ASK_TOGETHER | wide).json()
    assert opened(reply["data"][0]["b64_json"]).size == (1360, 768)


def test_answers_are_used_up_in_order(vendor: Simulator) -> None:
    vendor.answer(openai.FAULTS["rate_limit_input_images"], Answer(headers={"X-Request-Id": "req_mine"}))
    limited, marked, usual = (generate(vendor) for _ in range(3))
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "12")
    assert (marked.status_code, marked.headers["x-request-id"]) == (200, "req_mine")
    assert usual.status_code == 200
    assert not vendor.answers


def test_every_failure_is_sent_as_it_stands(vendor: Simulator, other: Simulator) -> None:
    for simulator, faults in ((vendor, openai.FAULTS), (other, together.FAULTS)):
        for fault in faults.values():
            simulator.answer(fault)
            response = call(simulator, GENERATE, json=ASK)
            assert (response.status_code, response.content) == (fault.status, fault.body)


def test_held_answers_wait_until_they_are_released(vendor: Simulator) -> None:
    vendor.answer(*[Answer(hold=True)] * 3)
    with ThreadPoolExecutor() as threads:
        calls = [threads.submit(generate, vendor) for _ in range(3)]
        vendor.await_in_flight(3)
        vendor.release(1)
        vendor.await_in_flight(2)
        assert len(vendor.requests) == 3
        vendor.release()
        assert [each.result().status_code for each in calls] == [200] * 3
    assert (vendor.in_flight, vendor.max_in_flight, vendor.abandoned) == (0, 3, 0)


def test_a_client_that_hangs_up_is_counted(vendor: Simulator) -> None:
    vendor.answer(Answer(hold=True))
    with pytest.raises(httpx2.ReadTimeout), client(vendor, timeout=0.1) as http:
        http.post(GENERATE, json=ASK)
    vendor.await_abandoned(1)
    assert vendor.in_flight == 1
    vendor.release()
    vendor.await_in_flight(0)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("close_before_headers", httpx2.RemoteProtocolError),
        ("reset_before_headers", httpx2.ReadError),
        ("close_mid_body", httpx2.RemoteProtocolError),
        ("garbage", httpx2.RemoteProtocolError),
        ("stall_before_headers", httpx2.ReadTimeout),
        ("stall_after_headers", httpx2.ReadTimeout),
        ("stall_mid_body", httpx2.ReadTimeout),
    ],
)
def test_broken_connections(vendor: Simulator, fault: Fault, error: type[Exception]) -> None:
    vendor.answer(Answer(fault=fault))
    with pytest.raises(error), client(vendor, timeout=0.2) as http:
        http.post(GENERATE, json=ASK)
    assert len(vendor.requests) == 1


@pytest.mark.parametrize("fault", ["not_json", "empty_body", "cut_json"])
def test_broken_documents(vendor: Simulator, fault: Fault) -> None:
    vendor.answer(Answer(fault=fault))
    response = generate(vendor)
    assert response.status_code == 200
    with pytest.raises(ValueError, match=r"."):
        response.json()


def test_leaving_the_block_ends_every_wait() -> None:
    before = threading.active_count()
    with openai.simulator() as vendor, ThreadPoolExecutor() as threads:
        vendor.answer(Answer(fault="stall_after_headers"), Answer(hold=True), Answer(delay=60))
        calls = [threads.submit(generate, vendor) for _ in range(3)]
        vendor.await_requests(3)
        vendor.await_in_flight(2)
        vendor.stop()
        assert sorted(each.exception() is None for each in calls) == [False, True, True]
    assert threading.active_count() == before


def test_the_command_line() -> None:
    options = parsed(["together", "--port", "9102", "--image-bytes", "10", "--delay", "0.5"])
    assert vars(options) == {"vendor": "together", "port": 9102, "image_bytes": 10, "delay": 0.5}
