"""What the first bytes of a file tell."""

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
    b"<svg xmlns=": None,
    b"\x1f\x8b\x08": None,
    b" \x89PNG\r\n\x1a\n": None,
}


@pytest.mark.parametrize(("head", "media_type"), HEADS.items())
def test_type_by_first_bytes(head: bytes, media_type: str | None) -> None:
    assert sniff(head) == media_type


@pytest.mark.parametrize("head", [head for head, media_type in HEADS.items() if media_type])
def test_enough_is_enough(head: bytes) -> None:
    assert sniff(head[:ENOUGH]) == sniff(head)
