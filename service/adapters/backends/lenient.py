"""Reading what a vendor sent although parts of it are not as documented: a paid picture is worth more than its frame.

Rule: only what cannot be done without decides whether a reply is good. Every other member may have any JSON value, and
what cannot be used counts as not said. JSON that only lenient encoders write (NaN, lone surrogates, a byte order mark)
is spelled anew and read once more; that costs nothing where the first reading succeeds.
"""

import json
import re
from math import ceil, isfinite
from typing import Final, TypeVar

import msgspec

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises over what a vendor sent."""

MOST_MENDED: Final = 1 << 26  # bytes; a text that is longer is not spelled anew
MOST_DIGITS: Final = 15
MOST_SECONDS: Final = 253_402_300_799  # the last second of the year 9999, in Unix time
NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,15})?", re.ASCII)
FORMATS = {name: name for name in ("png", "jpeg", "webp", "gif", "svg")} | {"jpg": "jpeg"}


T = TypeVar("T")


def decoded(decoder: msgspec.json.Decoder[T], text: bytes | bytearray) -> T | None:
    """What a JSON text holds; None if it cannot be read, or has another form."""
    try:
        return decoder.decode(text)
    except UNREADABLE:
        if len(text) > MOST_MENDED:
            return None
    try:
        return decoder.decode(_spelled_anew(text))
    except (*UNREADABLE, ValueError):
        return None


def _spelled_anew(text: bytes | bytearray) -> bytes:
    """The same JSON in strict spelling. Raises `ValueError` or `RecursionError` where it is no JSON."""
    document = json.loads(
        text.decode("utf-8-sig", "replace"), parse_constant=_nothing, parse_float=_finite, parse_int=_short
    )
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")


def _nothing(_: str) -> None:
    """NaN and infinities say nothing."""


def _finite(text: str) -> float | None:
    number = float(text)
    return number if isfinite(number) else None


def _short(text: str) -> int | None:
    return int(text) if len(text) <= MOST_DIGITS else None


def whole_number(value: object, most: int) -> int | None:
    """A count, rounded up. Digits in a string are one too; below zero or above `most` is none."""
    if type(value) is int and 0 <= value <= most:  # as documented, and so nearly always
        return value
    if isinstance(value, str):
        value = float(value) if NUMBER.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        return None
    return ceil(value)


def seconds_of(value: object) -> int | None:
    """A moment in Unix seconds."""
    return whole_number(value, MOST_SECONDS) or None


def text_of(value: object) -> str | None:
    """A string."""
    return value if isinstance(value, str) else None


def format_of(value: object) -> str | None:
    """The name of a format as the API has it."""
    return FORMATS.get(value.lower()) if isinstance(value, str) else None
