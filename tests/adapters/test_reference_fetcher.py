"""A linked picture is fetched from a real TLS server: what comes back, and what a host can do wrong."""

import asyncio
from collections.abc import AsyncIterator
from ipaddress import IPv6Address
from pathlib import Path

import pytest
from blake3 import blake3

from service.adapters.reference_fetcher import ReferenceUrl
from service.domain.errors import TooLarge, UnreachableLink, UnreadableFile
from tests.adapters.link_host import (
    JPEG,
    NAME,
    PARAM,
    PNG,
    WEBP,
    Host,
    Names,
    Script,
    break_tls,
    dribble,
    https_host,
    pour,
    reader,
    redirect,
    refusal,
    reply,
    stall,
    to,
)


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    async with https_host(tmp_path) as here:
        yield here


@pytest.mark.parametrize(
    ("body", "media_type"),
    [(PNG, "image/png"), (JPEG, "image/jpeg"), (WEBP, "image/webp"), (JPEG[:4], "image/jpeg")],
)
async def test_fetches_a_picture(host: Host, body: bytes, media_type: str) -> None:
    host.says["/a.png?x=1"] = reply(body, "content-type: text/plain")
    async with reader(host) as links:
        got = await links.fetch(to(host.link("/a.png?x=1#top")))
    assert (got.param, got.media_type, got.digest, got.link) == (PARAM, media_type, blake3(body).hexdigest(), None)
    assert got.content
    assert got.content.open().read() == body


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("/a%2Fb/%7ec?sig=%3d%2f+%7E&date=2026-11-21%20x", "/a%2Fb/%7ec?sig=%3d%2f+%7E&date=2026-11-21%20x"),
        ("/a b/ü?q=ü y", "/a%20b/%C3%BC?q=%C3%BC%20y"),
        ("/%zz?%", "/%zz?%"),
        ("?x", "/?x"),
        ("", "/"),
    ],
)
async def test_an_address_is_asked_for_as_it_was_written(host: Host, url: str, sent: str) -> None:
    """A signature may depend on the exact characters of a link."""
    host.says[sent] = reply(PNG)
    async with reader(host) as links:
        assert (await links.fetch(to(host.link(url)))).content


@pytest.mark.parametrize(
    ("text", "name", "authority"),
    [
        ("https://[::1]:8443/x", "::1", "[::1]:8443"),
        ("https://PICTURES.example:443/x", "pictures.example", "pictures.example"),
        ("https://bücher.example/x", "xn--bcher-kva.example", "xn--bcher-kva.example"),
    ],
)
def test_a_host_goes_by_its_plain_name(text: str, name: str, authority: str) -> None:
    link = ReferenceUrl.parse(text)
    assert (link.host, link.authority) == (name, authority)
    dialled = link.url_at(IPv6Address("2606:4700::1"))
    assert (dialled.raw_host, dialled.port, dialled.raw_path_qs) == ("2606:4700::1", link.port, "/x")


async def test_the_next_address_is_tried(host: Host) -> None:
    host.says["/a"] = reply(PNG)
    names = Names({NAME: [["127.0.0.2", "127.0.0.3", "127.0.0.1"]]})
    async with reader(host, names) as links:
        assert (await links.fetch(to(host.link("/a")))).content
    assert names.questions == [NAME]


async def test_follows_redirects(host: Host) -> None:
    host.says |= {
        "/1": redirect("/2", "301 Moved"),
        "/2": redirect(host.link("/3", "second.example"), "307 Temporary Redirect"),
        "/3": redirect("4?x"),
        "/4?x": reply(PNG),
    }
    names = Names()
    async with reader(host, names) as links:
        assert (await links.fetch(to(host.link("/1")))).content
    assert names.questions == [NAME, NAME, "second.example", "second.example"]
    assert [received["host"] for received in host.received[2:]] == 2 * [f"second.example:{host.port}"]


async def test_too_many_redirects(host: Host) -> None:
    host.says["/round"] = redirect("/round")
    async with reader(host) as links:
        error = await refusal(links, host.link("/round"))
    assert isinstance(error, UnreachableLink)
    assert error.message == f"{PARAM} could not be downloaded: it redirects more than 3 times."
    assert error.code == "failed_to_download_image"
    assert host.connections == 4


async def test_too_large_as_announced(host: Host) -> None:
    host.says["/a"] = b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n"
    async with reader(host, max_bytes=1000) as links:
        error = await refusal(links, host.link("/a"))
    assert isinstance(error, TooLarge)
    assert error.message == f"{PARAM} is larger than 1000 bytes."


