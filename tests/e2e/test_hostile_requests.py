"""Hostile or broken callers: the response to each, byte for byte, and an unchanged gateway afterwards."""

import json
import secrets
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import psutil
import pytest

from tests.support.compression_bombs import deflated
from tests.support.gateway import SLOW_STORES, GatewayProcess
from tests.support.images import png

MEGABYTE = 1_000_000
ADMIN = secrets.token_hex(32)
BODY = b'{"prompt":"a fox","size":"1024x1024","quality":"low"}'
GENERATIONS, EDITS, FILES = "/v1/images/generations", "/v1/images/edits", "/v1/files"
REFUSED = b"HTTP/1.1 400 Bad Request"
OVERSIZED = b"HTTP/1.1 431 Request Header Fields Too Large"
SETTINGS = """
requests:
  max_head_bytes: 65536
  max_json_bytes: 2000000
  max_form_bytes: 20000000
  max_image_bytes: 16000000
  head_seconds: 0.3
  idle_seconds: 0.3
  stall_seconds: 0.3
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, config: Path) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("hostile")
    own = folder / "config"
    own.mkdir()
    for name in ("models.yaml", "teams.yaml"):
        (own / name).write_text((config / name).read_text())
    (own / "gateway.yaml").write_text(SETTINGS + SLOW_STORES)
    environment = {"IMAGE_GATEWAY_CONFIG": str(own), "ADMIN_API_KEY": ADMIN}
    with GatewayProcess(folder / "data", environment) as process:
        yield process


@pytest.fixture(autouse=True)
def _still_serves(gateway: GatewayProcess, http: httpx2.Client) -> Iterator[None]:
    yield
    reply = http.post(gateway.url + GENERATIONS, content=BODY, headers=gateway.headers)
    assert reply.status_code == 200, reply.text
    assert [line for line in gateway.logged() if line["event"] == "crash"] == []


def connected(gateway: GatewayProcess) -> socket.socket:
    host, _, port = urlsplit(gateway.url).netloc.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=20)


def send(gateway: GatewayProcess, request: bytes) -> bytes:
    """Send a request. Returns all bytes until the gateway disconnects."""
    with connected(gateway) as caller:
        with suppress(ConnectionError):
            caller.sendall(request)
        return rest(caller)


def rest(caller: socket.socket) -> bytes:
    """Read until the gateway disconnects. A caller that is disconnected while it sends may miss the response."""
    answer = b""
    with suppress(ConnectionError):
        while piece := caller.recv(65536):
            answer += piece
    return answer


def is_oversized(answer: bytes, sent: int) -> bool:
    """Return whether a request was refused for its size. A much larger one may be disconnected without a response."""
    return answer.startswith(OVERSIZED) or (sent > MEGABYTE // 2 and answer == b"")


def head(gateway: GatewayProcess, lines: str = "", first: str = "GET /v1/models HTTP/1.1") -> bytes:
    known = f"host: x\r\nconnection: close\r\nauthorization: Bearer {gateway.key}\r\n"
    return f"{first}\r\n{known}{lines}\r\n".encode("latin-1")


def posted(gateway: GatewayProcess, lines: str, body: bytes) -> bytes:
    return send(gateway, head(gateway, lines, f"POST {GENERATIONS} HTTP/1.1") + body)


def is_refused(answer: bytes) -> bool:
    """Return whether the response is a 400 in the envelope, with an id, and ends the connection."""
    lines = answer.partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
    assert any(line.startswith(b"x-request-id: req_") for line in lines), answer
    assert {b"connection: close", b"x-should-retry: false"} <= {*lines}, answer
    return parse_error(answer) == (400, None, "invalid_request")


def parse_error(answer: bytes) -> tuple[int, str | None, str]:
    status, body = answer.split(b" ", 2)[1], answer.partition(b"\r\n\r\n")[2]
    error = json.loads(body)["error"]
    return int(status), error["param"], error["code"]


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ("x: " + "a" * 60_000 + "\r\n", b"HTTP/1.1 200 OK"),
        ("x: " + "a" * 65_536 + "\r\n", OVERSIZED),
        ("x: " + "a" * 10_000_000 + "\r\n", OVERSIZED),
        ("".join(f"x-{number}: a\r\n" for number in range(1000)), b"HTTP/1.1 200 OK"),
        ("".join(f"x-{number}: a\r\n" for number in range(100_000)), OVERSIZED),
        ("x: a\r\n b\r\n", REFUSED),
        ("x: a\0b\r\n", REFUSED),
        ("x: a\rset-cookie: b\r\n", REFUSED),
        ("x-request-id: \x1b[31m\r\n", REFUSED),
        ("x-gateway-tags: \x1b[31m=1\r\n", REFUSED),
        ("x : a\r\n", REFUSED),
    ],
    ids=[
        "60 kB",
        "64 kB",
        "10 MB",
        "1000 lines",
        "100000 lines",
        "folded",
        "NUL",
        "bare CR",
        "ANSI id",
        "ANSI tag",
        "space",
    ],
)
def test_a_hostile_head_gets_its_status(gateway: GatewayProcess, lines: str, status: bytes) -> None:
    answer = send(gateway, head(gateway, lines))
    assert is_oversized(answer, len(lines)) if status == OVERSIZED else answer.startswith(status)
    assert status != REFUSED or is_refused(answer)


def test_endless_heads_are_refused_before_authentication(gateway: GatewayProcess) -> None:
    before = psutil.Process(gateway.pid).memory_info().rss
    for endless in (b"\r\n" * MEGABYTE, b"GET / HTTP/1.1\r\nx: " + b"a" * 30 * MEGABYTE, b"GET /" + b"a" * MEGABYTE):
        assert send(gateway, endless)[:12] in {b"HTTP/1.1 431", b"HTTP/1.1 400", b""}
    assert psutil.Process(gateway.pid).memory_info().rss - before < 50 * MEGABYTE


CHUNKED = "transfer-encoding: chunked\r\n"


@pytest.mark.parametrize(
    ("lines", "body", "status"),
    [
        ("content-length: 5\r\n" + CHUNKED, b"0\r\n\r\n", REFUSED),
        (CHUNKED + "content-length: 5\r\n", b"0\r\n\r\n", REFUSED),
        ("content-length: 5\r\ncontent-length: 6\r\n", b"abcdef", REFUSED),
        ("content-length: 2\r\ncontent-length: 2\r\n", b"{}", REFUSED),
        ("content-length: 2, 2\r\n", b"{}", REFUSED),
        ("content-length: +2\r\n", b"{}", REFUSED),
        ("content-length: -1\r\n", b"{}", REFUSED),
        ("transfer-encoding: xchunked\r\n", b"0\r\n\r\n", REFUSED),
        ("transfer-encoding: chunked, identity\r\n", b"0\r\n\r\n", REFUSED),
        ("transfer-encoding: \x0bchunked\r\n", b"0\r\n\r\n", REFUSED),
        (CHUNKED + "transfer-encoding: identity\r\n", b"0\r\n\r\n", REFUSED),
        (CHUNKED, b"2\n{}\n0\n\n", REFUSED),
        (CHUNKED, b"-2\r\n{}\r\n0\r\n\r\n", REFUSED),
        (CHUNKED, b"fffffffffffffffff\r\n{}", REFUSED),
        (CHUNKED, b"2;" + b"a" * MEGABYTE + b"\r\n{}\r\n0\r\n\r\n", OVERSIZED),
        (CHUNKED, b"2\r\n{}\r\n0\r\n" + b"x: y\r\n" * 100_000 + b"\r\n", OVERSIZED),
        (CHUNKED, b"2\r\n{}\r\n0\r\n" + b"x: y\r\n" * 16_000 + b"\r\n", OVERSIZED),
        (CHUNKED, (b"1;" + b"a" * 40_000 + b"\r\n \r\n") * 2 + b"0\r\n\r\n", OVERSIZED),
    ],
)
def test_ambiguous_lengths_are_refused(gateway: GatewayProcess, lines: str, body: bytes, status: bytes) -> None:
    answer = posted(gateway, lines, body)
    assert is_oversized(answer, len(body)) if status == OVERSIZED else answer.startswith(status)
    assert status != REFUSED or is_refused(answer)
    assert status != OVERSIZED or not answer or parse_error(answer)[2] == "request_header_fields_too_large"


OFFER = "connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAA\r\n"


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("chunked", [False, True])
def test_an_upgrade_header_is_ignored(gateway: GatewayProcess, *, apart: bool, chunked: bool) -> None:
    """The JDK's client sends this header over plain http. The body stays the body, in one packet or two."""
    length = CHUNKED if chunked else f"content-length: {len(BODY)}\r\n"
    start = f"POST {GENERATIONS} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {gateway.key}\r\n{OFFER}{length}\r\n"
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY) if chunked else BODY
    last = head(gateway, first="GET /health/live HTTP/1.1")
    with connected(gateway) as caller:
        caller.sendall(start.encode() if apart else start.encode() + body + last)
        if apart:
            caller.sendall(body + last)
        answers = rest(caller)
    assert answers.count(b"HTTP/1.1 200 OK") == 2
    assert b'"b64_json"' in answers
    assert answers.endswith(b'{"status":"ok"}')


