"""The darkroom against real files: what they are is read from their bytes, and what is broken is refused by name."""

import io
import struct
import zlib
from typing import Any, BinaryIO

import pybase64
import pytest
from PIL import Image

from service.adapters.image_codec import HEAD, PillowCodec
from service.domain.errors import UnreadableFile
from service.domain.generation import GeneratedImage
from service.domain.image_spec import Reference, Size
from service.domain.routing import Transcode

CODEC = PillowCodec()
HALF = (200, 30, 40, 128)


class Held:
    """Content in memory that counts what was read of it."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.length = len(body)
        self.readers: list[io.BytesIO] = []

    def open(self) -> BinaryIO:
        self.readers.append(io.BytesIO(self.body))
        return self.readers[-1]


def file(form: str, mode: str = "RGB", size: tuple[int, int] = (30, 20), **settings: Any) -> bytes:
    out = io.BytesIO()
    colour: Any = HALF if mode == "RGBA" else 0
    Image.new(mode, size, colour).save(out, form, **settings)
    return out.getvalue()


def noise(size: tuple[int, int], form: str) -> bytes:
    out = io.BytesIO()
    Image.effect_noise(size, 80).convert("RGB").save(out, form)
    return out.getvalue()


def reference(body: bytes) -> Reference:
    return Reference(param="image[3]", digest="d", content=Held(body))


def generated(body: bytes) -> GeneratedImage:
    return GeneratedImage(base64=pybase64.b64encode(body), revised_prompt="as revised")


def opened(generated_image: GeneratedImage) -> Image.Image:
    return Image.open(io.BytesIO(pybase64.b64decode(generated_image.base64)))


def turned(form: str) -> bytes:
    notes = Image.Exif()
    notes[0x0112] = 6
    return file(form, exif=notes.tobytes())


def bomb() -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 5_001, 8, 0, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0")
    chunks = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, data)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize(
    ("body", "media_type", "alpha"),
    [
        (file("png"), "image/png", False),
        (file("png", "RGBA"), "image/png", True),
        (file("png", "P", transparency=0), "image/png", True),
        (file("png", "P"), "image/png", False),
        (file("jpeg"), "image/jpeg", False),
        (file("webp"), "image/webp", False),
        (file("webp", "RGBA"), "image/webp", True),
        (file("gif"), "image/gif", False),
    ],
)
async def test_a_look_tells_type_size_and_alpha(body: bytes, media_type: str, alpha: bool) -> None:
    look = await CODEC.inspect(reference(body))
    assert (look.media_type, look.size, look.has_alpha) == (media_type, Size(30, 20), alpha)


async def test_a_phone_photo_with_a_second_picture_inside_is_a_jpeg() -> None:
    body = io.BytesIO()
    frames = [Image.new("RGB", (30, 20)), Image.new("RGB", (30, 20), "red")]
    frames[0].save(body, "MPO", save_all=True, append_images=frames[1:])
    look = await CODEC.inspect(reference(body.getvalue()))
    assert look.media_type == "image/jpeg"


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
async def test_the_size_is_that_of_the_upright_picture(form: str) -> None:
    assert (await CODEC.inspect(reference(turned(form)))).size == Size(20, 30)


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
async def test_notes_that_cannot_be_read_turn_nothing(form: str) -> None:
    body = file(form, exif=b"Exif\0\0garbage")
    assert (await CODEC.inspect(reference(body))).size == Size(30, 20)


async def test_a_look_reads_the_header_and_leaves_the_pixels() -> None:
    content = Held(noise((900, 900), "png"))
    await CODEC.inspect(Reference(param="image", digest="d", content=content))
    assert content.length > 1_000_000
    assert content.readers[0].closed
    cut = content.body[:2000]
    assert (await CODEC.inspect(reference(cut))).size == Size(900, 900)


@pytest.mark.parametrize("body", [b"BMW is a car", b"hello", b"RIFF0000WAVEfmt ", b"\x89PNG\r\n\x1a\n\0", b"GIF89a"])
async def test_what_is_no_picture_is_refused_by_name(body: bytes) -> None:
    with pytest.raises(UnreadableFile, match=r"Invalid image file or mode for image\[3\]") as caught:
        await CODEC.inspect(reference(body))
    assert (caught.value.param, caught.value.code) == ("image[3]", "invalid_image")


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (file("bmp"), "image/bmp"),
        (file("tiff"), "image/tiff"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "image/heic"),
        (file("avif"), "image/avif"),
        (b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
    ],
    ids=["bmp", "tiff", "heic", "avif", "svg"],
)
async def test_a_picture_in_a_format_that_no_vendor_takes_is_named(body: bytes, media_type: str) -> None:
    with pytest.raises(UnreadableFile) as caught:
        await CODEC.inspect(reference(body))
    assert (caught.value.param, caught.value.code) == ("image[3]", "unsupported_file_mimetype")
    assert caught.value.message == (
        f"Invalid file 'image[3]': unsupported mimetype ('{media_type}'). "
        "Supported file formats are 'image/jpeg', 'image/png', and 'image/webp'."
    )


async def test_a_link_that_was_not_fetched_cannot_be_looked_at() -> None:
    with pytest.raises(UnreadableFile):
        await CODEC.inspect(Reference(param="image", digest="d", link="https://example.com/a.png"))


async def test_a_picture_that_would_unpack_beyond_100_megapixels_is_refused() -> None:
    with pytest.raises(UnreadableFile, match="100 megapixels") as caught:
        await CODEC.inspect(reference(bomb()))
    assert (caught.value.param, caught.value.code) == ("image[3]", "invalid_image")
    with pytest.raises(UnreadableFile):
        await CODEC.transcode(generated(bomb()), Transcode(output_format="jpeg", quality=80))


@pytest.mark.parametrize("form", ["png", "jpeg", "webp", "gif"])
async def test_a_bought_picture_is_measured(form: str) -> None:
    look = await CODEC.inspect_generated(generated(file(form)))
    assert look is not None
    assert (look.media_type, look.size) == (f"image/{form}", Size(30, 20))


async def test_measuring_takes_no_more_than_the_head_of_a_png() -> None:
    head = pybase64.b64encode(noise((900, 900), "png"))[:HEAD]
    look = await CODEC.inspect_generated(GeneratedImage(base64=memoryview(head + b"!" * 400_000)))
    assert look is not None
    assert look.size == Size(900, 900)


async def test_measuring_goes_on_where_the_head_is_not_enough() -> None:
    large = noise((700, 700), "webp")
    assert len(large) > HEAD
    look = await CODEC.inspect_generated(generated(large))
    assert look is not None
    assert look.size == Size(700, 700)


@pytest.mark.parametrize("text", [b"<svg xmlns='http://www.w3.org/2000/svg'/>", b'\n<?xml version="1.0"?><svg/>'])
async def test_a_drawing_in_shapes_has_no_pixels(text: bytes) -> None:
    assert await CODEC.inspect_generated(generated(text)) is None


@pytest.mark.parametrize("base64", [b"aGVsbG8=", b"", b"no base64!", b"aaa"])
async def test_a_bought_thing_that_is_no_picture_is_refused(base64: bytes) -> None:
    with pytest.raises(UnreadableFile):
        await CODEC.inspect_generated(GeneratedImage(base64=base64))


@pytest.mark.parametrize("form", ["jpeg", "webp"])
async def test_developing_changes_the_format_and_keeps_the_rest(form: str) -> None:
    developed = await CODEC.transcode(generated(file("png")), Transcode(output_format=form, quality=90))
    with opened(developed) as image:
        assert (image.format, image.size, image.mode) == (form.upper(), (30, 20), "RGB")
    assert developed.revised_prompt == "as revised"


async def test_jpeg_shows_white_through_and_webp_keeps_the_alpha() -> None:
    generated_image = generated(file("png", "RGBA"))
    jpeg = opened(await CODEC.transcode(generated_image, Transcode(output_format="jpeg", quality=100)))
    webp = opened(await CODEC.transcode(generated_image, Transcode(output_format="webp", quality=100)))
    with jpeg, webp:
        shown: Any = jpeg.getpixel((15, 10))
        pixel: Any = webp.getpixel((15, 10))
    assert all(abs(a - b) < 4 for a, b in zip(shown, (227, 142, 147), strict=True))
    assert pixel[3] == 128


@pytest.mark.parametrize("form", ["jpeg", "webp"])
async def test_quality_decides_on_the_length(form: str) -> None:
    generated_image = generated(noise((120, 120), "png"))
    lengths = [
        len((await CODEC.transcode(generated_image, Transcode(output_format=form, quality=quality))).base64)
        for quality in (0, 50, 100)
    ]
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[2] / 2


async def test_the_colour_profile_survives() -> None:
    body = file("png", icc_profile=b"a profile of colours")
    with opened(await CODEC.transcode(generated(body), Transcode(output_format="jpeg", quality=90))) as image:
        assert image.info["icc_profile"] == b"a profile of colours"


@pytest.mark.parametrize("form", ["png", "jpeg"])
async def test_a_truncated_picture_is_not_developed(form: str) -> None:
    body = noise((200, 200), form)
    with pytest.raises(UnreadableFile):
        await CODEC.transcode(generated(body[: len(body) // 2]), Transcode(output_format="webp", quality=90))


async def test_a_broken_header_is_not_developed() -> None:
    with pytest.raises(UnreadableFile):
        await CODEC.transcode(GeneratedImage(base64=b"%%%"), Transcode(output_format="webp", quality=90))
