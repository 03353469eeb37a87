"""HTTP as curl sees it: every refusal is an envelope with an id, and other requests are undisturbed."""

import base64
import json
import re
import secrets
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx2
import pytest

from service.domain.stored_images import clean_filename
from tests.support.gateway import SLOW_STORES, GatewayProcess
from tests.support.images import data_url, open_image, png
from tests.support.images import mask as masked

GENERATIONS = "/v1/images/generations"
EDITS = "/v1/images/edits"
IMAGE_BYTES = png()
BASE64 = base64.b64encode(IMAGE_BYTES).decode()
ADMIN = secrets.token_hex(32)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, config: Path) -> Iterator[GatewayProcess]:
    """A sandbox gateway with small limits and short timeouts."""
    folder = tmp_path_factory.mktemp("strict")
    own = folder / "config"
    own.mkdir()
    for name in ("models.yaml", "teams.yaml"):
        (own / name).write_text((config / name).read_text())
    (own / "gateway.yaml").write_text(
        "requests: {max_json_bytes: 200000, max_form_bytes: 400000, max_image_bytes: 100000, idle_seconds: 0.3,"
        " body_seconds: 2}\n" + SLOW_STORES
    )
    with GatewayProcess(folder / "data", {"IMAGE_GATEWAY_CONFIG": str(own), "ADMIN_API_KEY": ADMIN}) as process:
        yield process


def envelope(reply: httpx2.Response) -> dict[str, object]:
    """Return the error of a reply, after a check of the common fields."""
    body = reply.json()
    assert list(body) == ["error"]
    error: dict[str, object] = body["error"]
    assert {"message", "type", "param", "code"} <= error.keys()
    assert re.fullmatch(r"req_[0-9a-f]{32}", reply.headers["x-request-id"])
    assert reply.headers["x-should-retry"] in {"true", "false"}
    return error


def post(
    http: httpx2.Client, gateway: GatewayProcess, body: bytes | object, path: str = GENERATIONS
) -> httpx2.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return http.post(gateway.url + path, content=content, headers=gateway.headers)


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        (b"", None, "invalid_json"),
        (b"{", None, "invalid_json"),
        (b"[]", None, "invalid_json"),
        (b'"fox"', None, "invalid_json"),
        (b'{"prompt":"\xff"}', None, "invalid_json"),
        (b"\xff\xfe", None, "invalid_json"),
        (b'{"prompt":"a fox","colour":"red"}', "colour", "unknown_parameter"),
        (b"{}", "prompt", "missing_required_parameter"),
        (b'{"prompt":null}', "prompt", "missing_required_parameter"),
        (b'{"prompt":5}', "prompt", "invalid_value"),
        (b'{"prompt":"a fox","n":"2"}', "n", "invalid_value"),
        (b'{"prompt":"a fox","n":0}', "n", "invalid_value"),
        (b'{"prompt":"a fox","n":1e400}', "n", "invalid_value"),
        (b'{"prompt":"a fox","size":"big"}', "size", "invalid_value"),
        (b'{"prompt":"a fox","size":"99999999999x1"}', "size", "invalid_value"),
        (b'{"prompt":"a fox","width":1024}', "height", "invalid_value"),
        (b'{"prompt":"a fox","height":1024}', "width", "invalid_value"),
        (b'{"prompt":"a fox","svg":{"colour":1}}', "svg.colour", "unknown_parameter"),
        (b'{"prompt":"a fox","reference_images":[1]}', "reference_images[0]", "invalid_value"),
        (b'{"prompt":"a fox","image_url":"http://example.com/a.png"}', "image_url", "invalid_image_url"),
        (b'{"prompt":"a fox","image_url":"data:image/png,abc"}', "image_url", "invalid_base64_image"),
        (b'{"prompt":"a fox","image_url":"data:image/png;base64,###"}', "image_url", "invalid_base64_image"),
        (b'{"prompt":"a fox","image_url":"data:image/png;base64,"}', "image_url", "empty_image_file"),
        (b'{"prompt":"a fox","image_url":"data:image/png;base64,AAAA"}', "image_url", "invalid_image"),
    ],
)
def test_bad_json_is_named(http: httpx2.Client, gateway: GatewayProcess, body: bytes, param: str, code: str) -> None:
    reply = post(http, gateway, body)
    error = envelope(reply)
    assert (reply.status_code, error["param"], error["code"]) == (400, param, code), error
    assert reply.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    "url",
    [
        f"DATA:image/png;BASE64, {BASE64}",
        f"data:image/png;base64,{base64.encodebytes(IMAGE_BYTES).decode()}",
        f"data:image/png;base64,{quote(BASE64, safe='')}",
    ],
)
def test_base64_is_accepted_in_common_spellings(http: httpx2.Client, gateway: GatewayProcess, url: str) -> None:
    body = {"prompt": f"a fox {url[:22]}", "images": [{"image_url": url}]}
    reply = http.post(gateway.url + EDITS, content=b"\xef\xbb\xbf" + json.dumps(body).encode(), headers=gateway.headers)
    assert reply.status_code == 200, reply.text


