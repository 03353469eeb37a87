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

DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises over what a vendor sent."""

MAX_REPAIRED_BYTES: Final = 1 << 26  # bytes; a text that is longer is not spelled anew
MAX_DIGITS: Final = 15
MAX_UNIX_SECONDS: Final = 253_402_300_799  # the last second of the year 9999, in Unix time
NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,15})?", re.ASCII)
FORMATS = {name: name for name in ("png", "jpeg", "webp", "gif", "svg")} | {"jpg": "jpeg"}


T = TypeVar("T")


def decode_or_none(decoder: msgspec.json.Decoder[T], text: bytes | bytearray) -> T | None:
    """What a JSON text holds; None if it cannot be read, or has another form."""
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
    """The same JSON in strict spelling. Raises `ValueError` or `RecursionError` where it is no JSON."""
    document = json.loads(
        text.decode("utf-8-sig", "replace"),
        parse_constant=_as_null,
        parse_float=_finite_or_none,
        parse_int=_short_or_none,
    )
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")


def _as_null(_: str) -> None:
    """NaN and infinities say nothing."""


def _finite_or_none(text: str) -> float | None:
    number = float(text)
    return number if isfinite(number) else None


def _short_or_none(text: str) -> int | None:
    return int(text) if len(text) <= MAX_DIGITS else None


def to_whole_number(value: object, maximum: int) -> int | None:
    """A count, rounded up. Digits in a string are one too; below zero or above `maximum` is none."""
    if type(value) is int and 0 <= value <= maximum:  # as documented, and so nearly always
        return value
    if isinstance(value, str):
        value = float(value) if NUMBER.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= maximum:
        return None
    return ceil(value)


def to_unix_seconds(value: object) -> int | None:
    """A moment in Unix seconds."""
    return to_whole_number(value, MAX_UNIX_SECONDS) or None


def to_text(value: object) -> str | None:
    """A string."""
    return value if isinstance(value, str) else None


def to_format(value: object) -> str | None:
    """The name of a format as the API has it."""
    return FORMATS.get(value.lower()) if isinstance(value, str) else None
