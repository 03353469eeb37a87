"""The one HTTP client: what it sends, what it makes of the network, and that nothing leaks."""

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from service.adapters.backends.http import HttpBackend, HttpBackendSettings
from service.adapters.backends.openai import OpenAIDialect
from service.domain.errors import Failure, FailureKind
from service.domain.generation import Generation, Preview
from service.domain.image_spec import Size, Spec
from service.usecases.ports.requests import NULL_LISTENER, NullListener, UpstreamRequest
from tests.fakes.backends import call
from tests.fakes.builders import edit, linked, price, route, spec
from tests.simulators.server import Answer, Defaults, Simulator
from tests.support.images import png
from tests.support.vendor_host import build_upload

LIMITED = {
    "x-ratelimit-limit-requests": "500",
    "x-ratelimit-remaining-requests": "0",
    "x-ratelimit-reset-requests": "2s",
}


def order(wanted_spec: Spec | None = None) -> UpstreamRequest:
    return UpstreamRequest(
        spec=wanted_spec or spec(size=Size(1024, 1024)),
        route=route(model="gpt-image-2"),
        price=price(),
        request_id="req_1",
    )


@asynccontextmanager
async def backend(base_url: str, **more: object) -> AsyncIterator[HttpBackend]:
    settings = HttpBackendSettings(**{"base_url": base_url, "api_key": "sk-operator"} | more)  # type: ignore[arg-type]
    made = HttpBackend(settings, OpenAIDialect())
    try:
        yield made
    finally:
        await made.close()


async def failure_kind(made: HttpBackend) -> FailureKind:
    outcome = await call(made, order())
    assert isinstance(outcome, Failure), outcome
    return outcome.kind


async def test_its_key_and_headers_are_sent_and_its_key_is_not_shown(openai_sim: Simulator) -> None:
    async with backend(openai_sim.base_url, headers={"openai-organization": "org-1"}) as made:
        assert isinstance(await call(made, order()), Generation)
    (received,) = openai_sim.requests
    wanted_spec = {"authorization": "Bearer sk-operator", "openai-organization": "org-1", "accept-encoding": "identity"}
    assert wanted_spec.items() <= dict(received.headers).items()
    assert "sk-operator" not in repr(HttpBackendSettings(base_url="x", api_key="sk-operator"))


async def test_big_files_arrive_whole(openai_sim: Simulator) -> None:
    body = png((900, 900)) + bytes(3_000_000)
    async with backend(openai_sim.base_url) as made:
        outcome = await call(made, order(edit(build_upload(body, "image[0]"), build_upload(body[:-1], "image[1]"))))
    assert isinstance(outcome, Generation), outcome
    (received,) = openai_sim.requests
    assert [file.sha256 for file in received.files] == [hashlib.sha256(sent).hexdigest() for sent in (body, body[:-1])]
    named = [(file.part_name, file.filename, file.content_type) for file in received.files]
    assert named == [("image[]", f"image-{index}.png", "image/png") for index in range(2)]
    assert received.headers["content-length"] == str(received.raw_length)
    assert "transfer-encoding" not in received.headers


async def test_a_streamed_edit_is_a_form_with_its_words_as_json_has_them(openai_sim: Simulator) -> None:
    wanted_spec = replace(order(edit(build_upload(png((64, 64)), "image"), n=1)), partials=1)

    async with backend(openai_sim.base_url) as made:
        reply = await made.generate(wanted_spec, Previews())

    assert isinstance(reply.outcome, Generation), reply.outcome
    (received,) = openai_sim.requests
    assert received.fields["stream"] == "true"
    assert received.fields["partial_images"] == "1"


async def test_links_that_are_relayed_go_as_json(openai_sim: Simulator) -> None:
    wanted_spec = edit(linked("https://pictures.test/a.png"), mask=linked("https://pictures.test/m.png", "mask"))
    async with backend(openai_sim.base_url, relays_links=True) as made:
        assert made.accepts_links
        assert isinstance(await call(made, order(wanted_spec)), Generation)
    fields = openai_sim.requests[0].fields
    assert fields["images"] == [{"image_url": "https://pictures.test/a.png"}]
    assert fields["mask"] == {"image_url": "https://pictures.test/m.png"}