def test_null_means_an_absent_field(http: httpx2.Client, gateway: GatewayProcess) -> None:
    nulls = dict.fromkeys(
        ("n", "size", "quality", "background", "output_format", "user", "svg", "stream", "image_url", "style")
    )
    reply = post(http, gateway, {"prompt": "a fox", **nulls})
    assert reply.status_code == 200, reply.text


@pytest.mark.parametrize("header", [None, "Basic Zm9v", "Bearer", "Bearer igw_wrong", "igw_wrong"])
def test_wrong_keys_are_refused(http: httpx2.Client, gateway: GatewayProcess, header: str | None) -> None:
    headers = {"authorization": header} if header else {}
    reply = http.post(gateway.url + GENERATIONS, json={"prompt": "a fox"}, headers=headers)
    assert (reply.status_code, envelope(reply)["code"]) == (401, "invalid_api_key")
    assert reply.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("POST", "/v1/images/variations", 404, "unknown_path"),
        ("POST", "/v1/chat/completions", 404, "unknown_path"),
        ("GET", "/nowhere", 404, "unknown_path"),
        ("GET", GENERATIONS, 405, "method_not_allowed"),
        ("DELETE", "/v1/models", 405, "method_not_allowed"),
        ("GET", "/v1/models/gpt-5", 404, "model_not_found"),
        ("GET", "/v1/models/dall-e-2", 404, "model_not_found"),
        ("GET", "/v1/images/img_0.png", 404, "picture_not_found"),
        ("GET", "/v1/images/img_0.png?expires=soon", 404, "picture_not_found"),
        ("GET", "/openapi/openapi.json", 404, "unknown_path"),
        ("GET", "/openapi", 404, "unknown_path"),
    ],
)
def test_unknown_paths_are_refused(
    http: httpx2.Client, gateway: GatewayProcess, method: str, path: str, status: int, code: str
) -> None:
    reply = http.request(method, gateway.url + path, headers=gateway.headers)
    assert (reply.status_code, envelope(reply)["code"]) == (status, code)


def test_urls_contain_the_prefix_that_a_proxy_removed(http: httpx2.Client, gateway: GatewayProcess) -> None:
    headers = gateway.headers | {"x-forwarded-prefix": "/draw/", "x-forwarded-proto": "https", "host": "images.example"}
    body = {"prompt": "a fox", "response_format": "url"}
    (item,) = http.post(gateway.url + GENERATIONS, json=body, headers=headers).json()["data"]
    assert item["url"].startswith("https://images.example/draw/v1/images/img_")
    for page, link in (("/docs", "openapi.yaml"), ("/docs/", "../openapi.yaml")):
        assert set(re.findall(r'href="([^"]*openapi[^"]*)"', http.get(gateway.url + page).text)) == {link}
    assert "- url: .\n" in http.get(f"{gateway.url}/openapi.yaml").text


def test_azures_header_authenticates_callers(http: httpx2.Client, gateway: GatewayProcess) -> None:
    models, key = f"{gateway.url}/openai/v1/models", gateway.key
    assert http.get(models, headers={"api-key": key}).status_code == 200
    for headers in ({"api-key": "igw_wrong"}, {"api-key": ""}, {"api-key": key, "authorization": "Bearer igw_wrong"}):
        reply = http.get(models, headers=headers)
        assert (reply.status_code, envelope(reply)["code"]) == (401, "invalid_api_key")
    twice = http.get(models, headers=[("api-key", key), ("api-key", "igw_wrong")])
    assert (twice.status_code, envelope(twice)["code"]) == (400, "invalid_request")
    assert http.get(f"{gateway.url}/admin/v1/keys", headers={"api-key": ADMIN}).status_code == 401


