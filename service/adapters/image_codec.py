"""Looks into pictures and turns them into other formats, with Pillow.

Rule: a picture's header is read before its pixels, and a picture that would unpack into more than 100 megapixels is
never unpacked. Files are known by their first bytes, whatever they are called. Broken, unknown or oversized files are
`UnreadableFile`, and so are those whose header is made to be read for minutes: Pillow reads headers in Python. It works
in threads, a few at a time; with all of them at work, the next caller waits.
"""

import asyncio
import io
import struct
from collections.abc import Callable, Mapping
from math import inf
from typing import BinaryIO, cast

import pybase64
from PIL import ExifTags, Image, ImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from service.domain.errors import UnreadableFile
from service.domain.generation import Buffer, GeneratedImage
from service.domain.image_spec import Reference, Size
from service.domain.routing import Transcode
from service.domain.sniff import HEAD as NAMED
from service.domain.sniff import READABLE, sniff, unsupported_type
from service.usecases.ports.image_codec import ImageInfo

MAX_PIXELS = 100_000_000
MAX_HEADER_READS = 10_000
"""Of a header. Cameras' and editors' take some hundred; a byte is enough for one, and 50 MB of those for minutes."""

MAX_METADATA_BYTES = 65_536
"""Bytes of Exif: what fits into a jpeg."""

HEAD = 65_536
HEAD_GROWTH = 8
SIGNATURE_BYTES = 12
SVG_STARTS = (b"<svg", b"<?xml")
ROTATED_ORIENTATIONS = frozenset({5, 6, 7, 8})

DECODE_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    TypeError,
    LookupError,
    EOFError,
    RuntimeError,
    struct.error,
    Image.DecompressionBombError,
)
"""What Pillow's readers raise over broken files."""

# The readers are called directly: `Image.open` would try every format it knows, warn about sizes that are allowed here,
# and call a jpeg with a second picture inside (as some phones write) something other than a jpeg.
READERS: Mapping[bytes, Callable[[BinaryIO], ImageFile.ImageFile]] = {
    b"\x89PNG\r\n\x1a\n": PngImageFile,
    b"\xff\xd8\xff": JpegImageFile,
    b"GIF87a": GifImageFile,
    b"GIF89a": GifImageFile,
    b"RIFF": WebPImageFile,
}

SAVE: Mapping[str, Callable[[int], dict[str, object]]] = {
    "png": lambda _: {},
    "jpeg": lambda quality: {"quality": max(quality, 1)},
    "webp": lambda quality: {"quality": quality},
}


class BoundedReader:
    """A file that is read a bounded number of times, until it is known to be good."""

    def __init__(self, file: BinaryIO) -> None:
        self.seek, self.tell = file.seek, file.tell
        self._read = file.read
        self._left: float = MAX_HEADER_READS

    def read(self, length: int = -1) -> bytes:
        """The next bytes. Raises `OSError` at the first read too many."""
        self._left -= 1
        if self._left < 0:
            raise OSError("too many reads")
        return self._read(length)

    def lift_bound(self) -> None:
        """Count no more: pixels come in as many pieces as there are."""
        self._left = inf


class PillowCodec:
    """Looks and develops. `threads` is how many pictures are worked on at a time."""

    def __init__(self, threads: int = 2) -> None:
        self._gate = asyncio.Semaphore(threads)

    async def inspect(self, reference: Reference) -> ImageInfo:
        """Read the header of a picture at hand. Raises `UnreadableFile` naming its `param`."""
        async with self._gate:
            return await asyncio.to_thread(inspect_reference, reference)

    async def inspect_generated(self, image: GeneratedImage) -> ImageInfo | None:
        """The same for a bought picture; None for svg. Raises `UnreadableFile`."""
        async with self._gate:
            return await asyncio.to_thread(_inspect_base64, image.base64)

    async def transcode(self, image: GeneratedImage, target: Transcode) -> GeneratedImage:
        """The picture as png, jpeg (transparency becomes white) or webp. Raises `UnreadableFile`."""
        async with self._gate:
            base64 = await asyncio.to_thread(_transcode, image.base64, target)
        return GeneratedImage(base64=base64, revised_prompt=image.revised_prompt)


