"""The body of a call: a form as vendors read it, of known length, never in one chunk."""

import io
from typing import cast

import pytest
from aiohttp.abc import AbstractStreamWriter

from service.adapters.backends.dialect import Call
from service.adapters.backends.request_body import CHUNK_BYTES, CallBody

FORM = """--{0}\r
Content-Disposition: form-data; name="prompt"\r
\r
a füchs\r
--{0}\r
Content-Disposition: form-data; name="svg[reasoning][effort]"\r
\r
low\r
--{0}\r
Content-Type: image/png\r
Content-Disposition: form-data; name="image[]"; filename="image-0.png"\r
\r
first\r
--{0}\r
Content-Type: image/webp\r
Content-Disposition: form-data; name="image[]"; filename="image-1.webp"\r
\r
\r
--{0}--\r
"""


class Collector:
    """As much of a writer as a body uses."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    async def write(self, piece: bytes) -> None:
        self.pieces.append(bytes(piece))


async def sent(body: CallBody) -> list[bytes]:
    writer = Collector()
    begun = [body.is_started]
    await body.write(cast("AbstractStreamWriter", writer))
    assert [*begun, body.is_started] == [False, True]
    assert body.size == sum(map(len, writer.pieces))
    return writer.pieces


def form() -> Call:
    files = (
        ("image[]", ("image-0.png", io.BytesIO(b"first"), "image/png")),
        ("image[]", ("image-1.webp", io.BytesIO(), "image/webp")),
    )
    return Call(path="/x", fields={"prompt": "a füchs", "svg[reasoning][effort]": "low"}, files=files)


async def test_a_form() -> None:
    body = CallBody(form(), 1)
    kind, boundary = body.content_type.split("; boundary=")
    assert kind == "multipart/form-data"
    assert b"".join(await sent(body)).decode() == FORM.format(boundary)


@pytest.mark.parametrize("length", [0, 1, CHUNK_BYTES, 20 * CHUNK_BYTES + 1])
async def test_a_document_goes_in_pieces(length: int) -> None:
    document = b"x" * length
    body = CallBody(Call(path="/x", json=document), 1)
    assert body.content_type == "application/json"
    pieces = await sent(body)
    assert b"".join(pieces) == document
    assert max(map(len, pieces), default=0) <= CHUNK_BYTES


async def test_a_file_is_read_from_its_start_and_left_open() -> None:
    reader = io.BytesIO(b"0123456789")
    reader.seek(4)
    pieces = await sent(CallBody(Call(path="/x", files=(("image", ("image.png", reader, "image/png")),)), 1))
    assert b"0123456789" in pieces
    assert not reader.closed


def test_a_body_can_be_shown() -> None:
    assert "first" in CallBody(form(), 1).decode()
