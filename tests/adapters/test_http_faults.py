"""Networks, proxies and vendors that misbehave, and the HTTP client: a call is sent or not, and never twice."""

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from service.adapters.backends.http import BUSY, PROXY_REFUSED, TIMED_OUT, UNREACHABLE, HttpBackend, HttpBackendSettings
from service.adapters.backends.openai import OpenAIDialect
from service.domain.errors import Failure, FailureKind
from service.domain.generation import CallOutcome, Generation
from service.domain.image_spec import Size
from service.usecases.ports.requests import UpstreamRequest
from tests.fakes.backends import call
from tests.fakes.builders import edit, price, route, spec
from tests.simulators.server import Answer, Simulator
from tests.support.vendor_host import (
    Behavior,
    build_upload,
    hang_up,
    never_read,
    read_head,
    read_request,
    reply_after_head,
    reply_after_request,
    vendor_host,
)

REPLY = b'{"created":1,"data":[{"b64_json":"AAAA"}]}'
REFUSAL = b'{"error":{"message":"Too big.","type":"invalid_request_error","code":"too_big","param":null}}'
GENERATION = UpstreamRequest(
    spec=spec(size=Size(1024, 1024)), route=route(model="gpt-image-2"), price=price(), request_id="req_1"
)
BIG = UpstreamRequest(  # more than the network takes unread
    spec=edit(build_upload(bytes(20_000_000), "image")),
    route=route(model="gpt-image-2"),
    price=price(),
    request_id="req_1",
)


def head(*lines: str, status: str = "200 OK") -> bytes:
    return "\r\n".join((f"HTTP/1.1 {status}", *lines, "", "")).encode()


async def generate(base_url: str, order: UpstreamRequest = GENERATION, **more: object) -> CallOutcome:
    settings = HttpBackendSettings(**{"base_url": base_url, "api_key": "sk-operator"} | more)  # type: ignore[arg-type]
    made = HttpBackend(settings, OpenAIDialect())
    try:
        return await call(made, order)
    finally:
        await made.close()


def failure_kind(outcome: CallOutcome) -> FailureKind:
    assert isinstance(outcome, Failure), outcome
    return outcome.kind


@pytest.mark.parametrize(
    "answer",
    [
        head(f"content-length: {len(REPLY)}") + REPLY,
        head("transfer-encoding: chunked")
        + b"9\r\n"
        + REPLY[:9]
        + b"\r\n%x\r\n" % (len(REPLY) - 9)
        + REPLY[9:]
        + b"\r\n0\r\n\r\n",
        head("connection: close") + REPLY,
        head(status="100 Continue") + head(f"content-length: {len(REPLY)}") + REPLY,
        head(f"content-length: {len(REPLY)}", "x-policy: " + "y" * 20_000) + REPLY,
    ],
    ids=["length", "chunks", "until the end", "after a 100", "long header"],
)
async def test_a_reply_is_read_however_it_is_framed(answer: bytes) -> None:
    async with vendor_host(reply_after_request(answer)) as host:
        assert isinstance(await generate(f"http://{host}"), Generation)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 2",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        head("content-length: 1000") + REPLY,
        head("content-length: -1") + REPLY,
        head("content-length: 1", "content-length: 2") + REPLY,
        head("transfer-encoding: chunked") + b"9\r\n" + REPLY[:9] + b"\r\n",
        head("transfer-encoding: chunked") + b"nine\r\n" + REPLY,
        head("x: " + "y" * 200_000),
    ],
    ids=[
        "nothing",
        "half a line",
        "not http",
        "cut off",
        "negative length",
        "two lengths",
        "chunks that end early",
        "bad chunks",
        "endless header",
    ],
)
async def test_a_reply_that_is_none_may_be_billed(answer: bytes) -> None:
    async with vendor_host(reply_after_request(answer)) as host:
        assert failure_kind(await generate(f"http://{host}")) is FailureKind.BROKEN_REPLY


@pytest.mark.parametrize("status", ["204 No Content", "200 OK", "500 Oh", "503 Busy"])
@pytest.mark.parametrize("media_type", ["application/json", "text/event-stream"])
def test_replies_without_a_body_end_every_time(status: str, media_type: str) -> None:
    """In a thread, because what does not end never lets go of its loop."""
    outcomes: list[CallOutcome] = []

    async def ask() -> None:
        empty = head("content-length: 0", f"content-type: {media_type}", status=status)
        async with vendor_host(reply_after_request(empty)) as host:
            outcomes.extend([await generate(f"http://{host}") for _ in range(3)])

    asking = threading.Thread(target=asyncio.run, args=(ask(),), daemon=True)
    asking.start()
    asking.join(30)
    assert [isinstance(outcome, Failure) for outcome in outcomes] == [True] * 3