def read_header(file: BinaryIO, name: str) -> ImageFile.ImageFile:
    """A picture whose pixels have not been touched yet. `name` is what the caller calls it.

    Raises:
        UnreadableFile: no format that is known here, a broken header, or more than 100 megapixels.
    """
    signature = file.read(SIGNATURE_BYTES)
    file.seek(0)
    bounded = BoundedReader(file)
    try:
        reader = next(open_format for magic, open_format in READERS.items() if signature.startswith(magic))
        image = reader(cast("BinaryIO", bounded))
    except (*DECODE_ERRORS, StopIteration):
        raise unreadable_file(name) from None
    if image.width * image.height > MAX_PIXELS:
        megapixels = MAX_PIXELS // 1_000_000
        raise UnreadableFile(
            f"Invalid image file for {name}: it has more than {megapixels} megapixels.",
            param=name,
            code="invalid_image",
        )
    bounded.lift_bound()
    return image


def unreadable_file(name: str) -> UnreadableFile:
    """The refusal of a file that is no picture, in the vendor's words."""
    text = f"Invalid image file or mode for {name}, please check your image file."
    return UnreadableFile(text, param=name, code="invalid_image")


def inspect_reference(reference: Reference) -> ImageInfo:
    """The header of a picture at hand, read in this thread. Raises `UnreadableFile` naming its `param`."""
    if reference.content is None:
        raise unreadable_file(reference.param)
    with reference.content.open() as file:
        media_type = sniff(file.read(NAMED))
        if media_type and media_type not in READABLE:
            raise unsupported_type(reference.param, media_type)
        file.seek(0)
        return _inspect(file, reference.param)


def _inspect(file: BinaryIO, name: str) -> ImageInfo:
    with read_header(file, name) as image:
        width, height = (image.height, image.width) if _is_rotated(image) else image.size
        media_type = f"image/{str(image.format).lower()}"
        return ImageInfo(media_type=media_type, size=Size(width, height), has_alpha=image.has_transparency_data)


def _is_rotated(image: ImageFile.ImageFile) -> bool:
    """Does a viewer turn this picture by a quarter? Notes that cannot be read, or are a book, turn nothing."""
    if len(image.info.get("exif", b"")) > MAX_METADATA_BYTES:
        return False
    try:
        # The base class's own method: the one for png would decode all pixels to look for notes behind them.
        return Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1) in ROTATED_ORIENTATIONS
    except DECODE_ERRORS:
        return False


def _inspect_base64(base64: Buffer) -> ImageInfo | None:
    """Decode no more than the header takes: a head of the text, and a longer one while that is not enough."""
    length = HEAD
    while True:
        head = _decode_base64(memoryview(base64)[:length])
        if head.lstrip().startswith(SVG_STARTS):
            return None
        try:
            return _inspect(io.BytesIO(head), "picture")
        except UnreadableFile:
            if length >= len(base64):
                raise
        length *= HEAD_GROWTH


def _decode_base64(base64: Buffer) -> bytes:
    try:
        return pybase64.b64decode(base64, validate=True)
    except ValueError:
        raise unreadable_file("picture") from None


def _transcode(base64: Buffer, target: Transcode) -> bytes:
    with read_header(io.BytesIO(_decode_base64(base64)), "picture") as image:
        try:
            image.load()
            encoded = flatten(image) if target.output_format == "jpeg" else image
        except DECODE_ERRORS:
            raise unreadable_file("picture") from None
        file = io.BytesIO()
        profile = image.info.get("icc_profile")
        settings = SAVE[target.output_format](target.quality)
        encoded.save(file, target.output_format, icc_profile=profile, **settings)
    return pybase64.b64encode(file.getbuffer())


def flatten(image: Image.Image) -> Image.Image:
    """The picture in RGB, on white where it is transparent."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    translucent = image.convert("RGBA")
    paper = Image.new("RGB", image.size, "white")
    paper.paste(translucent, mask=translucent)
    return paper
