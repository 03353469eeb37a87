"""The media type of a file, read from its first bytes.

Rule: names and headers that come with a file are ignored. Formats that no vendor takes are known too, so that a refusal
can name them. This check is early and cheap; only the image codec shows whether a file is an image. Pure.

Fails with: nothing; an unknown format is None.
"""

import re

from service.domain.errors import UnreadableFile

ENOUGH = 12
"""Bytes that decide for every binary format."""

HEAD = 1024
"""Bytes within which an XML image names itself, behind its prologue."""

MEDIA_TYPES = ("image/png", "image/jpeg", "image/webp")
"""The formats that every vendor takes."""

READABLE = frozenset({*MEDIA_TYPES, "image/gif"})
"""The formats that the image codec can inspect."""

SIGNATURES = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), "image/webp"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb".{4}ftyp(?:hei[cmsx]|hev[cmsx])", re.DOTALL), "image/heic"),
    (re.compile(rb".{4}ftypavi[fs]", re.DOTALL), "image/avif"),
    (re.compile(rb".{4}ftyp(?:mif1|msf1|heif)", re.DOTALL), "image/heif"),
    (re.compile(rb"BM.{4}\0{4}", re.DOTALL), "image/bmp"),
    (re.compile(rb"II[*+]\0|MM\0[*+]"), "image/tiff"),
    (re.compile(rb"\0{3}\x0cJXL \r\n"), "image/jxl"),
    (re.compile(rb"\0{3}\x0cjP  \r\n"), "image/jp2"),
    (re.compile(rb"\0\0\x01\0.\0", re.DOTALL), "image/x-icon"),
    (re.compile(rb"8BPS\0[\x01\x02]"), "image/vnd.adobe.photoshop"),
    (re.compile(rb"%PDF-"), "application/pdf"),
    (re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:<[?!][^<]*)*<svg[\s>]"), "image/svg+xml"),
)


def sniff(head: bytes) -> str | None:
    """Return the media type that the first bytes of a file show, or None for an unknown format."""
    return next((media_type for signature, media_type in SIGNATURES if signature.match(head)), None)


def unsupported_type(param: str, media_type: str) -> UnreadableFile:
    """Build the error for a file in an unsupported format, in the vendor's words."""
    return UnreadableFile(
        f"Invalid file '{param}': unsupported mimetype ('{media_type}'). "
        "Supported file formats are 'image/jpeg', 'image/png', and 'image/webp'.",
        param=param,
        code="unsupported_file_mimetype",
    )
