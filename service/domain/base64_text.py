"""Base64 as programs and people write it: bare, in a data URL, in lines, and with the escapes of an address.

Rule: pure, and total. White space means nothing anywhere in base64, upper and lower case are one in what stands before
it, and padding may be left out (forgiving base64 in WHATWG's Infra). Each pass over the text is one call in C: it may
have megabytes.
"""

import re

BLANKS = b" \t\r\n\f\v"
HEAD = 256
"""Bytes in which a data URL says what it is."""

SCHEME = b"data:"
MEDIA_TYPE = re.compile(rb"data:[^,]*; *base64 *,", re.IGNORECASE)
ESCAPES = ((b"%2B", b"+"), (b"%2F", b"/"), (b"%3D", b"="), (b"%20", b""), (b"%0D", b""), (b"%0A", b""), (b"%09", b""))
"""What encoders of addresses make of base64 and of its line breaks; they leave letters and digits alone."""


def is_data_url(head: bytes) -> bool:
    """Does a text that begins so say that it is a data URL?"""
    return head[: len(SCHEME)].lower() == SCHEME


def base64_start(head: bytes) -> int | None:
    """Where the base64 of a data URL begins; None where it has none."""
    match = MEDIA_TYPE.match(head[:HEAD])
    return match.end() if match else None


def without_blanks(text: bytes) -> bytes:
    """The text without white space."""
    return text.translate(None, BLANKS)


def to_strict(text: bytes) -> bytes:
    """The same base64 as strict decoders want it. What is none stays none."""
    if b"%" in text:
        for escape, letter in ESCAPES:
            text = text.replace(escape, letter).replace(escape.lower(), letter)
    text = without_blanks(text).rstrip(b"=")
    return text + b"=" * (-len(text) % 4)
