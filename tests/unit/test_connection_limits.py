"""A connection, byte for byte: what an application hears of a request, however its bytes are cut into packets."""

import asyncio
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, cast

import pytest
import uvicorn
from litestar.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from service.api.http.bodies import ArrivalLimits, read_body
from service.api.http.connection_limits import ConnectionLimits, LimitedProtocol
from service.api.http.errors import on_gateway_error
from service.api.http.request_context import Http
from service.api.http.request_middleware import RefusedRequests, RequestMiddleware
from service.domain.errors import GatewayError
from service.usecases.ports.tracing import NullTracer
from tests.fakes.observer import Recorder

MOST_HEAD, MOST_BODY = 2000, 10_000
PACE = ArrivalLimits(idle_seconds=600, body_seconds=600, min_bytes_per_second=0)
HEAD = "POST /a?b=c HTTP/1.1\r\nhost: x\r\n"
CHUNKED = HEAD + "transfer-encoding: chunked\r\n\r\n"
CLOSES = b"connection: close"


class Wire(asyncio.Transport):
    """The other end of a connection: keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 5), "sockname": ("127.0.0.1", 80)})
        self.written = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        """Ignore the pause."""

    def resume_reading(self) -> None:
        """Ignore the end of a pause."""


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the received request, or with the error of its body."""
    request = Http(scope, receive)
    status, content = 200, b""
    try:
        body = await read_body(request, MOST_BODY, PACE)
        received = {
            "path": request.url.path,
            "fields": [[name.decode(), value.decode()] for name, value in scope["headers"]],
            "body": body.decode(),
        }
        content = json.dumps(received).encode()
    except GatewayError as error:
        reply = on_gateway_error(request, error)
        status, content = reply.status_code or 0, reply.content
    headers = [(b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content, "more_body": False})


class Connection:
    """One connection to an application that echoes."""

    def __init__(self) -> None:
        self.observed = Recorder()
        ids = iter(f"{number:032x}" for number in range(100))
        app = RequestMiddleware(
            RefusedRequests(cast("ASGIApp", echo)), self.observed, lambda: next(ids), lambda: 0.0, NullTracer()
        )
        config = uvicorn.Config(app, log_config=None, ws="none", lifespan="off")
        self.wire = Wire()
        bounds = ConnectionLimits(head_seconds=600, max_head_bytes=MOST_HEAD, stall_seconds=600)
        self.protocol = LimitedProtocol(bounds, config=config, server_state=ServerState(), app_state={})
        self.protocol.connection_made(self.wire)

    async def send(self, *packets: bytes) -> None:
        """Let packets arrive, and the application run after each."""
        for packet in packets:
            if not self.wire.closed:
                self.protocol.data_received(packet)
            for _ in range(8):
                await asyncio.sleep(0)

    @property
    def answers(self) -> Sequence[tuple[int, dict[str, Any]]]:
        """Statuses and bodies of what was written."""
        replies = re.findall(rb"HTTP/1.1 (\d+) .*?\r\n\r\n(\{.*?\})(?=HTTP/1.1 |$)", self.wire.written, re.DOTALL)
        return [(int(status), json.loads(body)) for status, body in replies]


def splits(request: bytes) -> Iterator[Sequence[bytes]]:
    """The request at once, byte by byte, and in two packets in every way."""
    yield [request]
    yield [bytes([byte]) for byte in request]
    for at in range(1, len(request)):
        yield [request[:at], request[at:]]


def encoded(text: str) -> bytes:
    return text.encode("latin-1")


async def test_a_trailer_is_no_field_however_packets_are_cut() -> None:
    trailers = "authorization: Bearer stolen\r\nx-gateway-tags: a=b\r\nempty:\r\n"
    request = encoded(f"{CHUNKED}3;name=value\r\nfox\r\n0\r\n{trailers}\r\n{HEAD}content-length: 2\r\n\r\nhi")
    for packets in splits(request):
        connection = Connection()
        await connection.send(*packets)
        (_, first), (_, second) = connection.answers
        assert (first["fields"], first["body"]) == ([["host", "x"], ["transfer-encoding", "chunked"]], "fox")
        assert (second["fields"], second["body"]) == ([["host", "x"], ["content-length", "2"]], "hi")
        connection.protocol.connection_lost(None)


LARGE = "x" * (MOST_HEAD - 100)
TOO_LARGE = "x" * (MOST_HEAD + 1)


