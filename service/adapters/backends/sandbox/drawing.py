"""Drawings of the sandbox: circles on a gradient, above a panel with the prompt and the settings.

Rule: an image shows everything that its request asks for, and equal arguments give equal bytes. Outside the area of a
mask the caller's image stays as it is. The built-in font has ASCII letters only: pixels show other letters without
their accents or as code points, svg keeps them. A preview has the size and the format of its image.

Fails with: `UnreadableFile` if an image of the caller cannot be decoded.
"""

import hashlib
import io
import re
import struct
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from math import cos, inf, pi, sin
from typing import cast
from unicodedata import combining, normalize

import pybase64
from PIL import Image, ImageChops, ImageColor, ImageDraw, ImageFont, ImageOps

from service.adapters.image_codec import DECODE_ERRORS, flatten, read_header, unreadable_file
from service.domain.image_spec import Reference, Size, Spec

CAPTIONED = ("seed", "steps", "guidance_scale", "negative_prompt", "complexity", "input_fidelity", "moderation")
PANEL_SHARE = 0.34  # of every image's height: so the panel of an edit covers the panel of the image that is edited
PANEL, PROMPT, CAPTION = "#0e111c", "#ffffff", "#becade"
FONT_SHARES = (0.11, 0.085, 0.066, 0.05, 0.039, 0.03, 0.024)  # of the shorter edge
CAPTION_SHARE, MIN_FONT, LINE_HEIGHT, NARROW = 0.027, 8.0, 1.25, 0.35
MAX_LETTERS, WORD, ELLIPSIS = 4000, re.compile(r"\S{1,40}"), "…"
ASCII = str.maketrans("\u2018\u2019\u201c\u201d\u2013\u2014", "''\"\"--") | {0xDF: "ss", 0xE6: "ae", 0xF8: "o"}
CIRCLES, OPACITY, BACKDROP_SHARE = 7, 0.3, 0.7
FRAMES, FRAME_MS, COLOURS = 9, 200, 256
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
SVG_RASTER, PNG_ROWS = 512, 16
MAX_REDUCTION = 64  # how many times smaller the first of many previews is than its image

Box = tuple[int, int, int, int]
Line = tuple[float, float, float, str, str]
"""Left end of the baseline (x, y), font size, all in pixels; text, colour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Everything that one image shows. `mask_area` is white where a mask asks for something new."""

    size: tuple[int, int]
    seed: bytes
    panel: Box
    lines: Sequence[Line]
    backdrop: Image.Image | None
    thumbnails: Sequence[Image.Image]
    mask_area: Image.Image | None
    markup: Image.Image | None
    transparent: bool


def draw(spec: Spec, fingerprint: str, index: int, size: Size, tier: str | None, sample: str = "") -> bytes:  # noqa: PLR0913, PLR0917 (contents of an image)
    """Draw image number `index` of a request, from 0, as a file in the format that the spec names.

    `fingerprint` is the spec's digest; with `index` and `sample` it decides on colours and circles. Size, tier and
    sample are written on the image. Raises `UnreadableFile` naming the `param` of a broken image.
    """
    place = f"{index + 1} of {spec.n}" if spec.n > 1 else ""
    facts = ", ".join(filter(None, [spec.model, tier, str(size), sample and f"sample {sample}", place]))
    extras = ", ".join(f"{name} {value}" for name in CAPTIONED if (value := getattr(spec, name)) is not None)
    seed = hashlib.sha256(f"{fingerprint}/{sample}/{index}".encode()).digest()
    layout = _lay_out(spec, seed, (size.width, size.height), (facts, extras))
    if spec.output_format == "svg":
        return _svg(layout)
    if spec.output_format == "gif":
        return _gif(layout, spec.frame_count or FRAMES, spec.frame_duration_ms)
    return _encode(_paint(layout), spec.output_format, spec.output_compression)


def preview(image: bytes, index: int) -> bytes:
    """Return the preview of that index, from 0, in the image's own format: the earlier, the coarser."""
    with Image.open(io.BytesIO(image)) as drawn:
        small = drawn.reduce(max(2, MAX_REDUCTION >> (2 * index)))
        return _encode(small.resize(drawn.size, Image.Resampling.NEAREST), str(drawn.format).lower(), 75)