async def test_too_large_without_a_word(host: Host) -> None:
    host.says["/a"] = pour
    async with reader(host, max_bytes=100_000) as links:
        assert isinstance(await refusal(links, host.link("/a")), TooLarge)


async def test_exactly_as_large_as_allowed(host: Host) -> None:
    host.says["/a"] = reply(PNG)
    async with reader(host, max_bytes=len(PNG)) as links:
        got = await links.fetch(to(host.link("/a")))
    assert got.content
    assert got.content.length == len(PNG)


async def test_a_picture_in_small_pieces(host: Host) -> None:
    host.says["/a"] = dribble
    async with reader(host) as links:
        got = await links.fetch(to(host.link("/a")))
    assert (got.media_type, got.digest) == ("image/webp", blake3(WEBP).hexdigest())


async def test_the_deadline_covers_everything(host: Host) -> None:
    host.says["/a"] = stall
    async with reader(host, timeout_seconds=0.2) as links:
        error = await refusal(links, host.link("/a"))
    assert isinstance(error, UnreachableLink)
    assert error.message == f"{PARAM} could not be downloaded: it took longer than 0.2 seconds."
    assert error.code == "failed_to_download_image"


@pytest.mark.parametrize(
    "body",
    [b"<html>not here</html>", b"\x89PN", b"\x1f\x8b\x08" + bytes(20)],
    ids=["html", "cut off", "compressed"],
)
async def test_the_content_decides(host: Host, body: bytes) -> None:
    host.says["/a"] = reply(body, "content-type: image/png", "content-encoding: gzip")
    async with reader(host) as links:
        error = await refusal(links, host.link("/a"))
    assert isinstance(error, UnreadableFile)
    assert error.code == "invalid_image"


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (b"GIF89a" + bytes(20), "image/gif"),
        (b"\0\0\0\x18ftypheic" + bytes(20), "image/heic"),
        (b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
    ],
    ids=["gif", "heic", "svg"],
)
async def test_a_picture_that_no_vendor_takes_is_named(host: Host, body: bytes, media_type: str) -> None:
    host.says["/a"] = reply(body, "content-type: image/png")
    async with reader(host) as links:
        error = await refusal(links, host.link("/a"))
    assert isinstance(error, UnreadableFile)
    assert (error.code, f"('{media_type}')" in error.message) == ("unsupported_file_mimetype", True)


async def test_what_is_no_picture_is_not_read_to_its_end(host: Host) -> None:
    async def page(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n<html><body>")
        await writer.drain()
        await asyncio.sleep(30)

    host.says["/a"] = page
    async with reader(host) as links:
        assert isinstance(await refusal(links, host.link("/a")), UnreadableFile)


async def test_nothing_came(host: Host) -> None:
    host.says["/a"] = reply(b"")
    async with reader(host) as links:
        assert isinstance(await refusal(links, host.link("/a")), UnreadableFile)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        ("204 No Content", b""),
        ("206 Partial", PNG),
        ("302 Found", PNG),
        ("304 Not Modified", b""),
        ("404 Not Found", PNG),
        ("500 Oh", PNG),
    ],
)
async def test_only_200_is_a_picture(host: Host, status: str, body: bytes) -> None:
    host.says["/a"] = reply(body, status=status)
    async with reader(host) as links:
        error = await refusal(links, host.link("/a"))
    assert isinstance(error, UnreachableLink)
    assert error.message == f"{PARAM} could not be downloaded: its host answered with status {status[:3]}."
    assert error.code == "failed_to_download_image"


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 2",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n" + PNG,
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n" + PNG,
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n" + PNG,
        b"HTTP/1.1 200 OK\r\nx: " + bytes(200_000),
        reply(PNG, status="204 No Content"),
        break_tls,
    ],
    ids=[
        "nothing",
        "half a line",
        "not http",
        "cut off",
        "negative length",
        "two lengths",
        "endless header",
        "a body where none may be",
        "no TLS",
    ],
)
async def test_a_broken_host(host: Host, said: bytes | Script) -> None:
    host.says["/a"] = said
    async with reader(host) as links:
        error = await refusal(links, host.link("/a"))
    assert isinstance(error, UnreachableLink)
    assert error.message == f"{PARAM} could not be downloaded: its host did not answer, or not with valid https."
    assert error.code == "failed_to_download_image"


async def test_nobody_listens(host: Host) -> None:
    async with reader(host, Names({NAME: [["127.0.0.2"]]})) as links:
        error = await refusal(links, host.link("/a"))
    assert isinstance(error, UnreachableLink)
    assert "127" not in error.message