@pytest.mark.parametrize("path", [GENERATIONS, EDITS, FILES, "/admin/v1/keys"])
@pytest.mark.parametrize("apart", [False, True])
def test_a_trailer_is_not_read_as_a_header(gateway: GatewayProcess, path: str, *, apart: bool) -> None:
    """A key in a trailer authenticates nothing, in the packet of the head or in a separate one."""
    start = f"POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{CHUNKED}\r\n".encode()
    rest_of_it = b"%x\r\n%s\r\n0\r\n" % (len(BODY), BODY)
    trailers = b"".join(b"authorization: Bearer %s\r\n" % key.encode() for key in (gateway.key, ADMIN))
    for trailer in (trailers, *trailers.splitlines(keepends=True)):
        with connected(gateway) as caller:
            caller.sendall(start if apart else start + rest_of_it + trailer + b"\r\n")
            if apart:
                with suppress(ConnectionError):
                    caller.sendall(rest_of_it + trailer + b"\r\n")
            assert parse_error(rest(caller)) == (401, None, "invalid_api_key")


@pytest.mark.parametrize(
    ("first", "lines"),
    [
        ("GET /v1/models HTTP/1.1", ""),
        ("GET /v1/models HTTP/1.1", "host: x\r\nhost: y\r\n"),
        ("GET /v1/models HTTP/1.1", "host: x\r\nauthorization: Bearer {key}\r\nauthorization: Bearer {key}\r\n"),
        ("GET /v1/models HTTP/2.0", "host: x\r\n"),
        ("GET /v1/models HTTP/0.9", "host: x\r\n"),
        ("GET /metrics HTTP/1.1", ""),
        ("GET /admin/v1/keys HTTP/1.1", "host: x\r\nauthorization: Bearer a\r\nauthorization: Bearer b\r\n"),
        ("POST /v1/images/generations HTTP/1.0", CHUNKED),
        ("GET /v1/models", ""),
    ],
)
def test_ambiguous_heads_are_refused(gateway: GatewayProcess, first: str, lines: str) -> None:
    answer = send(gateway, f"{first}\r\n{lines.replace('{key}', gateway.key)}\r\n".encode())
    assert is_refused(answer)
    request_id = answer.partition(b"x-request-id: ")[2].partition(b"\r\n")[0].decode()
    assert gateway.await_logged("request", request_id=request_id)["status"] == 400