def test_a_model_in_the_path_selects_the_model(http: httpx2.Client, gateway: GatewayProcess) -> None:
    """Azure's path of a deployment names it with or without its slash escaped. A body may name no other."""
    for model in ("black-forest-labs/FLUX.2-pro", "black-forest-labs%2FFLUX.2-pro", "gpt-5"):
        path = f"/openai/deployments/{model}/images/generations?api-version=2025-04-01-preview"
        reply = post(http, gateway, {"prompt": "a fox"}, path)
        if model == "gpt-5":
            assert (reply.status_code, envelope(reply)["code"]) == (404, "model_not_found")
        else:
            assert (reply.status_code, reply.json()["model"]) == (200, "black-forest-labs/FLUX.2-pro"), reply.text
    other = post(http, gateway, {"prompt": "a fox", "model": "gpt-image-2"}, path)
    assert (other.status_code, envelope(other)["param"]) == (400, "model")
    line = gateway.await_logged("request", request_id=other.headers["x-request-id"])
    assert line["path"] == GENERATIONS


@pytest.mark.parametrize(
    "path",
    [
        "/health/live",
        "/health/ready",
        "/health/live/",
        "/docs",
        "/openapi.yaml",
        "/metrics",
        "/metrics/",
        "/v1/models",
        "/v1/models/gpt-image-2",
        "/v1/models/gpt-5",
        "/v1/usage?since=2026-01-01&until=2026-01-02",
        "/v1/files/img_0",
        "/v1/images/img_0.png",
        "/nowhere",
        GENERATIONS,
    ],
)
def test_head_returns_the_headers_of_get(http: httpx2.Client, gateway: GatewayProcess, path: str) -> None:
    """Probes of load balancers and link checkers send HEAD. The connection stays usable after the response."""
    got, head = (http.request(method, gateway.url + path, headers=gateway.headers) for method in ("GET", "HEAD"))
    assert (head.status_code, head.content) == (got.status_code, b"")
    varying = {"date", "x-request-id", "content-length"} if path.startswith("/metrics") else {"date", "x-request-id"}
    heads = [{name: value for name, value in reply.headers.items() if name not in varying} for reply in (got, head)]
    assert heads[0] == heads[1]
    assert int(head.headers["content-length"]) > 0
    if path.startswith(("/metrics", "/health")):  # neither has a line in the log
        return
    line = gateway.await_logged("request", request_id=head.headers["x-request-id"])
    assert (line["method"], line["status"]) == ("HEAD", head.status_code)


@pytest.mark.parametrize("path", ["/admin/v1/keys", "/admin/v1/teams", "/admin/v1/export?format=csv"])
def test_head_is_served_to_operators(http: httpx2.Client, gateway: GatewayProcess, path: str) -> None:
    for key, status in ((ADMIN, 200), ("wrong", 401)):
        reply = http.head(gateway.url + path, headers={"authorization": f"Bearer {key}"})
        assert (reply.status_code, reply.content) == (status, b"")


def test_a_404_names_the_offered_paths(http: httpx2.Client, gateway: GatewayProcess) -> None:
    message = envelope(http.post(gateway.url + "/v1/images/variations", headers=gateway.headers))["message"]
    assert "POST /v1/images/edits" in str(message)


def test_large_bodies_are_refused(http: httpx2.Client, gateway: GatewayProcess) -> None:
    announced = post(http, gateway, b'{"prompt":"' + b"a" * 300_000 + b'"}')
    assert (announced.status_code, envelope(announced)["code"]) == (413, "request_too_large")
    streamed = http.post(gateway.url + GENERATIONS, content=iter([b" " * 150_000] * 2), headers=gateway.headers)
    assert (streamed.status_code, envelope(streamed)["code"]) == (413, "request_too_large")


def half_a_request(gateway: GatewayProcess, path: str) -> socket.socket:
    """Open a connection with an announced body that has only begun."""
    host, _, port = urlsplit(gateway.url).netloc.rpartition(":")
    caller = socket.create_connection((host, int(port)), timeout=10)
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {gateway.key}\r\ncontent-length: 99"
    caller.sendall(f"{head}\r\n\r\n{{".encode())
    return caller