@pytest.mark.parametrize("framing", ["connection: close", "transfer-encoding: chunked"])
async def test_a_reply_of_no_announced_length_is_not_read_beyond_its_limit(framing: str) -> None:
    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(head(framing))
        while True:
            writer.write(b"3e8\r\n" + bytes(1000) + b"\r\n")
            await writer.drain()

    async with vendor_host(pour) as host:
        outcome = await generate(f"http://{host}", max_reply_bytes=100_000)
    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.message) == (FailureKind.BROKEN_REPLY, "The backend's reply is too large.")


async def test_a_vendor_that_does_not_take_a_form_is_given_up_in_time() -> None:
    async with vendor_host(never_read) as host:
        assert await generate(f"http://{host}", BIG, write_seconds=0.2) == TIMED_OUT


async def test_nor_when_the_form_goes_out_over_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    trust = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(trust)
    async with vendor_host(never_read, trust) as host:
        outcome = await generate(f"https://{host}", BIG, write_seconds=0.2, ca_file=str(tmp_path / "ca.pem"))
    assert outcome == TIMED_OUT


async def test_a_vendor_that_takes_everything_and_is_silent() -> None:
    async def keep(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await asyncio.Event().wait()

    async with vendor_host(keep) as host:
        assert await generate(f"http://{host}", deadline_seconds=0.2) == TIMED_OUT


async def test_a_refusal_is_heard_before_the_form_is_through() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(head(f"content-length: {len(REFUSAL)}", "connection: close", status="413 Too Large") + REFUSAL)
        await writer.drain()
        while await reader.read(1 << 20):
            pass

    async with vendor_host(refuse) as host:
        outcome = await generate(f"http://{host}", BIG)
    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.code) == (FailureKind.INVALID_REQUEST, "too_big")


@pytest.mark.parametrize("status", ["302 Found", "307 Temporary Redirect"])
async def test_a_redirect_is_not_followed_and_is_the_operators(status: str) -> None:
    """Each request is answered once its head is there: a client that follows comes to an end, and asks again."""
    asked: list[str] = []

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await read_head(reader))
        writer.write(head("location: /images/generations", "content-length: 0", "connection: close", status=status))
        await writer.drain()

    async with vendor_host(redirect) as host:
        outcome = await generate(f"http://{host}")
    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.permanent) == (FailureKind.SERVER_ERROR, True)
    assert len(asked) == 1


async def test_no_cookie_is_kept(openai_sim: Simulator) -> None:
    openai_sim.answer(Answer(headers={"set-cookie": "seen=1; path=/"}))
    made = HttpBackend(HttpBackendSettings(base_url=openai_sim.base_url, api_key="sk-operator"), OpenAIDialect())
    assert isinstance(await call(made, GENERATION), Generation)
    assert isinstance(await call(made, GENERATION), Generation)
    await made.close()
    assert all("cookie" not in request.headers for request in openai_sim.requests)


async def test_a_kept_connection_that_ends_is_not_tried_again() -> None:
    """The vendor answers one call and hangs up in the middle of the next, on the same connection."""
    log_lines: list[str] = []

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        log_lines.append(await read_request(reader))
        writer.write(head(f"content-length: {len(REPLY)}") + REPLY)
        log_lines.append(await read_request(reader))

    async with vendor_host(once) as host:
        made = HttpBackend(HttpBackendSettings(base_url=f"http://{host}", api_key="sk-operator"), OpenAIDialect())
        assert isinstance(await call(made, GENERATION), Generation)
        assert failure_kind(await call(made, GENERATION)) is FailureKind.BROKEN_REPLY
        await made.close()
    assert len(log_lines) == 2


@asynccontextmanager
async def closed_port() -> AsyncIterator[str]:
    async with vendor_host(never_read) as host:
        pass
    yield host


@pytest.mark.parametrize(
    ("say", "failure"),
    [
        (never_read, UNREACHABLE),
        (hang_up, UNREACHABLE),
        (reply_after_request(b""), UNREACHABLE),
    ],
    ids=["silent", "gone after hello", "no TLS"],
)
async def test_a_handshake_that_fails_was_no_call(say: Behavior, failure: Failure) -> None:
    async with vendor_host(say) as host:
        assert await generate(f"https://{host}", connect_seconds=0.2) == failure


