"""Results to cache, and result stores for one suite: the fake, a single server and a cluster."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pybase64

from service.adapters.redis.result_store import RedisResultStore
from service.domain.generation import GeneratedImage, Generation, Usage
from service.domain.image_spec import Size
from service.usecases.ports.result_store import Result, ResultStore
from tests.fakes.result_store import FakeResultStore

LONG_TIMEOUT_SECONDS = 10  # tests with it check results, not durations
MAX_BYTES = 6_000_000  # more than is encoded without a thread
PIXELS = bytes(range(256)) * 16


def build_image(pixels: bytes = PIXELS, prompt: str | None = None) -> GeneratedImage:
    return GeneratedImage(base64=pybase64.b64encode(pixels), revised_prompt=prompt)


def build_generation(**changes: Any) -> Generation:
    """Build a generation with every field of a vendor."""
    plain = {
        "images": (build_image(prompt="a fox, “quick” 🦊"), build_image(PIXELS[::-1])),
        "created": 1_795_262_400,
        "size": Size(1536, 1024),
        "tier": "xhigh",
        "background": "transparent",
        "output_format": "webp",
        "usage": Usage(text_in=12, image_in=345, image_out=6789, text_out=1, text_cached=10, image_cached=300),
        "svg_usage": {"reasoning": {"effort": "high", "tokens": 12, "share": 0.1 + 0.2}, "paths": [1, None, True, "é"]},
    }
    return Generation(**{**plain, **changes})


def build_result(**changes: Any) -> Result:
    plain = {
        "model": "black-forest-labs/FLUX.2-pro",
        "backend": "together",
        "upstream_model": "black-forest-labs/FLUX.2-pro",
        "price_version": "together@2026-10-01",
        "generation": build_generation(),
        "created": 1_795_262_401,
        "cost": 123_456_789_012,
        "stored_at": 1_795_262_402_123_456,
        "ids": ("img_1", "img_2"),
        "images_stored": True,
        "request_id": "req_1",
    }
    return Result(**{**plain, **changes})


@asynccontextmanager
async def open_result_store(kind: str, url: str) -> AsyncIterator[ResultStore]:
    """Open an empty store: the fake, or on the server at an address."""
    if kind == "fake":
        yield FakeResultStore(max_bytes=MAX_BYTES)
        return
    results = RedisResultStore(url, max_bytes=MAX_BYTES, timeout_seconds=LONG_TIMEOUT_SECONDS)
    try:
        assert await results.purge(None, None) is not None
        yield results
    finally:
        await results.close()