def test_a_body_that_stops_arriving_times_out(gateway: GatewayProcess) -> None:
    with half_a_request(gateway, GENERATIONS) as caller:
        assert caller.recv(4096).startswith(b"HTTP/1.1 408")


FORM_OF_ANY = b'--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'


@pytest.mark.parametrize(
    ("path", "content_type", "start"),
    [
        (GENERATIONS, "application/json", b'{"prompt":"'),
        (EDITS, "application/json", b'{"prompt":"'),
        (EDITS, "multipart/form-data; boundary=x", FORM_OF_ANY.replace(b"file", b"image", 1)),
        ("/v1/files", "multipart/form-data; boundary=x", FORM_OF_ANY),
        ("/admin/v1/keys", "application/json", b'{"team":"'),
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_arrives_too_slowly_times_out(
    gateway: GatewayProcess, path: str, content_type: str, start: bytes, *, chunked: bool
) -> None:
    """The body never pauses for long, but would take for ever."""
    host, _, port = urlsplit(gateway.url).netloc.rpartition(":")
    key = ADMIN if path.startswith("/admin") else gateway.key
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-type: {content_type}\r\n"
    length = "transfer-encoding: chunked" if chunked else "content-length: 5000"
    with socket.create_connection((host, int(port)), timeout=0.03) as caller:
        caller.sendall(
            f"{head}{length}\r\n\r\n".encode() + (b"%x\r\n%s\r\n" % (len(start), start) if chunked else start)
        )
        answer, drops = b"", 0
        while not answer and drops < 1000:
            with suppress(TimeoutError):
                answer = caller.recv(65536)
                break
            caller.sendall(b"1\r\na\r\n" if chunked else b"a")
            drops += 1
        caller.settimeout(10)
        with suppress(ConnectionError):
            while piece := caller.recv(65536):
                answer += piece
    assert answer.startswith(b"HTTP/1.1 408"), (answer, drops)
    assert b"\r\nconnection: close\r\n" in answer
    error = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    assert (error["code"], error["type"]) == ("request_timeout", "invalid_request_error")


def test_a_caller_that_disconnects_in_its_body_causes_no_crash(gateway: GatewayProcess) -> None:
    half_a_request(gateway, EDITS).close()
    assert gateway.await_logged("request", path=EDITS, error="client_closed_request")["status"] == 499


FORM = "multipart/form-data; boundary=x"


def form(*parts: tuple[str, bytes], charset: str = "utf-8") -> bytes:
    pieces = [
        b"--x\r\ncontent-disposition: form-data; " + head.encode(charset) + b"\r\n\r\n" + body for head, body in parts
    ]
    return b"\r\n".join(pieces) + b"\r\n--x--\r\n"


PROMPT = ('name="prompt"', b"a fox")
IMAGE = ('name="image"; filename="upload"', png())
UNKNOWN = ("unknown_parameter", 400)


@pytest.mark.parametrize(
    ("content_type", "body", "param", "code", "status"),
    [
        ("multipart/form-data", form(PROMPT, IMAGE), None, "invalid_form", 400),
        (FORM, b"no form", None, "invalid_form", 400),
        (FORM, form(PROMPT, IMAGE)[:-10], None, "invalid_form", 400),
        (FORM, form(PROMPT), "image", "invalid_value", 400),
        (FORM, form(IMAGE), "prompt", "missing_required_parameter", 400),
        (FORM, form(PROMPT, ('name="prompt"', b"a hen"), IMAGE), "prompt", "invalid_value", 400),
        (FORM, form(PROMPT, IMAGE, ('name="images[]"; filename="x.png"', png())), "images[]", *UNKNOWN),
        (FORM, form(('name="images[]"; filename="x"', b"\xff" * 300_000), PROMPT, IMAGE), "images[]", *UNKNOWN),
        (FORM, form(('name="images[]"', b"\xff" * 300_000), PROMPT, IMAGE), "images[]", *UNKNOWN),
        (FORM, form(PROMPT, IMAGE, ('name="masks"; filename="x"', png())), "masks", *UNKNOWN),
        (FORM, form(PROMPT, IMAGE, (f'name="{"m" * 999}"; filename="x"', png())), "m" * 200, *UNKNOWN),
        (FORM, form(PROMPT, IMAGE, ('name="file"; filename="x"', png())), "file", *UNKNOWN),
        (FORM, form(PROMPT, IMAGE, ('name="mask[]"', png())), "mask", "invalid_value", 400),
        (
            FORM,
            form(PROMPT, IMAGE, *((f'name="{part}"; filename="a"', png()) for part in ("mask", "mask[]"))),
            "mask",
            "invalid_value",
            400,
        ),
        (FORM, form(PROMPT, ('name="image"', b"https://example.com")), "image", "invalid_value", 400),
        (FORM, form(PROMPT, IMAGE, ('name="colour"', b"red")), "colour", "unknown_parameter", 400),
        (FORM, form(PROMPT, IMAGE, ('name="n"', b"two")), "n", "invalid_value", 400),
        (FORM, form(PROMPT, IMAGE, ('name="svg[model]"', b"x"), ('name="svg"', b"x")), "svg", "invalid_value", 400),
        (FORM, form(PROMPT, IMAGE, ('name="svg"', b"x"), ('name="svg[model]"', b"x")), "svg", "invalid_value", 400),
        (FORM, form(('name="prompt"', b"\xff"), IMAGE), "prompt", "invalid_form", 400),
        (FORM, form(PROMPT, ('name="image"; filename="a"', b"")), "image[0]", "empty_image_file", 400),
        (FORM, form(PROMPT, ('name="image"; filename=""', b"")), "image", "invalid_value", 400),
        (FORM, form(PROMPT, IMAGE, ('name="\u00e4"; filename=""', b"")), "\u00e4", *UNKNOWN),
        (FORM, form(PROMPT, ('name="image"; filename="a"', b"GIF89a, or so")), "image[0]", "invalid_image", 400),
        (
            FORM,
            form(PROMPT, ('name="image"; filename="a"', png(kind="GIF"))),
            "image[0]",
            "unsupported_file_mimetype",
            400,
        ),
        (FORM, form(PROMPT, IMAGE, ('name="mask"; filename="a"', png())), "mask", "invalid_value", 400),
        (FORM, form(PROMPT, IMAGE, *[('name="mask"; filename="a"', png())] * 2), "mask", "invalid_value", 400),
        (FORM, form(PROMPT, *[IMAGE] * 17), "image", "invalid_value", 400),
        (
            FORM,
            form(PROMPT, ('name="image"; filename="a"', b"\x89PNG" + b"a" * 150_000)),
            "image[0]",
            "request_too_large",
            413,
        ),
        (FORM, form(('name="prompt"', b"a" * 300_000), IMAGE), "prompt", "request_too_large", 413),
        (FORM, form(PROMPT, *[('name="image"; filename="a"', b"a" * 90_000)] * 5), None, "request_too_large", 413),
    ],
)
def test_invalid_forms_are_refused_by_name(
    http: httpx2.Client, gateway: GatewayProcess, content_type: str, body: bytes, param: str, code: str, status: int
) -> None:
    headers = gateway.headers | {"content-type": content_type}
    reply = http.post(gateway.url + EDITS, content=body, headers=headers)
    error = envelope(reply)
    assert (reply.status_code, error["param"], error["code"]) == (status, param, code), error


def edit_form(http: httpx2.Client, gateway: GatewayProcess, body: bytes) -> httpx2.Response:
    return http.post(gateway.url + EDITS, content=body, headers=gateway.headers | {"content-type": FORM})


def test_an_unknown_file_field_is_refused_with_a_list(http: httpx2.Client, gateway: GatewayProcess) -> None:
    error = envelope(edit_form(http, gateway, form(PROMPT, ('name="images[]"; filename="x.png"', png()))))
    assert error["message"] == "Unknown parameter: 'images[]'. Files of this form are 'image', 'markup', 'mask'."


def test_an_image_without_a_file_name_is_refused_with_the_reason(http: httpx2.Client, gateway: GatewayProcess) -> None:
    error = envelope(edit_form(http, gateway, form(PROMPT, ('name="image[]"', png()))))
    assert (error["message"], error["param"]) == ("'image[]' must be a file, and its part has no filename.", "image")


@pytest.mark.parametrize("name", ["mask", "mask[]", "mask[0]"])
def test_a_mask_in_brackets_is_accepted(http: httpx2.Client, gateway: GatewayProcess, name: str) -> None:
    mask = (f'name="{name}"; filename="x"', masked())
    drawn = edit_form(http, gateway, form(PROMPT, IMAGE, mask))
    plain = edit_form(http, gateway, form(PROMPT, IMAGE))
    assert (drawn.status_code, drawn.json()["data"] == plain.json()["data"]) == (200, False)


def test_an_empty_file_input_is_ignored(http: httpx2.Client, gateway: GatewayProcess) -> None:
    empty = [
        (f'name="{name}"; filename=""\r\ncontent-type: application/octet-stream', b"") for name in ("image", "mask")
    ]
    reply = edit_form(http, gateway, form(PROMPT, *empty, IMAGE))
    assert reply.json()["data"] == edit_form(http, gateway, form(PROMPT, IMAGE)).json()["data"]


@pytest.mark.parametrize("charset", ["utf-8", "latin-1"])
@pytest.mark.parametrize("name", ["f\u00fcchse \u00a0\u0085.png", "a fox.png", '\u00ff\\"\u00e4'])
def test_a_file_may_have_any_name(http: httpx2.Client, gateway: GatewayProcess, charset: str, name: str) -> None:
    body = form(('name="purpose"', b"vision"), (f'name="file"; filename="{name}"', png()), charset=charset)
    reply = http.post(gateway.url + "/v1/files", content=body, headers=gateway.headers | {"content-type": FORM})
    assert (reply.status_code, reply.json()["filename"]) == (200, clean_filename(name.replace('\\"', '"')))


def test_a_field_may_be_repeated_with_one_value(http: httpx2.Client, gateway: GatewayProcess) -> None:
    reply = edit_form(http, gateway, form(PROMPT, PROMPT, ('name="n"', b"1"), ('name="n"', b"1"), IMAGE))
    assert reply.status_code == 200, reply.text


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"images": []}, "images", "invalid_value"),
        ({}, "images", "missing_required_parameter"),
        ({"images": [{}]}, "images[0].image_url", "invalid_value"),
        (
            {"images": [{"image_url": data_url(png())}], "mask": {"image_url": data_url(png())}},
            "mask.image_url",
            "invalid_value",
        ),
        ({"images": [{"image_url": "https://127.0.0.1/a.png"}]}, "images[0].image_url", "invalid_image_url"),
        ({"images": [{"image_url": "https://169.254.169.254/latest"}]}, "images[0].image_url", "invalid_image_url"),
        ({"images": [{"image_url": "file:///etc/passwd"}]}, "images[0].image_url", "invalid_image_url"),
        ({"images": [{"image_url": "https://x/" + "a" * 9000}]}, "images[0].image_url", "invalid_image_url"),
        ({"images": [{"image_url": data_url(png()), "detail": "high"}]}, "images[0].detail", "unknown_parameter"),
    ],
)
def test_invalid_json_edits_are_refused_by_name(
    http: httpx2.Client, gateway: GatewayProcess, body: dict[str, object], param: str, code: str
) -> None:
    reply = post(http, gateway, {"prompt": "a fox"} | body, EDITS)
    error = envelope(reply)
    assert (reply.status_code, error["param"], error["code"]) == (400, param, code), error