@pytest.mark.parametrize(
    "request_",
    [
        HEAD + f"x: {TOO_LARGE}\r\n\r\n",
        HEAD + f"x: {TOO_LARGE}",
        CHUNKED + f"3;{TOO_LARGE}\r\nfox\r\n0\r\n\r\n",
        CHUNKED + f"3;{LARGE}\r\nfox\r\n3;{LARGE}\r\nfox\r\n0\r\n\r\n",
        CHUNKED + f"3\r\nfox\r\n0\r\nx: {TOO_LARGE}\r\n\r\n",
        CHUNKED + "3\r\nfox\r\n0\r\n" + f"x: {'x' * 100}\r\n" * 20 + "\r\n",
        CHUNKED + "".join(f"1;{'x' * 20}\r\na\r\n" for _ in range(100)) + "0\r\n\r\n",
        "\r\n" * MOST_HEAD,
    ],
    ids=["head", "head without end", "extension", "two extensions", "trailer", "trailers", "many chunks", "line ends"],
)
@pytest.mark.parametrize("size", [1, 7, 1000, 1 << 16])
async def test_all_that_is_no_body_is_bounded(request_: str, size: int) -> None:
    connection = Connection()
    sent = encoded(request_)
    await connection.send(*[sent[at : at + size] for at in range(0, len(sent), size)])
    ((status, body),) = connection.answers
    assert (status, body["error"]["code"]) == (431, "request_header_fields_too_large")
    assert CLOSES in connection.wire.written
    assert connection.wire.closed
    connection.protocol.connection_lost(None)


@pytest.mark.parametrize("size", [1, 7, 1000, 1 << 16])
async def test_lengths_of_chunks_and_earlier_requests_do_not_count(size: int) -> None:
    chunked = CHUNKED + "1\r\na\r\n" * 400 + "0\r\n\r\n"
    fields = f"x:{LARGE}\r\n"
    sent = encoded(chunked * 3 + f"{HEAD}{fields}\r\n" * 5)
    connection = Connection()
    await connection.send(*[sent[at : at + size] for at in range(0, len(sent), size)])
    assert [status for status, _ in connection.answers] == [200] * 8
    connection.protocol.connection_lost(None)


AUTHORIZATION = "authorization: Bearer a\r\n"
GET = "GET /a HTTP/1.1\r\n"


@pytest.mark.parametrize(
    "head",
    [
        HEAD + AUTHORIZATION * 2,
        HEAD + "host: x\r\n",
        HEAD + "content-type: text/plain\r\nContent-Type: application/json\r\n",
        HEAD + "idempotency-key: a\r\nidempotency-key: b\r\n",
        HEAD + "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        HEAD + "transfer-encoding: chunked\r\ncontent-length: 1\r\n",
        HEAD + "content-length: 1\r\ntransfer-encoding: chunked\r\n",
        HEAD + "content-length: 1\r\ncontent-length: 2\r\n",
        HEAD + "x: a\r\n b\r\n",
        HEAD + "x : a\r\n",
        HEAD + "x: a\0b\r\n",
        HEAD + "x: a\rb\r\n",
        HEAD + "no field\r\n",
        GET,
        GET + "host: a b\r\n",
        GET + "host: a/b\r\n",
        GET + "host: a@b\r\n",
        GET + "host: a, b\r\n",
        GET + "host: \xe9\r\n",
        "GET http://me@x/a HTTP/1.1\r\nhost: x\r\n",
        "GET a HTTP/1.1\r\nhost: x\r\n",
        "GET /a HTTP/0.9\r\nhost: x\r\n",
        "GET /a HTTP/2.0\r\nhost: x\r\n",
        "GET /a HTTP/1.2\r\nhost: x\r\n",
        "GET /a HTTP/11\r\nhost: x\r\n",
        "GET /a\r\n",
        "POST /a HTTP/1.0\r\ntransfer-encoding: chunked\r\n",
        "PRI * HTTP/2.0\r\n",
        "\x16\x03\x01",
    ],
)
@pytest.mark.parametrize("size", [1, 1 << 16])
async def test_a_head_that_two_readers_could_read_in_two_ways_is_refused_in_the_envelope(head: str, size: int) -> None:
    connection = Connection()
    sent = encoded(head + "\r\n")
    await connection.send(*[sent[at : at + size] for at in range(0, len(sent), size)], b"GET /next HTTP/1.1\r\n\r\n")
    ((status, body),) = connection.answers
    assert (status, body["error"]["code"], body["error"]["type"]) == (400, "invalid_request", "invalid_request_error")
    assert b"x-request-id: req_0" in connection.wire.written
    assert b"x-should-retry: false" in connection.wire.written
    assert CLOSES in connection.wire.written
    assert connection.wire.closed
    connection.protocol.connection_lost(None)


