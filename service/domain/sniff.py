"""What a file is, by its first bytes: names and headers that come with it are not believed.

Rule: pure, and total; what is not one of the four picture formats is None. A look into the picture itself is the
darkroom's work: this only tells early that something cannot be one.
"""

import re

ENOUGH = 12
"""Bytes that settle the question for every format known here."""

SIGNATURES = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), "image/webp"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
)


def sniff(head: bytes) -> str | None:
    """The media type that the first bytes of a file tell of; None if they tell of no picture."""
    return next((media_type for signature, media_type in SIGNATURES if signature.match(head)), None)
