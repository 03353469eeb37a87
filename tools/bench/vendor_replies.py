"""Replies of a vendor, built in advance: bodies in OpenAI's form with an exact length.

Rule: an image is a PNG signature and noise in base64. White space, which JSON and events allow, fills the rest.
Deterministic.
"""

import base64
from functools import lru_cache
from random import Random

from tools.bench.cases import EVENTS, Case, Kind

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SAID = b'"created_at":1795000000,"size":"1024x1024","quality":"low","background":"opaque","output_format":"png"'
USAGE = (
    b'"usage":{"input_tokens":9,"input_tokens_details":{"text_tokens":9,"image_tokens":0},"output_tokens":208,'
    b'"output_tokens_details":{"image_tokens":208,"text_tokens":0},"total_tokens":217}'
)
BEFORE = (
    b'{"created":1795000000,"background":"opaque","output_format":"png","quality":"low","size":"1024x1024",'
    b'"data":[{"b64_json":"'
)
AFTER = b'"}],' + USAGE + b"}"
DIGITS, OCTETS = 4, 3  # of base64


@lru_cache(maxsize=2)
def _image(characters: int) -> bytes:
    """Build base64 of noise with at most `characters` characters."""
    octets = characters // DIGITS * OCTETS
    return base64.b64encode(SIGNATURE + Random(1).randbytes(octets - len(SIGNATURE)))  # noqa: S311 (noise)


def reply(length: int) -> bytes:
    """Build a complete reply with one image."""
    body = BEFORE + _image(length - len(BEFORE) - len(AFTER)) + AFTER
    return body + b" " * (length - len(body))


def stream(length: int) -> bytes:
    """Build previews and an image as events of equal length."""
    length_each = length // EVENTS
    previews = [
        _event(b"partial_image", length_each, b'"partial_image_index":%d' % index) for index in range(EVENTS - 1)
    ]
    return b"".join([*previews, _event(b"completed", length - length_each * (EVENTS - 1), USAGE)])


def _event(name: bytes, length: int, more: bytes) -> bytes:
    start = b'event: image_generation.%s\ndata: {"type":"image_generation.%s","b64_json":"' % (name, name)
    end = b'",%s,%s}' % (SAID, more)
    frame = start + _image(length - len(start) - len(end) - 2) + end
    return frame + b" " * (length - len(frame) - 2) + b"\n\n"


def canned(case: Case) -> bytes:
    """Build the reply to a case."""
    return stream(case.length) if case.kind is Kind.STREAM else reply(case.length)
