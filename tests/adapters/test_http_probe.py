"""The free request that shows whether a vendor is back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from service.adapters.backends.http import HttpBackend, HttpBackendSettings
from service.adapters.backends.openai import OpenAIDialect
from service.domain.errors import FailureKind
from tests.simulators.server import Simulator
from tests.support.vendor_host import Behavior, read_head, vendor_host


@asynccontextmanager
async def backend(base_url: str, seconds: float = 10) -> AsyncIterator[HttpBackend]:
    made = HttpBackend(
        HttpBackendSettings(base_url=base_url, api_key="sk-operator", probe_seconds=seconds), OpenAIDialect()
    )
    try:
        yield made
    finally:
        await made.close()


async def probe_kind(say: Behavior, seconds: float = 10) -> FailureKind | None:
    async with vendor_host(say) as host, backend(f"http://{host}/v1", seconds) as made:
        failure = await made.probe()
    return failure.kind if failure else None


def says(status: str, body: bytes = b"{}") -> Behavior:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 %s\r\ncontent-length: %d\r\n\r\n%s" % (status.encode(), len(body), body))
        await writer.drain()

    return say


async def test_the_list_of_models_is_asked_for_with_the_accounts_key() -> None:
    asked: list[str] = []

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await read_head(reader))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        await writer.drain()

    assert await probe_kind(say) is None
    (head,) = asked
    assert head.startswith("GET /v1/models HTTP/1.1\r\n")
    assert "authorization: bearer sk-operator\r\n" in head.lower()


async def test_the_vendor_takes_it(openai_sim: Simulator) -> None:
    async with backend(openai_sim.base_url) as made:
        assert await made.probe() is None


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        ("401 Unauthorized", b"{}", FailureKind.AUTH_FAILED),
        ("403 Forbidden", b"{}", FailureKind.NOT_PERMITTED),
        ("404 Not Found", b"not json", FailureKind.SERVER_ERROR),
        ("429 Too Many", b'{"error": {"code": "insufficient_quota"}}', FailureKind.QUOTA_EXHAUSTED),
        ("302 Found", b"", FailureKind.SERVER_ERROR),
        ("502 Bad Gateway", b"<html>", FailureKind.SERVER_ERROR),
    ],
)
async def test_what_is_wrong_is_said(status: str, body: bytes, kind: FailureKind) -> None:
    assert await probe_kind(says(status, body)) is kind


async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer, and hang up before the end."""
    await read_head(reader)
    writer.write(b"HTTP/1.1 500 Oh\r\ncontent-length: 100\r\n\r\nhalf")
    await writer.drain()


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Take the question, and say nothing."""
    await read_head(reader)
    await asyncio.Event().wait()


async def test_what_breaks_on_the_way_was_not_reached() -> None:
    assert await probe_kind(cut) is FailureKind.UNREACHABLE
    assert await probe_kind(silent, 0.05) is FailureKind.UNREACHABLE
    async with backend("http://127.0.0.1:9/v1") as made:
        failure = await made.probe()
    assert failure
    assert failure.kind is FailureKind.UNREACHABLE
