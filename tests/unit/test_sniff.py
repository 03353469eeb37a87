"""The media type of a file by its first bytes."""

import pytest

from service.domain.sniff import ENOUGH, sniff

HEADS = {
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR": "image/png",
    b"\xff\xd8\xff\xe0\x00\x10JFIF": "image/jpeg",
    b"\xff\xd8\xff\xdb": "image/jpeg",
    b"RIFF\x24\x00\x00\x00WEBPVP8 ": "image/webp",
    b"RIFF\n\n\n\nWEBP": "image/webp",
    b"GIF87a\x01\x00": "image/gif",
    b"GIF89a\x01\x00": "image/gif",
    b"": None,
    b"\x89PNG": None,
    b"\x89PNG\n\x1a\n": None,
    b"\xff\xd8": None,
    b"RIFF\x24\x00\x00\x00WAVEfmt ": None,
    b"RIFF\x24\x00\x00\x00WEB": None,
    b"GIF88a": None,
    b"BM\x00\x00": None,
    b"<html><body>": None,
    b"\x00\x00\x00\x18ftypheic": "image/heic",
    b"\x00\x00\x00\x18ftypheix": "image/heic",
    b"\n\n\n\nftyphevc": "image/heic",
    b"\x00\x00\x00\x1cftypmif1": "image/heif",
    b"\x00\x00\x00\x1cftypavif": "image/avif",
    b"\x00\x00\x00\x1cftypavis": "image/avif",
    b"\x00\x00\x00\x1cftypisom": None,
    b"BM\x8a\x7b\x0c\x00\x00\x00\x00\x00\x8a\x00": "image/bmp",
    b"BMW is a car": None,
    b"II*\x00\x08\x00": "image/tiff",
    b"MM\x00*\x00\x00": "image/tiff",
    b"II+\x00\x08\x00": "image/tiff",
    b"\x00\x00\x00\x0cJXL \r\n\x87\n": "image/jxl",
    b"\x00\x00\x00\x0cjP  \r\n\x87\n": "image/jp2",
    b"\x00\x00\x01\x00\x01\x00\x20\x20": "image/x-icon",
    b"8BPS\x00\x01\x00\x00": "image/vnd.adobe.photoshop",
    b"%PDF-1.7\n": "application/pdf",
    b"<svg xmlns=": "image/svg+xml",
    b"<svg>": "image/svg+xml",
    b"<svgx": None,
    b"\x1f\x8b\x08": None,
    b" \x89PNG\r\n\x1a\n": None,
}


@pytest.mark.parametrize(("head", "media_type"), HEADS.items())
def test_type_by_first_bytes(head: bytes, media_type: str | None) -> None:
    assert sniff(head) == media_type


@pytest.mark.parametrize(
    "prologue",
    [
        b'<?xml version="1.0" encoding="UTF-8"?>\n',
        b"\xef\xbb\xbf <!-- drawn by hand -->\n<!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN' 'x'>\n",
        b"<!" * 400,
    ],
)
def test_a_drawing_is_known_behind_its_prologue(prologue: bytes) -> None:
    assert sniff(prologue + b"<svg viewBox='0 0 1 1'>") == "image/svg+xml"
    assert sniff(prologue + b"<html>") is None


@pytest.mark.parametrize("head", [head for head, media_type in HEADS.items() if media_type])
def test_enough_is_enough(head: bytes) -> None:
    assert sniff(head[:ENOUGH]) == sniff(head)
