"""Base64 in the forms that programs and people write: bare, in a data URL, in lines, and percent-encoded.

Rule: white space means nothing, and padding may be missing (forgiving base64 of WHATWG's Infra). The case of a data
URL's head does not matter. Each pass over the text is one call in C, because the text may have megabytes. Pure.

Fails with: nothing; text that is no base64 stays as it is.
"""

import re

BLANKS = b" \t\r\n\f\v"
HEAD = 256
"""Bytes within which a data URL names its type."""

SCHEME = b"data:"
MEDIA_TYPE = re.compile(rb"data:[^,]*; *base64 *,", re.IGNORECASE)
ESCAPES = ((b"%2B", b"+"), (b"%2F", b"/"), (b"%3D", b"="), (b"%20", b""), (b"%0D", b""), (b"%0A", b""), (b"%09", b""))
"""Percent-encodings of base64 and its line breaks. Encoders leave letters and digits alone."""


def is_data_url(head: bytes) -> bool:
    """Tell whether a text begins as a data URL."""
    return head[: len(SCHEME)].lower() == SCHEME


def base64_start(head: bytes) -> int | None:
    """Return the position where the base64 of a data URL begins; None if it has none."""
    match = MEDIA_TYPE.match(head[:HEAD])
    return match.end() if match else None


def without_blanks(text: bytes) -> bytes:
    """Return the text without white space."""
    return text.translate(None, BLANKS)


def to_strict(text: bytes) -> bytes:
    """Return the base64 in the form that strict decoders accept."""
    if b"%" in text:
        for escape, letter in ESCAPES:
            text = text.replace(escape, letter).replace(escape.lower(), letter)
    text = without_blanks(text).rstrip(b"=")
    return text + b"=" * (-len(text) % 4)