async def test_a_reply_beyond_its_limit_is_not_read_to_the_end(openai_sim: Simulator) -> None:
    openai_sim.defaults = Defaults(image_bytes=500_000)
    async with backend(openai_sim.base_url, max_reply_bytes=100_000) as made:
        assert await failure_kind(made) is FailureKind.BROKEN_REPLY


async def test_a_full_pool_is_said_at_once_and_empties_again(openai_sim: Simulator) -> None:
    openai_sim.answer(Answer(hold=True))
    async with backend(openai_sim.base_url, max_concurrent_calls=1, pool_seconds=0.05) as made:
        first = asyncio.create_task(call(made, order()))
        await asyncio.to_thread(openai_sim.await_in_flight, 1)
        assert await failure_kind(made) is FailureKind.BUSY
        openai_sim.release()
        assert isinstance(await first, Generation)
        assert isinstance(await call(made, order()), Generation)


async def test_calls_that_are_cancelled_leak_no_connection(openai_sim: Simulator) -> None:
    async with backend(openai_sim.base_url, max_concurrent_calls=2, pool_seconds=5) as made:
        for _ in range(10):
            openai_sim.answer(Answer(hold=True), Answer(hold=True))
            calls = [asyncio.create_task(call(made, order())) for _ in range(2)]
            await asyncio.to_thread(openai_sim.await_in_flight, 2)
            for task in calls:
                task.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            openai_sim.reset()
        outcomes = await asyncio.gather(*(call(made, order()) for _ in range(4)))
        assert all(isinstance(outcome, Generation) for outcome in outcomes)


class Previews(NullListener):
    """Keeps the previews that it is sent."""

    def __init__(self) -> None:
        self.indices: list[int] = []

    async def on_preview(self, preview: Preview) -> None:
        self.indices.append(preview.index)


async def test_a_reply_has_the_limits_of_the_account_and_counts_the_previews(openai_sim: Simulator) -> None:
    listener = Previews()

    async with backend(openai_sim.base_url) as made:
        reply = await made.generate(replace(order(), partials=2), listener)

    assert isinstance(reply.outcome, Generation), reply.outcome
    assert (listener.indices, reply.previews) == ([0, 1], 2)
    assert ("requests", 499, 500) in [(room.measure, room.remaining, room.limit) for room in reply.rate_limits]


@pytest.mark.parametrize(
    "answer", [Answer(status=429, body=b"{}", headers=LIMITED), Answer(fault="close_mid_body", headers=LIMITED)]
)
async def test_a_failure_has_the_limits_of_the_account_too(openai_sim: Simulator, answer: Answer) -> None:
    openai_sim.answer(answer)

    async with backend(openai_sim.base_url) as made:
        reply = await made.generate(order(), NULL_LISTENER)

    assert isinstance(reply.outcome, Failure)
    assert ("requests", 0, 500) in [(room.measure, room.remaining, room.limit) for room in reply.rate_limits]


async def test_a_proxy_is_used_and_its_refusal_is_not_a_sent_call(openai_sim: Simulator) -> None:
    """The simulator plays a proxy: it is asked for the vendor's address and answers with a 404 of its own."""
    async with backend("http://vendor.invalid/v1", proxy=openai_sim.url) as made:
        outcome = await call(made, order())
    assert openai_sim.requests, outcome
    assert dict(openai_sim.requests[0].headers)["host"] == "vendor.invalid"


async def test_a_proxy_that_is_away(openai_sim: Simulator) -> None:
    async with backend(openai_sim.base_url, proxy="http://127.0.0.1:9") as made:
        assert await failure_kind(made) is FailureKind.UNREACHABLE


async def test_certificates_are_checked_against_the_given_authority(tmp_path: Path) -> None:
    """A TLS server that answers nothing useful: what counts is whether the handshake is accepted."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        address = f"https://localhost:{server.sockets[0].getsockname()[1]}/v1"
        async with backend(address, ca_file=str(tmp_path / "ca.pem")) as trusting:
            assert await failure_kind(trusting) is FailureKind.SERVER_ERROR
        async with backend(address) as doubting:
            assert await failure_kind(doubting) is FailureKind.UNREACHABLE