def sized(body: bytes, lines: str = "") -> tuple[str, bytes]:
    return f"{lines}content-length: {len(body)}\r\n", body


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (("content-length: 9223372036854775808\r\n", b"{}"), (413, None, "request_too_large")),
        ((CHUNKED, b"ffffffff\r\n{}"), (408, None, "request_timeout")),
        (("transfer-encoding: gzip, chunked\r\n", b"0\r\n\r\n"), (400, "transfer-encoding", "invalid_value")),
        (
            sized(deflated(), "content-encoding: deflate\r\n"),
            (400, "content-encoding", "invalid_value"),
        ),
        (sized(BODY, "content-encoding: br\r\n"), (400, "content-encoding", "invalid_value")),
        (sized(b"[" * 100_000 + b"]" * 100_000), (400, None, "invalid_json")),
        (sized(b'{"prompt":"a","image_url":' + b"[" * 100_000), (400, None, "invalid_json")),
        (sized(b'{"prompt":"a","reference_images":[' + b'{"a":' * 100_000), (400, None, "invalid_json")),
        (sized(b'{"prompt":"a","n":' + b"9" * 10_000 + b"}"), (400, "n", "invalid_value")),
        (sized(b'{"prompt":"a","seed":' + b"9" * 10_000 + b"}"), (400, "seed", "invalid_value")),
        (sized(b'{"prompt":"a","prompt":"b","n":1,"n":20}'), (400, "n", "invalid_value")),
        (sized(b'{"prompt":"\\ud800"}'), (400, None, "invalid_json")),
        (sized(b'{"prompt":"a\0"}'), (400, None, "invalid_json")),
        (sized(b"\xef\xbb\xbf"), (400, None, "invalid_json")),
        (sized(BODY.decode().encode("utf-16")), (400, None, "invalid_json")),
        (sized(b'{"prompt":"a","guidance_scale":NaN}'), (400, None, "invalid_json")),
        (sized(b'{"prompt":"a","\\u001b[31m\\n":1}'), (400, "\x1b[31m\n", "unknown_parameter")),
        (sized(b'{"prompt":"a","' + b"k" * MEGABYTE + b'":1}'), (400, "k" * 200, "unknown_parameter")),
        (
            sized(b'{"prompt":"a","reference_images":["https://\xff"]}'),
            (400, "reference_images[0]", "invalid_value"),
        ),
        (
            sized(b'{"prompt":"a","reference_images":["https://[2.600::1@@@@]@/a b"]}'),
            (400, "reference_images[0]", "invalid_image_url"),
        ),
        (
            sized(b'{"prompt":"a","reference_images":[' + b",".join([b'"https://a/"'] * 50_000) + b"]}"),
            (400, "image", "invalid_value"),
        ),
        (sized(BODY, "x-gateway-tags: " + "a" * 60_000 + "\r\n"), (400, "x-gateway-tags", "invalid_value")),
        (sized(BODY, "idempotency-key: a\tb\r\n"), (400, "idempotency-key", "invalid_value")),
        (sized(BODY, "cache-control: max-age=" + "9" * 5000 + "\r\n"), (400, "cache-control", "invalid_value")),
        (sized(BODY, "x-gateway-variant: \xb2\r\n"), (400, "x-gateway-variant", "invalid_value")),
    ],
)
def test_hostile_bodies(gateway: GatewayProcess, sent: tuple[str, bytes], error: tuple[int, str | None, str]) -> None:
    answer = posted(gateway, *sent)
    assert parse_error(answer) == error
    assert len(answer) < 2000


