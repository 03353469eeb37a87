"""Targets: answers of vendors. As in `requests.py`, everything but a result or a failure is a finding."""

import json
from typing import Any, cast

from service.adapters.backends.dialect import Dialect, parse_duration, read_rate_limits, scrub
from service.adapters.backends.openai import OpenAIDialect
from service.adapters.backends.sse_reader import SseReader
from service.adapters.backends.together import TogetherDialect
from service.domain.errors import Failure
from service.domain.generation import Generation, Preview
from service.usecases.ports.requests import UpstreamRequest
from tools.fuzz.input import pieces, texts

NO_ORDER = cast("UpstreamRequest", None)  # dialects do not use it to read
BOUND = 1 << 60
STATUSES = (301, 303, 400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 499, 500, 502, 503, 504, 521, 524, 529, 599)


def events(data: bytes) -> None:
    """The cut into pieces does not change the events of a stream. A plain reader of lines finds the same events."""
    size, stream = data[0] + 1 if data else 1, data[1:]
    cut = SseReader()
    read_events = [event for piece in pieces(stream, size) for event in cut.feed(piece)]
    assert read_events == list(SseReader().feed(stream)) == plainly(stream)
    dialect = OpenAIDialect()
    for event in read_events:
        read = dialect.read_event(NO_ORDER, event)
        assert read is None or isinstance(read, Preview | Generation | Failure)
        if isinstance(read, Preview | Generation):
            agrees(read, decoded(bytes(event)))


def plainly(stream: bytes) -> list[bytes]:
    """Return the events by the letter of the standard, as far as vendors use it."""
    whole, has_data, data = [], False, list[bytes]()
    for line in stream.split(b"\n")[:-1]:
        bare = line.removesuffix(b"\r")
        if bare.startswith(b"data:"):
            data.append(bare.removeprefix(b"data:").removeprefix(b" "))
            has_data = True
        elif not bare and has_data:
            whole.append(b"\n".join(data))
            has_data, data = False, []
    return whole


def openai(data: bytes) -> None:
    """A reply of OpenAI, good or bad."""
    reply(OpenAIDialect(), data)


def together(data: bytes) -> None:
    """A reply of Together, good or bad."""
    reply(TogetherDialect(), data)


def reply(dialect: Dialect, data: bytes) -> None:
    """Images are the very text that Python's decoder finds. Refusals are clean, and counts are within bounds."""
    result = dialect.read(NO_ORDER, bytearray(data))
    if isinstance(result, Generation):
        items = decoded(data)["data"]
        assert len(result.images) + result.unreadable_images == len(items)
        expected = iter([bare(item["b64_json"]) for item in items if isinstance(item, dict) and item.get("b64_json")])
        assert all(json.loads(b'"%s"' % bytes(image.base64), strict=False) in expected for image in result.images)
        for usage in filter(None, (result.usage, result.partial_usage)):
            assert 0 <= usage.tokens_in + usage.tokens_out < BOUND
    head, *lines = texts(data)
    headers = dict(line.partition(":")[::2] for line in lines)
    read_rate_limits(dialect.rate_limit_headers, headers)
    parse_duration(head)
    refused = dialect.read_failure(STATUSES[len(data) % len(STATUSES)], headers, data)
    assert refused.message
    assert scrub(refused.message) == refused.message
    assert refused.retry_after is None or refused.retry_after >= 0


def bare(value: object) -> str:
    """Return an image's base64 without blanks and the head of a data URL."""
    text = str(value)
    head, comma, rest = text.partition(",")
    return "".join((rest if comma and head.lower().startswith("data:") else text).split())


def decoded(data: bytes) -> Any:
    """Return the document that Python's decoder finds. Parts that the gateway does not read may not be UTF-8."""
    return json.loads(data.decode("utf-8-sig", errors="replace"), strict=False)


def agrees(read: Preview | Generation, document: dict[str, object]) -> None:
    """The image of an event is the very text that Python's decoder finds."""
    base64 = read.base64 if isinstance(read, Preview) else read.images[0].base64
    assert json.loads(b'"%s"' % bytes(base64), strict=False) == bare(document["b64_json"])
