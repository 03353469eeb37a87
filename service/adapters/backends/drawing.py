"""Draws the sandbox's pictures: a landscape that no two samples share, above a band with the words of the prompt.

Rule: everything that a request can ask for can be seen in the picture, and the same arguments give the same bytes.
Nothing is drawn that was not asked for: outside the hole of a mask the caller's picture stays as it is. A caller's
picture that cannot be decoded is `UnreadableFile`.
"""

import hashlib
import io
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

import pybase64
from PIL import Image, ImageChops, ImageDraw, ImageOps

from service.adapters.backends.landscape import colour_of, compose, paint, shapes
from service.adapters.backends.lettering import Box, Lettering, band_of, elements, letter, typeface, write
from service.adapters.darkroom import BROKEN, flattened, read_header, unreadable
from service.domain.images import Reference, Size, Spec

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_COLOURS = {"RGB": 2, "RGBA": 6}
UP = b"\x02"
STRIP = 98_304
FRAMES = 9
FRAME_MS = 200
SVG_RASTER = 512
MIN_THUMBNAIL = 4
BLEND = 0.3
CAPTIONED = ("seed", "steps", "guidance_scale", "negative_prompt", "complexity", "input_fidelity", "moderation")


def draw(spec: Spec, fingerprint: str, index: int, size: Size, tier: str | None, sample: str = "") -> bytes:  # noqa: PLR0913, PLR0917 (what a picture shows)
    """One picture of a request, as a file in the format that the spec names.

    Args:
        spec: What is wanted. `output_compression` is the quality of jpeg and webp, 100 where it is not said.
        fingerprint: The spec's digest; it decides on shapes and colours.
        index: Which of the n pictures this is, from 0.
        size: Width and height in pixels; the picture has exactly these.
        tier: The quality to write on the picture.
        sample: What tells this call from others for the same spec; it is written on the picture.

    Raises:
        UnreadableFile: one of the caller's pictures is broken; `param` names it.
    """
    caption = _caption(spec, size, tier, _numbered(sample, index, spec.n))
    seed = hashlib.sha256(f"{fingerprint}/{sample}/{index}".encode()).digest()
    return ENCODE[spec.output_format](_sketch(spec, seed, size, caption))