PROMPT = ('name="prompt"', b"a fox")
IMAGE_PART = ('name="image"; filename="a"', png())


def form(*parts: tuple[str, bytes], boundary: str = "x") -> bytes:
    pieces = [f"--{boundary}\r\ncontent-disposition: form-data; {name}\r\n\r\n".encode() + body for name, body in parts]
    return b"\r\n".join(pieces) + f"\r\n--{boundary}--\r\n".encode()


NESTED = b'--y\r\ncontent-disposition: file; filename="a"\r\n\r\na\r\n--y--'


@pytest.mark.parametrize(
    ("boundary", "body", "error"),
    [
        ("x", form(*[(f'name="svg[{number}]"', b"x") for number in range(10_000)]), (400, None, "invalid_form")),
        ("x", form(*[PROMPT] * 1000), (400, None, "invalid_form")),
        ("x", form((f'name="{"a" * MEGABYTE}"', b"x")), (400, None, "invalid_form")),
        ("x", b"--x\r\n" + b"a" * 3 * MEGABYTE, (400, None, "invalid_form")),
        ("x", form(('name="a"' + "\r\nx: 1" * 1000, b"x")), (400, None, "invalid_form")),
        ("x", form(('name="a"\nx: 1', b"x")), (400, None, "invalid_form")),
        ("x", form(('name="a%0D%0Ab"', b"x"), PROMPT, IMAGE_PART), (400, "a\r\nb", "unknown_parameter")),
        ("x", form(('name="a\0b"', b"x"), PROMPT, IMAGE_PART), (400, "a\0b", "unknown_parameter")),
        (
            "x",
            form(('name="image"\r\ncontent-type: multipart/mixed; boundary=y', NESTED)),
            (400, "image", "invalid_value"),
        ),
        ("x", form(('name="prompt"\r\ncontent-length: -5', b"x")), (400, None, "invalid_form")),
        ('""', form(PROMPT, IMAGE_PART), (400, None, "invalid_form")),
        ("\xe9", form(PROMPT, IMAGE_PART), (400, None, "invalid_form")),
        ("x", form((f'name="svg{"[a]" * 1000}"', b"x"), PROMPT, IMAGE_PART), (400, "svg.a", "unknown_parameter")),
        (
            "x",
            b'--x\r\ncontent-disposition: form-data; name="prompt"\r\n\r\n' + b"\r\n--" * 100_000,
            (413, "prompt", "request_too_large"),
        ),
    ],
)
def test_hostile_forms(gateway: GatewayProcess, boundary: str, body: bytes, error: tuple[int, str | None, str]) -> None:
    lines = f"content-type: multipart/form-data; boundary={boundary}\r\ncontent-length: {len(body)}\r\n"
    assert parse_error(send(gateway, head(gateway, lines, f"POST {EDITS} HTTP/1.1") + body)) == error