async def test_a_name_that_does_not_exist_or_a_port_that_is_closed() -> None:
    assert await generate("http://vendor.invalid") == UNREACHABLE
    async with closed_port() as host:
        assert await generate(f"http://{host}") == UNREACHABLE


async def test_a_deadline_that_passes_before_anything_is_sent() -> None:
    async with vendor_host(never_read) as host:
        assert await generate(f"https://{host}", deadline_seconds=0.2, connect_seconds=30) == UNREACHABLE


def refuses(status: str) -> Behavior:
    """A proxy's answer to CONNECT."""
    return reply_after_head(head("content-length: 0", status=status))


@pytest.mark.parametrize(
    ("say", "failure"),
    [
        (refuses("407 Proxy Authentication Required"), PROXY_REFUSED),
        (refuses("502 Bad Gateway"), PROXY_REFUSED),
        (refuses("200 OK"), UNREACHABLE),
        (hang_up, UNREACHABLE),
        (never_read, UNREACHABLE),
    ],
    ids=["wants a password", "finds nobody", "ends the tunnel", "hangs up", "is silent"],
)
async def test_a_tunnel_that_fails_was_no_call(say: Behavior, failure: Failure) -> None:
    async with vendor_host(say) as proxy:
        outcome = await generate("https://vendor.invalid/v1", proxy=f"http://{proxy}", connect_seconds=0.3)
    assert outcome == failure


async def test_a_tunnel_is_asked_for_with_the_password_in_the_proxys_address() -> None:
    log_lines: list[str] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        log_lines.append(await read_head(reader))
        writer.write(head("content-length: 0", status="407 No"))

    async with vendor_host(refuse) as proxy:
        await generate("https://vendor.invalid/v1", proxy=f"http://user:pass@{proxy}")
    assert log_lines[0].startswith("CONNECT vendor.invalid:443 HTTP/1.1\r\n")
    assert "proxy-authorization: basic dxnlcjpwyxnz" in log_lines[0].lower()
    assert "sk-operator" not in log_lines[0]


PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy")


@pytest.mark.parametrize(
    ("environment", "is_used"),
    [
        ({"HTTP_PROXY": "http://{}"}, True),
        ({"http_proxy": "{}"}, True),
        ({"ALL_PROXY": "http://{}"}, True),
        ({"HTTPS_PROXY": "http://127.0.0.1:9"}, False),
        ({"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}, False),
        ({"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "*"}, False),
    ],
)
async def test_the_environment_names_a_proxy(
    environment: dict[str, str], is_used: bool, openai_sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is used it plays along and answers; where it is not, the vendor itself does."""
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
    async with vendor_host(reply_after_request(head(f"content-length: {len(REPLY)}") + REPLY)) as proxy:
        for name, value in environment.items():
            monkeypatch.setenv(name, value.format(proxy))
        assert isinstance(await generate(openai_sim.base_url), Generation)
    assert len(openai_sim.requests) == (0 if is_used else 1)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"proxy": "socks5://127.0.0.1:1"}, "the proxy must be"),
        ({"proxy": "http://"}, "the proxy must be"),
    ],
)
def test_what_cannot_be_used_stops_the_start(settings: dict[str, str], words: str) -> None:
    fields = {"base_url": "https://vendor.test/v1", "api_key": "sk-operator"} | settings
    with pytest.raises(ValueError, match=words) as caught:
        HttpBackend(HttpBackendSettings(**fields), OpenAIDialect())  # type: ignore[arg-type]
    assert "secret" not in str(caught.value)


async def test_a_backend_that_was_never_used_closes() -> None:
    made = HttpBackend(HttpBackendSettings(base_url="https://vendor.test/v1", api_key="sk-operator"), OpenAIDialect())
    await made.close()


async def test_places_are_given_back_whatever_became_of_a_call() -> None:
    async with vendor_host(reply_after_request(b"")) as host:
        made = HttpBackend(
            HttpBackendSettings(
                base_url=f"http://{host}", api_key="sk-operator", max_concurrent_calls=1, pool_seconds=0.05
            ),
            OpenAIDialect(),
        )
        for _ in range(3):
            assert await call(made, GENERATION) != BUSY
        await made.close()