def test_files_may_come_before_fields(http: httpx2.Client, gateway: GatewayProcess) -> None:
    body = form(IMAGE, ('name="n"', b"2"), ('name="stream"', b"false"), PROMPT)
    reply = http.post(gateway.url + EDITS, content=body, headers=gateway.headers | {"content-type": FORM})
    assert len(reply.json()["data"]) == 2


def test_a_callers_request_id_is_used_if_it_is_harmless(http: httpx2.Client, gateway: GatewayProcess) -> None:
    used = http.get(gateway.url + "/health/live", headers={"x-request-id": "ingress-42"})
    assert used.headers["x-request-id"] == "ingress-42"
    replaced = http.get(gateway.url + "/health/live", headers={"x-request-id": "a b<script>"})
    assert replaced.headers["x-request-id"].startswith("req_")


def test_the_log_has_one_line_per_request_and_nothing_private(http: httpx2.Client, gateway: GatewayProcess) -> None:
    body = {"prompt": "a secret fox", "quality": "low", "size": "1024x1024", "user": "alice@example.com"}
    reply = post(http, gateway, body)
    line = gateway.await_logged("request", request_id=reply.headers["x-request-id"])
    facts = {"team": "dev", "key": "dev", "model": "gpt-image-2", "tier": "low", "size": "1024x1024", "n": 1}
    assert facts | {"backend": "sandbox", "status": 200, "bytes": len(reply.content)} == {
        name: line[name] for name in (*facts, "backend", "status", "bytes")
    }
    text = "".join(gateway.lines)
    for private in ("secret fox", "alice@example.com", gateway.key.removeprefix("igw_")[:20] + "zz", "iVBOR"):
        assert private not in text