def test_a_boundary_of_a_thousand_characters_is_accepted(gateway: GatewayProcess, http: httpx2.Client) -> None:
    long = "b" * 1000
    headers = gateway.headers | {"content-type": f"multipart/form-data; boundary={long}"}
    reply = http.post(gateway.url + EDITS, content=form(PROMPT, IMAGE_PART, boundary=long), headers=headers)
    assert reply.status_code == 200


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("../../../etc/passwd", "passwd"),
        ("..\\..\\a", "a"),
        ("a%0D%0AX: y", "aX: y"),
        ("a\0b.png", "ab.png"),
        ("\x1b[31m.png", "[31m.png"),
        ("\u202egnp.exe", "gnp.exe"),
        ("f" * 4000, "f" * 255),
    ],
)
def test_stored_file_names_have_no_path(gateway: GatewayProcess, http: httpx2.Client, sent: str, stored: str) -> None:
    body = form(('name="purpose"', b"vision"), (f'name="file"; filename="{sent}"', png()))
    headers = gateway.headers | {"content-type": "multipart/form-data; boundary=x"}
    file = http.post(gateway.url + FILES, content=body, headers=headers).json()
    assert file["filename"] == stored
    assert {path.parent for path in gateway.data.rglob("*") if path.name.startswith(file["id"])} == {
        gateway.data / "pictures"
    }


PATHS = (
    GENERATIONS,
    "//v1/images/generations",
    "/v1//images///generations/",
    "/v1/images/%67enerations",
    "/v1/v1/images/generations",
    "http://127.0.0.1/v1/images/generations",
    "/admin/v1/keys",
    "//admin/v1/keys",
    "/%61dmin/v1/keys",
    "/admin/v1/keys/",
)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("host", ["x", "localhost", "127.0.0.1", "metrics"])
def test_every_spelling_of_a_path_and_a_host_needs_a_key(gateway: GatewayProcess, path: str, host: str) -> None:
    lines = f"host: {host}\r\nconnection: close\r\ncontent-length: 2\r\n\r\n"
    answer = send(gateway, f"POST {path} HTTP/1.1\r\n{lines}{{}}".encode())
    assert parse_error(answer) == (401, None, "invalid_api_key")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/%2e%2e/admin/v1/keys",
        "/v1/models/../../admin/v1/keys",
        "/v1/files/..%2f..%2fdev-key",
        "/v1/images/..%2f..%2fdev-key?expires=9999999999&signature=0",
        "/docs/../metrics",
        "/V1/models",
        "/v1/models;a=b",
        "//evil.example/%2e%2e",
        "/%0d%0aset-cookie:a=b",
    ],
)
def test_no_path_leaves_the_routes(gateway: GatewayProcess, path: str) -> None:
    answer = send(gateway, head(gateway, first=f"GET {path} HTTP/1.1"))
    assert answer.startswith(b"HTTP/1.1 404")
    names = [line.partition(b":")[0].lower() for line in answer.partition(b"\r\n\r\n")[0].split(b"\r\n")]
    assert not {b"location", b"set-cookie"} & set(names)


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "PATCH"])
def test_unknown_methods_are_refused(gateway: GatewayProcess, method: str) -> None:
    answer = send(gateway, head(gateway, first=f"{method} /v1/models HTTP/1.1"))
    assert answer.startswith(b"HTTP/1.1 405")
    assert gateway.key.encode() not in answer


@pytest.mark.parametrize(
    "credentials",
    [
        "authorization: Bearer \r\n",
        "authorization: Bearer \xe9\xff\r\n",
        "authorization: Bearer " + "a" * 60_000 + "\r\n",
        "authorization: Basic {key}\r\n",
        "x-api-key: {key}\r\n",
        "cookie: key={key}\r\n",
    ],
)
def test_a_key_in_a_wrong_place_is_refused(gateway: GatewayProcess, credentials: str) -> None:
    lines = credentials.replace("{key}", gateway.key)
    request = f"GET /v1/models?api_key={gateway.key} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{lines}\r\n"
    assert parse_error(send(gateway, request.encode("latin-1"))) == (401, None, "invalid_api_key")


