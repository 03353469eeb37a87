"""Inspection and transcoding of images, with Pillow.

Rule: a header is read before pixels, and an image of more than 100 megapixels is never decoded. The first bytes decide
about a file's format, not its name. Work runs in threads, a few at a time. The next caller waits for a free thread.

Fails with: `UnreadableFile` for a broken, unknown or oversized file. A header that would take minutes is
`UnreadableFile` too, because Pillow reads headers in Python.
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
from service.domain.sniff import HEAD as SNIFFED_BYTES
from service.domain.sniff import READABLE, sniff, unsupported_type
from service.usecases.ports.image_codec import ImageCodec, ImageInfo

MAX_PIXELS = 100_000_000
MAX_HEADER_READS = 10_000
"""Reads of one header.

Files of cameras and editors need some hundred. A read may be one byte, and 50 MB of those take minutes.
"""

MAX_METADATA_BYTES = 65_536
"""Bytes of Exif, as many as fit into a jpeg."""

UNCOUNTED_METHODS = frozenset({"seek", "tell"})
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
"""Errors of Pillow's readers for broken files."""

# Readers are called directly. `Image.open` would try every format, warn about sizes that are allowed here, and report a
# jpeg with a second image inside, as some phones write it, as another format.
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
    """A file with a bounded number of reads, until its header is known to be good."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left: float = MAX_HEADER_READS

    def read(self, length: int = -1) -> bytes:
        """Return the next bytes. Raises `OSError` at the first read beyond the bound."""
        self._left -= 1
        if self._left < 0:
            raise OSError("too many reads")
        return self._file.read(length)

    def __getattr__(self, name: str) -> object:
        """Return the file's own methods that read nothing, which Pillow calls too."""
        if name not in UNCOUNTED_METHODS:
            raise AttributeError(name)
        return getattr(self._file, name)

    def lift_bound(self) -> None:
        """Lift the bound, because pixels come in any number of reads."""
        self._left = inf


class PillowCodec(ImageCodec):
    """An image codec. `threads` is the number of images at a time."""

    def __init__(self, threads: int = 2) -> None:
        self._gate = asyncio.Semaphore(threads)

    async def inspect(self, reference: Reference) -> ImageInfo:
        async with self._gate:
            return await asyncio.to_thread(inspect_reference, reference)

    async def inspect_generated(self, image: GeneratedImage) -> ImageInfo | None:
        async with self._gate:
            return await asyncio.to_thread(_inspect_base64, image.base64)

    async def transcode(self, image: GeneratedImage, transcode: Transcode) -> GeneratedImage:
        async with self._gate:
            base64 = await asyncio.to_thread(_transcode, image.base64, transcode)
        return GeneratedImage(base64=base64, revised_prompt=image.revised_prompt)


def read_header(file: BinaryIO, name: str) -> ImageFile.ImageFile:
    """Open an image without its pixels. `name` is the caller's name of it.

    Raises:
        UnreadableFile: an unknown format, a broken header, or more than 100 megapixels.
    """
    # The signature chooses one reader, so that no other format's reader sees the file.
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
    """Build the refusal of a file that is no image, in the vendor's words."""
    text = f"Invalid image file or mode for {name}, please check your image file."
    return UnreadableFile(text, param=name, code="invalid_image")


def inspect_reference(reference: Reference) -> ImageInfo:
    """Read the header of a reference in this thread. Raises `UnreadableFile` with its `param`."""
    if reference.content is None:
        raise unreadable_file(reference.param)
    with reference.content.open() as file:
        media_type = sniff(file.read(SNIFFED_BYTES))
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
    """Return whether a viewer rotates the image by 90 degrees. Unreadable or oversized metadata rotates nothing."""
    if len(image.info.get("exif", b"")) > MAX_METADATA_BYTES:
        return False
    try:
        # The base class's method. The method of png would decode all pixels to find metadata behind them.
        return Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1) in ROTATED_ORIENTATIONS
    except DECODE_ERRORS:
        return False


def _inspect_base64(base64: Buffer) -> ImageInfo | None:
    """Inspect an image from the first part of its base64. A longer part is decoded only if the header needs it."""
    length = HEAD
    while True:
        head = _decode_base64(memoryview(base64)[:length])
        if head.lstrip().startswith(SVG_STARTS):
            return None
        try:
            return _inspect(io.BytesIO(head), "image")
        except UnreadableFile:
            if length >= len(base64):
                raise
        length *= HEAD_GROWTH


def _decode_base64(base64: Buffer) -> bytes:
    try:
        return pybase64.b64decode(base64, validate=True)
    except ValueError:
        raise unreadable_file("image") from None


def _transcode(base64: Buffer, target: Transcode) -> bytes:
    with read_header(io.BytesIO(_decode_base64(base64)), "image") as image:
        try:
            image.load()
            encoded = flatten(image) if target.output_format == "jpeg" else image
        except DECODE_ERRORS:
            raise unreadable_file("image") from None
        file = io.BytesIO()
        profile = image.info.get("icc_profile")
        settings = SAVE[target.output_format](target.quality)
        encoded.save(file, target.output_format, icc_profile=profile, **settings)
    return pybase64.b64encode(file.getbuffer())


def flatten(image: Image.Image) -> Image.Image:
    """Convert an image to RGB, on white where it is transparent."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    translucent = image.convert("RGBA")
    paper = Image.new("RGB", image.size, "white")
    paper.paste(translucent, mask=translucent)
    return paper
