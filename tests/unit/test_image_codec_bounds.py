"""Headers that are made to be read for minutes are given up; pixels come in as many pieces as there are."""

import io
import struct
import warnings
import zlib

import pybase64
import pytest
from PIL import Image

from service.adapters.image_codec import (
    MAX_HEADER_READS,
    MAX_METADATA_BYTES,
    BoundedReader,
    inspect_reference,
    read_header,
)
from service.adapters.uploads import FileSpool
from service.domain.errors import UnreadableFile
from service.domain.generation import GeneratedImage
from service.domain.image_spec import Reference
from service.domain.routing import Transcode
from tests.unit.test_image_codec import CODEC


class Counted(io.BytesIO):
    """A file that counts how often it is read."""

    reads = 0

    def read(self, size: int | None = -1) -> bytes:
        self.reads += 1
        return super().read(size)


@pytest.mark.parametrize("filler", [b"\xff", b"\0", b"\xff\xfe\x00\x02", b"\xff\xe1\x00\x02"])
def test_a_header_is_read_so_often_and_no_more(filler: bytes) -> None:
    file = Counted(b"\xff\xd8\xff" + filler * 200_000)
    with pytest.raises(UnreadableFile):
        read_header(file, "image")
    assert file.reads <= MAX_HEADER_READS + 1


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def sliced(png: bytes) -> bytes:
    """Return the png with one byte of pixels in each chunk."""
    start = png.index(b"IDAT") - 4
    length = struct.unpack(">I", png[start : start + 4])[0]
    pixels = png[start + 8 : start + 8 + length]
    pieces = b"".join(chunk(b"IDAT", bytes([byte])) for byte in pixels)
    return png[:start] + pieces + png[start + 12 + length :]


async def test_pixels_may_come_in_any_number_of_pieces() -> None:
    drawn = io.BytesIO()
    Image.effect_noise((96, 96), 100).save(drawn, "PNG")
    png = sliced(drawn.getvalue())
    assert png.count(b"IDAT") * 3 > MAX_HEADER_READS
    generated = GeneratedImage(base64=pybase64.b64encode(png))
    developed = await CODEC.transcode(generated, Transcode(output_format="webp", quality=80))
    assert pybase64.b64decode(developed.base64).startswith(b"RIFF")


def test_who_is_trusted_is_not_counted() -> None:
    bounded = BoundedReader(io.BytesIO(bytes(2 * MAX_HEADER_READS)))
    bounded.lift_bound()
    assert sum(len(bounded.read(1)) for _ in range(2 * MAX_HEADER_READS)) == 2 * MAX_HEADER_READS


def turned(padding: int) -> Reference:
    """A picture that lies on its side, as its notes say, which are so much longer than they need to be."""
    notes = Image.Exif()
    notes[0x0112] = 6
    drawn = io.BytesIO()
    Image.new("RGB", (8, 4)).save(drawn, "PNG", exif=notes.tobytes() + bytes(padding))
    intake = FileSpool(1 << 20).begin("image")
    intake.write(drawn.getvalue())
    return intake.finish()


def test_notes_like_a_book_are_not_read() -> None:
    with warnings.catch_warnings(action="error"):
        assert str(inspect_reference(turned(0)).size) == "4x8"
        assert str(inspect_reference(turned(MAX_METADATA_BYTES)).size) == "8x4"