def test_signed_urls_expire_and_cannot_be_altered(http: httpx2.Client, gateway: GatewayProcess) -> None:
    item = post(http, gateway, {"prompt": "a fox", "response_format": "url"}).json()["data"][0]
    assert open_image(item, http).format == "PNG"
    address = item["url"]
    file = gateway.data / "pictures" / f"{item['id']}.png"
    assert file.read_bytes() == http.get(address).content
    forged = address[:-1] + ("1" if address.endswith("0") else "0")
    for altered in (forged, re.sub(r"expires=\d", "expires=9", address), address.replace("img_", "img_0")):
        assert envelope(http.get(altered))["code"] == "picture_not_found"
    file.unlink()
    assert envelope(http.get(address))["code"] == "picture_not_found"
    again = post(http, gateway, {"prompt": "a fox", "response_format": "url"})
    assert (again.headers["x-gateway-cache"], open_image(again.json()["data"][0], http).format) == ("hit", "PNG")


def test_inline_images_are_also_stored_in_dev(http: httpx2.Client, gateway: GatewayProcess) -> None:
    item = post(http, gateway, {"prompt": "a fox to keep"}).json()["data"][0]
    assert (gateway.data / "pictures" / f"{item['id']}.png").exists()


def test_the_model_list_has_the_abilities_of_each_model(http: httpx2.Client, gateway: GatewayProcess) -> None:
    models = {
        model["id"]: model for model in http.get(gateway.url + "/v1/models", headers=gateway.headers).json()["data"]
    }
    sunburst = models["gpt-image-2.6-sunburst"]["capabilities"]
    assert sunburst["tiers"] == ["low", "medium", "high", "xhigh", "max"]
    assert sunburst["sizes"]["max_pixels"] == 8_294_400
    old = models["gpt-image-1.5"]
    assert (old["successor"], old["capabilities"]["sizes"]["choices"][0]) == ("gpt-image-2", "1024x1024")
    price = models["gpt-image-2"]["prices"][0]
    assert (price["backend"], price["per_million_tokens"]["image_out"]) == ("sandbox", 30)
    by_alias = http.get(gateway.url + "/v1/models/openai/gpt-image-2", headers=gateway.headers).json()
    assert by_alias == models["gpt-image-2"]