def test_no_text_of_a_caller_begins_a_line_of_the_log(gateway: GatewayProcess) -> None:
    path = "/%0a%7B%22event%22:%22forged%22%7D%1b[31m"
    send(gateway, head(gateway, first=f"GET {path} HTTP/1.1"))
    line = gateway.await_logged("request", path='/\n{"event":"forged"}\x1b[31m')
    assert line["status"] == 404
    assert not [line for line in gateway.logged() if line["event"] == "forged"]
    assert not any("\x1b" in line for line in gateway.lines)


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nhost:", b"\r\n"], ids=["silent", "half", "line ends"])
def test_an_incomplete_head_times_out(gateway: GatewayProcess, begun: bytes) -> None:
    assert send(gateway, begun) == b""


def test_a_second_head_has_the_timeout_of_the_first(gateway: GatewayProcess) -> None:
    with connected(gateway) as caller:
        caller.sendall(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        answer = b""
        while not answer.endswith(b"}"):  # which may come in parts
            answer += (piece := caller.recv(65536))
            assert piece
        assert answer.startswith(b"HTTP/1.1 200")
        caller.sendall(b"GET /health/live HTTP/1.1\r\n")
        assert caller.recv(65536) == b""


def test_a_caller_that_waits_for_a_reply_has_no_timeout(gateway: GatewayProcess, http: httpx2.Client) -> None:
    body = {"prompt": "a fox that takes its time [sandbox delay=1]", "size": "1024x1024", "quality": "low"}
    reply = http.post(gateway.url + GENERATIONS, json=body, headers=gateway.headers)
    assert reply.status_code == 200


def test_a_caller_that_reads_no_reply_is_disconnected(gateway: GatewayProcess, http: httpx2.Client) -> None:
    body = form(('name="purpose"', b"vision"), ('name="file"; filename="a"', png() + bytes(12 * MEGABYTE)))
    headers = gateway.headers | {"content-type": "multipart/form-data; boundary=x"}
    file = http.post(gateway.url + FILES, content=body, headers=headers).json()
    with socket.socket() as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host, _, port = urlsplit(gateway.url).netloc.rpartition(":")
        caller.connect((host, int(port)))
        path = f"{FILES}/{file['id']}/content"
        caller.sendall(head(gateway, first=f"GET {path} HTTP/1.1"))
        gateway.await_logged("request", path=path)
        assert 0 < len(rest(caller)) < 12 * MEGABYTE


def test_a_caller_that_reads_slowly_gets_the_whole_reply(gateway: GatewayProcess, http: httpx2.Client) -> None:
    content = png() + bytes(6 * MEGABYTE)
    body = form(('name="purpose"', b"vision"), ('name="file"; filename="a"', content))
    headers = gateway.headers | {"content-type": "multipart/form-data; boundary=x"}
    file = http.post(gateway.url + FILES, content=body, headers=headers).json()
    taken = 0
    with http.stream("GET", f"{gateway.url}{FILES}/{file['id']}/content", headers=gateway.headers) as reply:
        for piece in reply.iter_raw(4096):
            taken += len(piece)
    assert taken == len(content)


def test_hundreds_of_silent_connections_block_no_caller(gateway: GatewayProcess, http: httpx2.Client) -> None:
    silent = [connected(gateway) for _ in range(300)]
    assert http.get(gateway.url + "/health/live").status_code == 200
    for caller in silent:
        with caller:
            assert caller.recv(1) == b""


def test_many_large_bodies_at_once_take_bounded_memory(gateway: GatewayProcess) -> None:
    process = psutil.Process(gateway.pid)
    before = process.memory_info().rss
    callers = [connected(gateway) for _ in range(20)]
    for caller in callers:
        caller.sendall(head(gateway, "content-length: 1900000\r\n", f"POST {GENERATIONS} HTTP/1.1") + b" " * 1_800_000)
    for caller in callers:
        with caller:
            assert parse_error(rest(caller)) == (408, None, "request_timeout")
    assert process.memory_info().rss - before < 150 * MEGABYTE
