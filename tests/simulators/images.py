"""Valid images: flat colours of any size in any format a vendor returns, drawn once and cached.

Rule: equal arguments give equal bytes. Another `index` gives another image, so that a test can tell n images apart.
Padding grows an image to a given length without harm.
"""

import base64
import colorsys
import hashlib
import io
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image

SHADES = 16
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="{0}" height="{1}">'
    '<rect width="100%" height="100%" fill="{2}"/></svg>'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """Properties of an image. `length` is the minimum number of bytes. `frames` matters to a gif only."""

    size: tuple[int, int]
    form: str = "png"
    alpha: bool = False
    index: int = 0
    frames: int = 1
    length: int = 0


@lru_cache(maxsize=32)
def draw(sketch: Sketch) -> bytes:
    """Return the image file."""
    image = DRAW[sketch.form](sketch)
    missing = sketch.length - len(image)
    return PAD.get(sketch.form, _trailing)(image, missing) if missing > 0 else image


@lru_cache(maxsize=32)
def encode_image(sketch: Sketch) -> bytes:
    """Return the image file in base64."""
    return base64.b64encode(draw(sketch))


def parse_size(text: str) -> tuple[int, int]:
    """Parse `1536x1024` to a pair."""
    width, height = text.split("x")
    return int(width), int(height)


def _colour(index: int) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(index % SHADES / SHADES, 0.6, 0.9)
    return round(red * 255), round(green * 255), round(blue * 255)


def _canvas(sketch: Sketch) -> Image.Image:
    """Draw one colour. With alpha, the left half is transparent."""
    if not sketch.alpha:
        return Image.new("RGB", sketch.size, _colour(sketch.index))
    canvas = Image.new("RGBA", sketch.size, (0, 0, 0, 0))
    width, height = sketch.size
    canvas.paste((*_colour(sketch.index), 255), (width // 2, 0, width, height))
    return canvas


def _png(sketch: Sketch) -> bytes:
    out = io.BytesIO()
    _canvas(sketch).save(out, "PNG", compress_level=1)
    return out.getvalue()


def _jpeg(sketch: Sketch) -> bytes:
    out = io.BytesIO()
    _canvas(sketch).save(out, "JPEG")
    return out.getvalue()


def _webp(sketch: Sketch) -> bytes:
    out = io.BytesIO()
    _canvas(sketch).save(out, "WEBP", lossless=True, quality=0, method=0)
    return out.getvalue()


def _gif(sketch: Sketch) -> bytes:
    frames = [Image.new("RGB", sketch.size, _colour(sketch.index + offset)) for offset in range(sketch.frames)]
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=200, loop=0)
    return out.getvalue()


def _svg(sketch: Sketch) -> bytes:
    colour = "#{:02x}{:02x}{:02x}".format(*_colour(sketch.index))
    return SVG.format(*sketch.size, colour).encode()


def _noise(length: int) -> bytes:
    """Return bytes that do not compress. They are always equal."""
    return hashlib.shake_128(b"padding").digest(length)


def _chunk(png: bytes, missing: int) -> bytes:
    """Build a private, safe-to-copy chunk before IEND. It has at least 12 bytes."""
    kind, noise = b"paDd", _noise(max(missing - 12, 0))
    chunk = struct.pack(">I", len(noise)) + kind + noise + struct.pack(">I", zlib.crc32(kind + noise))
    return png[:-12] + chunk + png[-12:]


def _trailing(image: bytes, missing: int) -> bytes:
    """Append noise. Readers of the other formats stop at the end of the image."""
    return image + _noise(missing)


def _spaces(image: bytes, missing: int) -> bytes:
    return image + b" " * missing


DRAW: Mapping[str, Callable[[Sketch], bytes]] = {
    "png": _png,
    "jpeg": _jpeg,
    "webp": _webp,
    "gif": _gif,
    "svg": _svg,
}
PAD: Mapping[str, Callable[[bytes, int], bytes]] = {"png": _chunk, "svg": _spaces}
