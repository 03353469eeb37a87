"""Byte ranges and entity tags of HTTP requests for an image (RFC 9110, sections 13 and 14).

Rule: one range is served. An unreadable header, or one with several ranges, means the whole image, as the RFC demands.
Pure.

Fails with: `RangeNotSatisfiable` for a range that begins behind the end.
"""

import re
from dataclasses import dataclass

from service.domain.errors import RangeNotSatisfiable

SINGLE_RANGE = re.compile(r"bytes=[ \t]*(\d{0,18})-(\d{0,18})[ \t]*", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """The bytes from `start` until just before `end`."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """Number of bytes."""
        return self.end - self.start


def parse_range(header: str | None, length: int) -> ByteRange | None:
    """Return the part of `length` bytes that a `Range` header asks for; None is the whole.

    Raises:
        RangeNotSatisfiable: there is no such part.
    """
    match = SINGLE_RANGE.fullmatch(header or "")
    if not match or not (match[1] or match[2]):
        return None
    if not match[1]:
        start, end = max(0, length - int(match[2])), length
    else:
        start, end = int(match[1]), min(length, int(match[2]) + 1) if match[2] else length
        if match[2] and int(match[2]) < start:
            return None
    if start >= end:
        raise RangeNotSatisfiable(f"The picture has {length} bytes; there are none in '{header}'.")
    return ByteRange(start, end)


def matches_etag(header: str | None, etag: str) -> bool:
    """Tell whether an `If-None-Match` header names this image."""
    tags = [tag.strip().removeprefix("W/") for tag in (header or "").split(",")]
    return etag in tags or tags == ["*"]
