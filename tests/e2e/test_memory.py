"""Memory of the gateway with many large images under way at once: the bound of docs/benchmarks.md."""

from collections.abc import Iterator

import pytest

from tools.bench.load import Ask, storm
from tools.bench.measure import MEGABYTE, Child, peak_bytes
from tools.bench.targets import Target, edit, gateway, generation

MOST = 300 * MEGABYTE


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    with Child("tools.bench.fast_vendor") as upstream, gateway(upstream.url) as started:
        yield started


@pytest.mark.parametrize(
    ("ask", "at_once", "count"),
    [(generation(2 * MEGABYTE), 32, 64), (edit(1000), 16, 16)],
    ids=["32 replies of 2 MB", "16 edits of 16 x 3 MB"],
)
async def test_many_large_images_at_once_take_bounded_memory(
    target: Target, ask: Ask, at_once: int, count: int
) -> None:
    await storm(target.url, ask, count=count, at_once=at_once)
    assert peak_bytes(target.pid) < MOST
