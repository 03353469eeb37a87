"""Images that are bombs, lies or truncated: refused by their headers, in little time and memory, before a call."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping

import httpx2
import psutil
import pytest
from PIL import Image

from tests.simulators.server import Simulator
from tests.support.compression_bombs import deflated, gzipped
from tests.support.gateway import GatewayProcess
from tests.support.images import png

MEGABYTE = 1_000_000
SIGNATURE = b"\x89PNG\r\n\x1a\n"
BAD, TYPE = "invalid_image", "unsupported_file_mimetype"


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def drawn(width: int = 64, height: int = 64, more: bytes = b"", *, depth: int = 8, color: int = 6) -> bytes:
    """Build a png of that size, as far as its header claims."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    return SIGNATURE + header + more + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def frames(kind: str, count: int) -> bytes:
    file = io.BytesIO()
    first, *others = (Image.new("RGB", (16, 16), (number % 256, number // 256, 0)) for number in range(count))
    first.save(file, kind, save_all=True, append_images=others, duration=10)
    return file.getvalue()


def exif(entries: int) -> bytes:
    """Build Exif entries that all overlap."""
    tags = b"".join(struct.pack(">HHII", number + 1, 2, 60_000, 8) for number in range(entries))
    return b"MM\0*\0\0\0\x08" + struct.pack(">H", entries) + tags


LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;"><!ENTITY c SYSTEM "file:///etc/passwd">]>'
    b'<svg xmlns="http://www.w3.org/2000/svg"><text>&b;&c;</text></svg>'
)

REFUSED: Mapping[str, tuple[Callable[[], bytes], str]] = {
    "60000 x 60000": (lambda: drawn(60_000, 60_000), BAD),
    "as large as can be said": (lambda: drawn(2**31 - 1, 2**31 - 1), BAD),
    "no size": (lambda: drawn(0, 0), BAD),
    "bits that are none": (lambda: drawn(depth=7), BAD),
    "colours that are none": (lambda: drawn(color=9), BAD),
    "compressed text": (lambda: drawn(more=chunk(b"zTXt", b"a\0\0" + deflated())), BAD),
    "compressed international text": (lambda: drawn(more=chunk(b"iTXt", b"a\0\1\0\0\0" + deflated())), BAD),
    "compressed profile": (lambda: drawn(more=chunk(b"iCCP", b"a\0\0" + deflated())), BAD),
    "a million chunks": (lambda: drawn(more=chunk(b"tEXt", b"a\0b") * MEGABYTE), BAD),
    "a chunk beyond the end": (lambda: SIGNATURE + struct.pack(">I", 2**31 - 1) + b"IHDR", BAD),
    "a signature": (lambda: SIGNATURE, BAD),
    "a png that stops": (lambda: drawn()[:40], BAD),
    "jpeg, large": (
        lambda: b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xdc\xff\xdc\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01\xff\xda",
        BAD,
    ),
    "jpeg, filled up": (lambda: b"\xff\xd8\xff" + b"\xff" * 20 * MEGABYTE, BAD),
    "jpeg, nothing": (lambda: b"\xff\xd8\xff" + bytes(20 * MEGABYTE), BAD),
    "jpeg, comments": (lambda: b"\xff\xd8" + b"\xff\xfe\x00\x02" * 5 * MEGABYTE, BAD),
    "jpeg, notes": (lambda: b"\xff\xd8" + b"\xff\xe1\x00\x10Exif\0\0MM\0*\0\0\0\x00" * MEGABYTE, BAD),
    "gif, large": (lambda: b"GIF89a\xff\xff\xff\xff\0\0\0," + bytes(100), BAD),
    "gif, comments": (lambda: b"GIF89a\1\0\1\0\0\0\0" + b"!\xfe\x01a\0" * MEGABYTE, BAD),
    "gif, frames": (lambda: frames("GIF", 500), TYPE),
    "webp, large": (lambda: b"RIFF\x64\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0" + b"\xff" * 6 + bytes(70), BAD),
    "webp, torn": (lambda: b"RIFF" + b"\xff" * 8 + b"WEBPVP8X" + b"\xff" * 100, BAD),
    "tiff under a png's signature": (lambda: SIGNATURE + b"II*\0" + bytes(100), BAD),
    "tiff": (lambda: b"II*\0" + bytes(1000), TYPE),
    "svg that laughs": (lambda: LAUGHS, TYPE),
    "postscript": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n", BAD),
    "bmp": (lambda: b"BM" + bytes(100), TYPE),
    "psd": (lambda: b"8BPS" + bytes(100), BAD),
    "heic": (lambda: b"\0\0\0\x18ftypheic" + bytes(100), TYPE),
    "gzip": (gzipped, BAD),
}
"""A function that builds the bytes in the test, and the code of their refusal."""

TAKEN: Mapping[str, Callable[[], bytes]] = {
    "frames of a png": lambda: frames("PNG", 300),
    "frames of a webp": lambda: frames("WEBP", 300),
    "notes like a book": lambda: drawn(more=chunk(b"eXIf", exif(40_000))),
    "notes over each other": lambda: drawn(more=chunk(b"eXIf", exif(5000))),
    "notes that lead to themselves": lambda: drawn(
        more=chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\x01\x87\x69\0\x04\0\0\0\1\0\0\0\x08\0\0\0\x08")
    ),
    "something behind the end": lambda: png() + b"PK\3\4<script>",
}


@pytest.fixture(autouse=True)
def _still_serves(openai_gateway: GatewayProcess, openai_sim: Simulator, http: httpx2.Client) -> Iterator[None]:
    del openai_sim
    process = psutil.Process(openai_gateway.pid)
    before = process.memory_info().rss
    yield
    assert process.memory_info().rss - before < 150 * MEGABYTE
    assert edited(http, openai_gateway, png()).status_code == 200
    assert [line for line in openai_gateway.logged() if line["event"] == "crash"] == []
    assert [line for line in openai_gateway.lines if not line.startswith("{") and "PIL" in line] == []


def edited(http: httpx2.Client, gateway: GatewayProcess, image: bytes) -> httpx2.Response:
    fields = {"prompt": "a fox", "model": "gpt-image-2", "quality": "low", "size": "1024x1024"}
    return http.post(
        f"{gateway.url}/v1/images/edits", data=fields, files={"image": ("a.png", image)}, headers=gateway.headers
    )


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_image_is_refused(
    http: httpx2.Client, openai_gateway: GatewayProcess, openai_sim: Simulator, name: str
) -> None:
    build, code = REFUSED[name]
    reply = edited(http, openai_gateway, build())
    error = reply.json()["error"]
    assert (reply.status_code, error["param"], error["code"]) == (400, "image[0]", code)
    assert openai_sim.requests == []


@pytest.mark.parametrize("name", TAKEN)
def test_an_image_with_a_valid_header_is_forwarded(
    http: httpx2.Client, openai_gateway: GatewayProcess, openai_sim: Simulator, name: str
) -> None:
    assert edited(http, openai_gateway, TAKEN[name]()).status_code == 200
    assert len(openai_sim.requests) == 1