def test_health_and_documents_need_no_key(http: httpx2.Client, gateway: GatewayProcess) -> None:
    for path in ("/health/live", "/health/ready"):
        assert http.get(gateway.url + path).json() == {"status": "ok"}
    page = http.get(gateway.url + "/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "/v1/images/generations" in page.text
    assert http.get(gateway.url + "/openapi.yaml").headers["content-type"].startswith("application/yaml")


def test_an_uncached_image_of_the_sandbox_is_new(http: httpx2.Client, tmp_path: Path, shipped: Path) -> None:
    def drawn(gateway: GatewayProcess, n: int = 1, **headers: str) -> list[str]:
        sent = gateway.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        reply = http.post(gateway.url + GENERATIONS, json={"prompt": "a fox", "n": n}, headers=sent)
        return [item["b64_json"] for item in reply.json()["data"]]

    with GatewayProcess(tmp_path, {"IMAGE_GATEWAY_CONFIG": str(shipped)}) as gateway:
        cached, again = drawn(gateway), drawn(gateway)
        several = drawn(gateway, n=2) + drawn(gateway, n=2, cache_control="no-store")
        anew = [drawn(gateway, cache_control="no-store") for _ in range(2)] + [drawn(gateway, x_gateway_variant="1")]
        assert cached == again == drawn(gateway)

    assert len({*cached, *several, *(image for images in anew for image in images)}) == 8
