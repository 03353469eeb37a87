"""Images for requests, and images from responses."""

import base64
import io
from collections.abc import Mapping
from typing import Any

import httpx2
from PIL import Image


def png(
    size: tuple[int, int] = (64, 64), color: tuple[int, ...] = (200, 30, 30), mode: str = "RGB", kind: str = "PNG"
) -> bytes:
    """Build an image of one colour."""
    drawn = io.BytesIO()
    Image.new(mode, size, color).save(drawn, kind)
    return drawn.getvalue()


def mask(size: tuple[int, int] = (64, 64)) -> bytes:
    """Build a mask with a transparent middle."""
    image = Image.new("RGBA", size, (0, 0, 0, 255))
    width, height = size
    image.paste((0, 0, 0, 0), (width // 4, height // 4, 3 * width // 4, 3 * height // 4))
    drawn = io.BytesIO()
    image.save(drawn, "PNG")
    return drawn.getvalue()


def data_url(image: bytes, media_type: str = "image/png") -> str:
    """Build a data URL of an image."""
    return f"data:{media_type};base64,{base64.b64encode(image).decode()}"


def open_image(item: Mapping[str, Any], http: httpx2.Client) -> Image.Image:
    """Open the image of a response's item. A URL is fetched."""
    body = base64.b64decode(item["b64_json"]) if item["type"] == "b64_json" else http.get(item["url"]).content
    image = Image.open(io.BytesIO(body))
    image.load()
    return image