@pytest.mark.parametrize(
    ("target", "path", "host"),
    [
        ("/a", "/a", "x"),
        ("http://other/a", "/a", "other"),
        ("HTTP://other:8080/a?b", "/a", "other:8080"),
        ("http://other", "/", "other"),
        ("http://[::1]:80?b", "/", "[::1]:80"),
        ("//a", "//a", "x"),
    ],
)
async def test_the_host_of_a_target_goes_before_the_field(target: str, path: str, host: str) -> None:
    connection = Connection()
    await connection.send(encoded(f"GET {target} HTTP/1.1\r\nhost: x\r\n\r\n"))
    ((status, body),) = connection.answers
    assert (status, body["path"], body["fields"]) == (200, path, [["host", host]])
    connection.protocol.connection_lost(None)


async def test_http_1_0_needs_no_host() -> None:
    connection = Connection()
    await connection.send(b"GET /a HTTP/1.0\r\n\r\n")
    assert [status for status, _ in connection.answers] == [200]
    connection.protocol.connection_lost(None)


async def test_what_cannot_be_read_is_answered_after_what_was_asked_before() -> None:
    request = encoded(HEAD + "content-length: 2\r\n\r\nhi" + "no request\r\n\r\n")
    for packets in splits(request):
        connection = Connection()
        await connection.send(*packets)
        assert [status for status, _ in connection.answers] == [200, 400]
        connection.protocol.connection_lost(None)


async def test_a_body_that_cannot_be_read_is_refused_once() -> None:
    request = encoded(f"{CHUNKED}3\r\nfox\r\nzz\r\n{HEAD}\r\n")
    for packets in splits(request):
        connection = Connection()
        await connection.send(*packets)
        assert [status for status, _ in connection.answers] == [400]
        assert connection.wire.closed
        assert len(connection.observed.events) == 1
        connection.protocol.connection_lost(None)


async def test_a_refusal_of_head_has_no_body() -> None:
    connection = Connection()
    await connection.send(b"HEAD /a HTTP/1.1\r\n\r\n")
    assert connection.wire.written.startswith(b"HTTP/1.1 400")
    assert connection.wire.written.endswith(b"\r\n\r\n")
    connection.protocol.connection_lost(None)


OFFER = "connection: Upgrade, HTTP2-Settings\r\nhttp2-settings: AAEAAEAAAAIAAAAA\r\nupgrade: h2c\r\n"
INNER = "GET /inner HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.mark.parametrize(
    ("offer", "framing", "body"),
    [
        (OFFER, f"content-length: {len(INNER)}\r\n\r\n", INNER),
        (OFFER, "transfer-encoding: chunked\r\n\r\n", f"{len(INNER):x}\r\n{INNER}\r\n0\r\nx: y\r\n\r\n"),
        ("upgrade: websocket\r\nconnection: keep-alive, upgrade\r\n", "content-length: 3\r\n\r\n", "fox"),
        (OFFER, "\r\n", ""),
    ],
    ids=["length", "chunks", "websocket", "no body"],
)
async def test_an_offer_to_upgrade_is_ignored_and_the_body_is_the_body(offer: str, framing: str, body: str) -> None:
    """A body that is a request by itself is none, in whichever packet it comes."""
    request = encoded(f"{HEAD}{offer}{framing}{body}{HEAD}content-length: 2\r\n\r\nhi")
    sent = INNER if INNER in body else body
    for packets in splits(request):
        connection = Connection()
        await connection.send(*packets)
        assert [(status, received["path"], received["body"]) for status, received in connection.answers] == [
            (200, "/a", sent),
            (200, "/a", "hi"),
        ]
        names = {name for name, _ in connection.answers[0][1]["fields"]}
        assert not {"upgrade", "http2-settings"} & names
        connection.protocol.connection_lost(None)


async def test_an_offer_to_upgrade_hides_no_fault() -> None:
    connection = Connection()
    await connection.send(encoded(f"{HEAD}{OFFER}host: y\r\n\r\n"))
    assert [status for status, _ in connection.answers] == [400]
    connection.protocol.connection_lost(None)


async def test_what_follows_connect_is_no_request() -> None:
    connection = Connection()
    await connection.send(encoded(f"CONNECT /a HTTP/1.1\r\nhost: x\r\n\r\n{INNER}"), encoded(INNER))
    assert len(connection.answers) == 1
    assert connection.wire.closed
    connection.protocol.connection_lost(None)
