"""Lenient reading of vendors' JSON: a paid image is worth more than a correct document around it.

Rule: only the members that a caller cannot do without decide whether a reply is readable. Any other member may have any
JSON value, and an unusable value counts as absent. Invalid JSON of lenient encoders (NaN, lone surrogates, a byte order
mark) is encoded again and decoded once more. The second reading costs nothing where the first one succeeds.

Fails with: None for an unreadable text or value.
"""

import json
import re
from math import ceil, isfinite
from typing import Final, TypeVar

import msgspec

DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""Errors of decoding a vendor's text."""

MAX_REPAIRED_BYTES: Final = 1 << 26  # a longer text is not encoded again
MAX_DIGITS: Final = 15
MAX_UNIX_SECONDS: Final = 253_402_300_799  # the last second of the year 9999, in Unix time
NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,15})?", re.ASCII)
FORMATS = {name: name for name in ("png", "jpeg", "webp", "gif", "svg")} | {"jpg": "jpeg"}


T = TypeVar("T")


def decode_or_none(decoder: msgspec.json.Decoder[T], text: bytes | bytearray) -> T | None:
    """Decode a JSON text; None if it is unreadable or has another form."""
    try:
        return decoder.decode(text)
    except DECODE_ERRORS:
        if len(text) > MAX_REPAIRED_BYTES:
            return None
    try:
        return decoder.decode(_reencode(text))
    except (*DECODE_ERRORS, ValueError):
        return None


def _reencode(text: bytes | bytearray) -> bytes:
    """Encode a text as strict JSON. Raises `ValueError` or `RecursionError` for a text that is no JSON."""
    document = json.loads(
        text.decode("utf-8-sig", "replace"),
        parse_constant=_as_null,
        parse_float=_finite_or_none,
        parse_int=_short_or_none,
    )
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")


def _as_null(_: str) -> None:
    """Replace NaN and infinities by null."""


def _finite_or_none(text: str) -> float | None:
    number = float(text)
    return number if isfinite(number) else None


def _short_or_none(text: str) -> int | None:
    return int(text) if len(text) <= MAX_DIGITS else None


def to_whole_number(value: object, maximum: int) -> int | None:
    """Convert a value to a count, rounded up; None below zero, above `maximum`, or for no number.

    Digits in a string count.
    """
    if type(value) is int and 0 <= value <= maximum:  # the documented form, which nearly every reply has
        return value
    if isinstance(value, str):
        value = float(value) if NUMBER.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= maximum:
        return None
    return ceil(value)


def to_unix_seconds(value: object) -> int | None:
    """Convert a value to a moment in Unix seconds."""
    return to_whole_number(value, MAX_UNIX_SECONDS) or None


def to_text(value: object) -> str | None:
    """Return a string, and None for any other value."""
    return value if isinstance(value, str) else None


def to_format(value: object) -> str | None:
    """Convert a value to a format's name in the API."""
    return FORMATS.get(value.lower()) if isinstance(value, str) else None