def _numbered(sample: str, index: int, count: int) -> str:
    place = f"{index + 1} of {count}" if count > 1 else ""
    return ", ".join(filter(None, [sample and f"sample {sample}", place]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """The caller's pictures, reduced to what is drawn of them. `hole` is white where a mask asks for something new."""

    backdrop: Image.Image | None = None
    thumbnails: tuple[Image.Image, ...] = ()
    hole: Image.Image | None = None
    markup: Image.Image | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """All that one picture is made of, before anything is painted."""

    spec: Spec
    seed: bytes
    size: tuple[int, int]
    brought: Brought
    lettering: Lettering


def _sketch(spec: Spec, seed: bytes, size: Size, caption: tuple[str, ...]) -> Sketch:
    whole = (size.width, size.height)
    brought = _bring(spec, whole)
    return Sketch(
        spec=spec,
        seed=seed,
        size=whole,
        brought=brought,
        lettering=letter(spec.prompt, caption, band_of(_region(brought, whole))),
    )


def _region(brought: Brought, size: tuple[int, int]) -> Box:
    """What may be painted on: the surroundings of a mask's hole, or everything."""
    return (brought.hole and brought.hole.getbbox()) or (0, 0, *size)


def _caption(spec: Spec, size: Size, tier: str | None, sample: str) -> tuple[str, ...]:
    extras = [f"{name} {value}" for name in CAPTIONED if (value := getattr(spec, name)) is not None]
    facts = [spec.model, *filter(None, [tier]), str(size), *filter(None, [sample])]
    return tuple(", ".join(parts) for parts in (facts, extras) if parts)


def _bring(spec: Spec, size: tuple[int, int]) -> Brought:
    """Every picture of the caller's, decoded one after the other and kept only as large as it is drawn."""
    if not spec.references:
        return Brought()
    first, *others = spec.references
    hole = _hole(spec.mask, size) if spec.mask and spec.mask.content else None
    edge = _thumbnail_edge(_region(Brought(hole=hole), size), len(others))
    return Brought(
        backdrop=flattened(_cover(first, size)),
        thumbnails=tuple(flattened(_cover(other, (edge, edge))) for other in others),
        hole=hole,
        markup=_cover(spec.markup, size) if spec.markup and spec.markup.content else None,
    )


def _thumbnail_edge(region: Box, count: int) -> int:
    """A sixth of the short edge, or as much as lets all of them hang side by side; in pixels."""
    left, top, right, bottom = region
    return max(MIN_THUMBNAIL, min(min(right - left, bottom - top) // 6, int(0.72 * (right - left) / max(count, 1))))


def _cover(reference: Reference, size: tuple[int, int]) -> Image.Image:
    """The picture in RGBA, upright, scaled and cropped so that it fills the size."""
    return ImageOps.fit(_decode(reference, size), size, Image.Resampling.BILINEAR)


def _hole(mask: Reference, size: tuple[int, int]) -> Image.Image:
    alpha = _decode(mask, size).getchannel("A")
    hole = alpha.point([255] + [0] * 255)
    return ImageOps.fit(hole, size, Image.Resampling.BILINEAR)


def _decode(reference: Reference, size: tuple[int, int]) -> Image.Image:
    """A picture at hand, decoded no finer than it takes to fill the size."""
    if reference.content is None:
        return _stand_in(reference)
    with reference.content.open() as file, read_header(file, reference.param) as image:
        try:
            image.draft("RGB", size)
            image.load()
            with suppress(*BROKEN):
                ImageOps.exif_transpose(image, in_place=True)
            return image.convert("RGBA")
        except BROKEN:
            raise unreadable(reference.param) from None


def _stand_in(reference: Reference) -> Image.Image:
    """A card for a picture that stayed a link, in a colour of its own."""
    hue = hashlib.sha256(reference.digest.encode()).digest()[0] / 255
    card = Image.new("RGBA", (256, 256), colour_of(hue, 0.4, 0.5))
    ImageDraw.Draw(card).text((128, 128), "linked", "white", typeface(64), anchor="mm")
    return card


def _finish(sketch: Sketch, phase: float = 0.0, *, lettered: bool = True) -> Image.Image:
    """Paint a sketch: landscape, the caller's pictures, words; RGB, or RGBA for a transparent background."""
    brought = sketch.brought
    canvas = paint(compose(sketch.seed, phase), sketch.size)
    if brought.backdrop and not brought.hole:
        canvas = Image.blend(brought.backdrop, canvas, BLEND)
    _string_up(canvas, brought)
    if lettered:
        write(canvas, sketch.lettering)
    if brought.backdrop and brought.hole:
        canvas = Image.composite(canvas, brought.backdrop, brought.hole)
    if brought.markup:
        canvas.paste(brought.markup, mask=brought.markup)
    return _cut_out(canvas) if sketch.spec.background == "transparent" else canvas


def _string_up(canvas: Image.Image, brought: Brought) -> None:
    """Hang the thumbnails above the band, each in a white frame."""
    if not brought.thumbnails:
        return
    region = _region(brought, canvas.size)
    left, top, right, bottom = region[0], region[1], region[2], band_of(region)[1]
    edge, count = brought.thumbnails[0].width, len(brought.thumbnails)
    gap, frame = max(1, edge // 9), max(1, edge // 40)
    x = (left + right - count * edge - (count - 1) * gap) // 2
    y = bottom - edge - (bottom - top) // 16
    for thumbnail in brought.thumbnails:
        canvas.paste("white", (x - frame, y - frame, x + edge + frame, y + edge + frame))
        canvas.paste(thumbnail, (x, y))
        x += edge + gap


def _cut_out(canvas: Image.Image) -> Image.Image:
    """The picture as a sticker: rounded, with nothing at all around it."""
    width, height = canvas.size
    short = min(canvas.size)
    half = Image.new("L", ((width + 1) // 2, (height + 1) // 2))
    margin = short // 80
    box = (margin, margin, half.width - 1 - margin, half.height - 1 - margin)
    ImageDraw.Draw(half).rounded_rectangle(box, short // 9, 255)
    sticker = Image.new("RGBA", canvas.size)
    sticker.paste(canvas, mask=half.resize(canvas.size, Image.Resampling.BILINEAR))
    return sticker


def _png(sketch: Sketch) -> bytes:
    """A png in half of Pillow's time, which tries five filters on every row where one fits these pictures best.

    The filter is "up": every row is kept as its difference to the row above.
    """
    image = _finish(sketch)
    header = struct.pack(">IIBBBBB", *image.size, 8, PNG_COLOURS[image.mode], 0, 0, 0)
    press = zlib.compressobj(1)
    pressed = b"".join([*map(press.compress, _risen(image)), press.flush()])
    return PNG_SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", pressed) + _chunk(b"IEND", b"")


def _risen(image: Image.Image) -> Iterator[bytes]:
    """The picture's filtered rows, in strips small enough to stay in the processor's cache."""
    stride = image.width * len(image.getbands())
    depth = max(1, STRIP // stride)
    for top in range(0, image.height, depth):
        bottom = min(top + depth, image.height)
        strip, above = (image.crop((0, top - up, image.width, bottom - up)) for up in (0, 1))
        rows = ImageChops.subtract_modulo(strip, above).tobytes()
        yield b"".join(UP + rows[start : start + stride] for start in range(0, len(rows), stride))


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _quality(spec: Spec) -> int:
    return 100 if spec.output_compression is None else spec.output_compression


def _jpeg(sketch: Sketch) -> bytes:
    return _encoded(_finish(sketch), "jpeg", quality=max(1, _quality(sketch.spec)))


def _webp(sketch: Sketch) -> bytes:
    return _encoded(_finish(sketch), "webp", quality=_quality(sketch.spec), method=0)


def _gif(sketch: Sketch) -> bytes:
    """The sun goes round once; all frames share the colours of the first."""
    spec = sketch.spec
    count = spec.frame_count or FRAMES
    first = _finish(sketch).quantize(64, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    later = [_finish(sketch, i / count).quantize(palette=first, dither=Image.Dither.NONE) for i in range(1, count)]
    pause = FRAME_MS if spec.frame_duration_ms is None else spec.frame_duration_ms
    return _encoded(first, "gif", save_all=True, append_images=later, duration=pause, loop=0)


def _encoded(image: Image.Image, form: str, **settings: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **settings)
    return file.getvalue()


def _svg(sketch: Sketch) -> bytes:
    """The same landscape and words as shapes and text; a caller's pictures go in as one small jpeg."""
    width, height = sketch.size
    scenery = _photograph(sketch) if sketch.brought.backdrop else shapes(compose(sketch.seed), sketch.size)
    start = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
    return "\n".join([start, *scenery, *elements(sketch.lettering), "</svg>\n"]).encode()


def _photograph(sketch: Sketch) -> list[str]:
    image = _finish(sketch, lettered=False)
    image.thumbnail((SVG_RASTER, SVG_RASTER))
    jpeg = pybase64.b64encode(_encoded(image, "jpeg", quality=80)).decode()
    return [f'<image width="100%" height="100%" preserveAspectRatio="none" href="data:image/jpeg;base64,{jpeg}"/>']


ENCODE: Mapping[str, Callable[[Sketch], bytes]] = {
    "png": _png,
    "jpeg": _jpeg,
    "webp": _webp,
    "gif": _gif,
    "svg": _svg,
}