def _lay_out(spec: Spec, seed: bytes, size: tuple[int, int], caption: Sequence[str]) -> Layout:
    """Decode the caller's images one by one, keep each as large as it is drawn, and place the text."""
    first, others = (spec.references or (None,))[0], spec.references[1:]
    mask_area = _cover(spec.mask, size, mask=True) if first and spec.mask and spec.mask.content else None
    left, top, right, bottom = (mask_area and mask_area.getbbox()) or (0, 0, *size)
    height, short = bottom - top, min(right - left, bottom - top)
    # In the middle of a mask's area, which is where a round one is widest; otherwise along the lower edge.
    lower = bottom - height // 3 if mask_area else bottom
    panel = (left, lower - max(1, round(PANEL_SHARE * height)), right, lower)
    edge = max(4, min(short // 5, int(0.75 * (right - left) / max(1, len(others)))))
    prompt, *captions = (_legible(text, spec.output_format) for text in (spec.prompt, *caption))
    return Layout(
        size=size,
        seed=seed,
        panel=panel,
        lines=_set_text(prompt, captions, panel, short),
        backdrop=flatten(_cover(first, size)) if first else None,
        thumbnails=[flatten(_cover(other, (edge, edge))) for other in others],
        mask_area=mask_area,
        markup=_cover(spec.markup, size).convert("RGBA") if spec.markup and spec.markup.content else None,
        transparent=spec.background == "transparent",
    )


def _cover(reference: Reference, size: tuple[int, int], *, mask: bool = False) -> Image.Image:
    """Return the image scaled and cropped to the size; of a mask, its fully transparent area, in white."""
    image = _decode(reference, size)
    if mask:
        image = image.convert("RGBA").getchannel("A").point([255] + [0] * 255)
    return ImageOps.fit(image, size, Image.Resampling.BILINEAR)


def _decode(reference: Reference, size: tuple[int, int]) -> Image.Image:
    """Return the image upright, in RGB or RGBA, decoded no finer than it takes to fill the size."""
    if reference.content is None:  # an unfetched link is drawn as a card in a colour of its own
        card = Image.new("RGB", (256, 256), _hsl(sum(reference.digest.encode()) % 360 / 360, 0.5, 0.4))
        ImageDraw.Draw(card).text((128, 128), "linked", "white", _font(64), anchor="mm")
        return card
    with reference.content.open() as file, read_header(file, reference.param) as image:
        try:
            image.draft("RGB", size)
            image.load()
            with suppress(*DECODE_ERRORS):
                ImageOps.exif_transpose(image, in_place=True)
            return image.convert("RGBA" if image.has_transparency_data else "RGB")
        except DECODE_ERRORS:
            raise unreadable_file(reference.param) from None


def _set_text(prompt: str, caption: Sequence[str], panel: Box, short: int) -> list[Line]:
    """Set the prompt as large as the panel allows and the caption below it; leave out lines that do not fit."""
    left, top, right, bottom = panel
    indent = max(3, (right - left) // 14)
    width, small = right - left - 2 * indent, _font(max(MIN_FONT, CAPTION_SHARE * short))
    captions = [line for text in caption for line in _wrap(text, small, width, 2)[0]]
    below = (len(captions) + 0.5) * LINE_HEIGHT * small.size
    room = bottom - top - short // 14 - below
    for share in FONT_SHARES:
        px = max(MIN_FONT, share * short)
        rows = max(1, int(room / (LINE_HEIGHT * px)))
        if len(prompt) * NARROW * px > rows * width and share != FONT_SHARES[-1]:
            continue  # narrow letters would not fit either, so the text is not measured
        lines, complete = _wrap(prompt, _font(px), width, rows)
        if complete:
            break
    y = max(top, (top + bottom - LINE_HEIGHT * px * len(lines) - below) / 2)
    placed = []
    for size, texts, colour in ((px, lines, PROMPT), (small.size, captions, CAPTION)):
        placed += [
            (left + indent, y + (LINE_HEIGHT * i + 1) * size, size, text, colour) for i, text in enumerate(texts)
        ]
        y += LINE_HEIGHT * (size * len(texts) + small.size / 2)
    return [line for line in placed if line[1] <= bottom]


def _wrap(text: str, font: ImageFont.FreeTypeFont, width: float, rows: int) -> tuple[list[str], bool]:
    """Return the lines, at most that number, and whether all words fit; otherwise the last ends in an ellipsis."""
    lines: list[str] = []
    used, widest = inf, 0.0
    for word in WORD.findall(text):
        length = font.getlength(f"{word} ")
        if used + length > width:
            if len(lines) == rows:
                return [*lines[:-1], lines[-1] + ELLIPSIS], False
            lines.append(word)
            used = length
        else:
            lines[-1] += f" {word}"
            used += length
        widest = max(widest, used)
    return lines, widest <= width


def _font(px: float) -> ImageFont.FreeTypeFont:
    """Return the built-in font. It is loaded each time, in 0.1 ms, because threads must not share one."""
    return cast("ImageFont.FreeTypeFont", ImageFont.load_default(px))


def _legible(text: str, form: str) -> str:
    """Return the printable text, for pixels without accents and with code points for letters that the font lacks."""
    text = "".join(letter if letter.isprintable() else " " for letter in text[:MAX_LETTERS])
    if form == "svg":
        return text
    plain = (letter for letter in normalize("NFKD", text.translate(ASCII)) if not combining(letter))
    return "".join(letter if letter.isascii() else f" U+{ord(letter):04X} " for letter in plain)


def _hsl(hue: float, saturation: float, lightness: float) -> str:
    """Return a colour from shares; a hue beyond 1 goes round."""
    colour = ImageColor.getrgb(f"hsl({hue % 1 * 360:.1f},{saturation:.0%},{lightness:.0%})")
    return "#" + bytes(colour).hex()


def _scene(layout: Layout, phase: float = 0.0) -> tuple[list[str], list[tuple[float, float, float, str]]]:
    """Return the gradient's colours and the circles: x, y, radius, colour. At a phase from 0 to 1 they have moved."""
    share = [byte / 255 for byte in layout.seed]
    hue, drift, dark = share[0], 0.1 + 0.25 * share[1], share[2] < 1 / 3
    width, height = layout.size
    circles = []
    for i in range(CIRCLES):
        x, y, radius, shift = share[3 + 4 * i : 7 + 4 * i]
        angle = 2 * pi * (phase + shift)
        centre = width * (x + 0.05 * cos(angle)), height * (0.75 * y + 0.05 * sin(angle))
        colour = _hsl(hue + drift * 2 * shift + (i == 0) / 2, 0.85, 0.6 + 0.25 * shift)
        circles.append((*centre, min(layout.size) * (0.06 + 0.24 * radius**2), colour))
    return [_hsl(hue, 0.6, 0.25 if dark else 0.6), _hsl(hue + drift, 0.7, 0.45 if dark else 0.82)], circles


def _paint(layout: Layout, phase: float = 0.0, *, lettered: bool = True) -> Image.Image:
    """Return the image: background, the caller's images, text; RGBA for a transparent background, otherwise RGB."""
    (top, bottom), circles = _scene(layout, phase)
    column = ImageOps.colorize(Image.linear_gradient("L").resize((1, layout.size[1])), top, bottom)
    image = column.resize(layout.size, Image.Resampling.NEAREST)
    for x, y, radius, colour in circles:
        ImageDraw.Draw(image, "RGBA").circle((x, y), radius, f"{colour}{round(255 * OPACITY):02x}")
    if layout.backdrop and not layout.mask_area:
        image = Image.blend(image, layout.backdrop, BACKDROP_SHARE)
    _paste_thumbnails(image, layout)
    if lettered:
        image.paste(PANEL, layout.panel)
        for x, y, px, text, colour in layout.lines:
            ImageDraw.Draw(image).text((x, y), text, colour, _font(px), anchor="ls")
    if layout.backdrop and layout.mask_area:
        image = Image.composite(image, layout.backdrop, layout.mask_area)
    if layout.markup:
        image.paste(layout.markup, mask=layout.markup)
    if layout.transparent:
        _round_off(image)
    return image


def _paste_thumbnails(image: Image.Image, layout: Layout) -> None:
    """Paste the further references side by side above the panel, each in a white frame."""
    left, top, right, _ = layout.panel
    for i, thumbnail in enumerate(layout.thumbnails):
        edge, count = thumbnail.width, len(layout.thumbnails)
        gap, frame = max(1, edge // 9), max(1, edge // 40)
        x, y = (left + right - count * edge - (count - 1) * gap) // 2 + i * (edge + gap), top - edge - gap
        image.paste("white", (x - frame, y - frame, x + edge + frame, y + edge + frame))
        image.paste(thumbnail, (x, y))


def _round_off(image: Image.Image) -> None:
    """Make a margin and round corners transparent. They are drawn at half the size: enlarging smooths them."""
    alpha = Image.new("L", ((image.width + 1) // 2, (image.height + 1) // 2))
    margin, radius = min(alpha.size) // 32, min(alpha.size) // 12
    box = (margin, margin, alpha.width - 1 - margin, alpha.height - 1 - margin)
    ImageDraw.Draw(alpha).rounded_rectangle(box, radius, 255)
    image.putalpha(alpha.resize(image.size, Image.Resampling.BILINEAR))


def _encode(image: Image.Image, form: str, quality: int | None = None, **more: object) -> bytes:
    if form == "png":
        return _png(image)
    quality = 100 if quality is None else quality
    settings = {"jpeg": {"quality": max(1, quality)}, "webp": {"quality": quality, "method": 0}}
    file = io.BytesIO()
    image.save(file, form, **settings.get(form, {}), **more)
    return file.getvalue()


def _png(image: Image.Image) -> bytes:
    """Encode in two thirds of Pillow's time: it tries five filters on every row, where "up" (2) fits these images."""
    stride, compressor, body = image.width * len(image.getbands()), zlib.compressobj(1), []
    for top in range(0, image.height, PNG_ROWS):
        bottom = min(top + PNG_ROWS, image.height)
        rows, above = (image.crop((0, top - up, image.width, bottom - up)) for up in (0, 1))
        delta = ImageChops.subtract_modulo(rows, above).tobytes()
        filtered = (b"\x02" + delta[start : start + stride] for start in range(0, len(delta), stride))
        body.append(compressor.compress(b"".join(filtered)))
    header = struct.pack(">IIBBBBB", *image.size, 8, 6 if image.mode == "RGBA" else 2, 0, 0, 0)
    body.append(compressor.flush())
    return PNG_SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", b"".join(body)) + _chunk(b"IEND", b"")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _gif(layout: Layout, count: int, frame_ms: int | None) -> bytes:
    """Encode one round of the circles; all frames share the colours of the first."""
    first = _paint(layout).quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    frames = (_paint(layout, i / count).quantize(palette=first, dither=Image.Dither.NONE) for i in range(1, count))
    duration = FRAME_MS if frame_ms is None else frame_ms
    return _encode(first, "gif", save_all=True, append_images=frames, duration=duration, loop=0)


def _svg(layout: Layout) -> bytes:
    """Return background and text as shapes and text; the caller's images become one small jpeg."""
    (width, height), (left, top, right, bottom) = layout.size, layout.panel
    if layout.backdrop:
        raster = _paint(layout, lettered=False)
        raster.thumbnail((SVG_RASTER, SVG_RASTER))
        link = "data:image/jpeg;base64," + pybase64.b64encode(_encode(raster, "jpeg", 80)).decode()
        background = [f'<image width="100%" height="100%" preserveAspectRatio="none" href="{link}"/>']
    else:
        colours, circles = _scene(layout)
        stops = "".join(f'<stop offset="{i}" stop-color="{colour}"/>' for i, colour in enumerate(colours))
        background = [
            f'<linearGradient id="g" x2="0" y2="1">{stops}</linearGradient>',
            '<rect width="100%" height="100%" fill="url(#g)"/>',
        ]
        for x, y, radius, colour in circles:
            place = f'cx="{x:.0f}" cy="{y:.0f}" r="{radius:.0f}"'
            background.append(f'<circle {place} fill="{colour}" fill-opacity="{OPACITY}"/>')
    texts = [
        f'<text x="{x:.0f}" y="{y:.0f}" font-size="{px:.1f}" fill="{colour}">{escape(text)}</text>'
        for x, y, px, text, colour in layout.lines
    ]
    box = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    panel = f'<rect x="{left}" y="{top}" width="{right - left}" height="{bottom - top}" fill="{PANEL}"/>'
    start = f'<svg xmlns="http://www.w3.org/2000/svg" {box} font-family="Aileron, Helvetica, Arial, sans-serif">'
    return "\n".join((start, *background, panel, *texts, "</svg>\n")).encode()
