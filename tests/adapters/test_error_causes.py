"""Causes of failed backends and image stores, for operators: errno, status, code, and never an address."""

import asyncio
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from service.adapters.backends.http import HttpBackend, HttpBackendSettings
from service.adapters.backends.openai import OpenAIDialect
from service.adapters.image_store import FolderImageStore, build_bucket_store
from service.domain.errors import Failure, ImageNotFound, StoreUnavailable
from service.domain.image_spec import Size
from service.domain.stored_images import new_image_id, to_stored_name
from service.usecases.ports.requests import UpstreamRequest
from tests.fakes.backends import call
from tests.fakes.builders import price, route, spec
from tests.simulators.server import Answer, Simulator
from tests.support.object_server import CREDENTIALS, ObjectServer
from tests.support.vendor_host import Behavior, hang_up, never_read, reply_after_head, reply_after_request, vendor_host

ORDER = UpstreamRequest(
    spec=spec(size=Size(1024, 1024)), route=route(model="gpt-image-2"), price=price(), request_id="req_1"
)
NAME = to_stored_name(new_image_id("search", "png", "0" * 32))
DENIED = b"<Error><Code>AccessDenied</Code><Message>s3cret</Message><RequestId>4442587FB7D0A2F9</RequestId></Error>"


def greets(reply: bytes) -> Behavior:
    """Answer before anything is asked."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(reply)
        await reader.read()

    return say


async def cause(base_url: str, **more: object) -> str | None:
    settings = HttpBackendSettings(**{"base_url": base_url, "api_key": "sk-operator"} | more)  # type: ignore[arg-type]
    backend = HttpBackend(settings, OpenAIDialect())
    try:
        outcome = await call(backend, ORDER)
    finally:
        await backend.close()
    assert isinstance(outcome, Failure), outcome
    return outcome.cause


@pytest.mark.parametrize(
    ("base_url", "proxy", "words"),
    [
        ("http://vendor.invalid/v1", None, "DNS does not know its name (Name or service not known)"),
        ("http://127.0.0.1:9/v1", None, "the connection is refused"),
        ("http://vendor.invalid/v1", "http://us:s3cret@127.0.0.1:9", "the proxy: the connection is refused"),
        ("https://vendor.invalid/v1", "http://us:s3cret@127.0.0.1:9", "the proxy: the connection is refused"),
    ],
)
async def test_a_backend_that_is_not_reached_says_why(base_url: str, proxy: str | None, words: str) -> None:
    assert await cause(base_url, proxy=proxy) == words


async def test_a_proxy_that_refuses_says_its_status() -> None:
    async with vendor_host(reply_after_head(b"HTTP/1.1 407 No\r\ncontent-length: 0\r\n\r\n")) as proxy:
        assert await cause("https://vendor.invalid/v1", proxy=f"http://us:s3cret@{proxy}") == "the proxy answers 407"


async def test_certificates_and_tls_are_told_apart() -> None:
    trust = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(trust)
    async with vendor_host(never_read, trust) as unknown, vendor_host(greets(b"HTTP/1.1 200 OK\r\n\r\n")) as plain:
        causes = [await cause(f"https://{host}/v1") for host in (unknown, plain)]
    assert causes[0] == "TLS does not trust its certificate (unable to get local issuer certificate)"
    assert causes[1] == "TLS failed (WRONG_VERSION_NUMBER)"


async def test_a_backend_that_is_silent_says_so() -> None:
    async with vendor_host(never_read) as host:
        assert await cause(f"https://{host}/v1", connect_seconds=0.2) == "it did not answer in time"
        assert await cause(f"http://{host}/v1", deadline_seconds=0.2) == "it did not answer in time"


async def test_a_backend_that_hangs_up_says_so() -> None:
    async with vendor_host(hang_up) as host:
        assert await cause(f"http://{host}/v1") in {"Connection reset by peer (ECONNRESET)", "ServerDisconnectedError"}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(status=503, headers={"x-request-id": "req_9f"}, body=b"{}"), "status 503, request req_9f"),
        (Answer(status=404, headers={}, body=b"<html>"), "status 404"),
        (Answer(status=200, headers={}, body=b"{}"), "status 200"),
        (Answer(status=204, headers={}, body=b""), "status 204"),
    ],
)
async def test_a_backend_that_answers_says_its_status_and_its_id(
    openai_sim: Simulator, answer: Answer, words: str
) -> None:
    openai_sim.answer(answer)
    causes = await cause(openai_sim.base_url)
    assert causes is not None
    assert causes.startswith(words)


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


async def cause_of_store_failure(endpoint: str) -> str | None:
    with pytest.raises(StoreUnavailable) as refused:
        await build_bucket_store("album", "of/ours", endpoint, timeout_seconds=3.0).put(NAME, b"picture")
    assert "127.0.0.1" not in str(refused.value)
    return refused.value.cause


@pytest.mark.usefixtures("credentials")
async def test_a_bucket_that_refuses_says_its_status_and_code() -> None:
    head = b"HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(DENIED)
    async with vendor_host(reply_after_request(head + DENIED)) as host:
        assert await cause_of_store_failure(f"http://{host}") == "status 403, AccessDenied, request 4442587FB7D0A2F9"


@pytest.mark.usefixtures("credentials")
async def test_a_bucket_of_another_region_says_so() -> None:
    async with vendor_host(
        reply_after_request(b"HTTP/1.1 301 Moved\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
    ) as host:
        assert (
            await cause_of_store_failure(f"http://{host}") == "it redirects without an address; the region may be wrong"
        )


@pytest.mark.usefixtures("credentials")
async def test_a_bucket_that_is_not_reached_says_why() -> None:
    assert await cause_of_store_failure("http://127.0.0.1:9") == "Connection refused (ECONNREFUSED)"
    assert await cause_of_store_failure("http://bucket.invalid") == "DNS does not know its name"


@pytest.mark.usefixtures("credentials")
async def test_a_bucket_that_is_not_there_is_not_a_picture_that_is_not_there(objects: ObjectServer) -> None:
    with pytest.raises(StoreUnavailable) as refused:
        await build_bucket_store("nowhere", "of/ours", objects.url).put(NAME, b"picture")
    with pytest.raises(ImageNotFound) as missing:
        await build_bucket_store(objects.new_bucket(), "of/ours", objects.url).read(NAME)
    assert str(refused.value.cause).startswith("status 404, NoSuchBucket")
    assert str(missing.value.cause).startswith("status 404, NoSuchKey")


@contextmanager
def tiny_disk(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


async def test_a_folder_on_a_full_disk_says_so(tmp_path: Path) -> None:
    with tiny_disk(tmp_path / "album") as folder, pytest.raises(StoreUnavailable) as refused:
        await FolderImageStore(folder).put(NAME, bytes(100_000))
    assert refused.value.cause == "No space left on device (ENOSPC)"
