"""`python -m tools.bench.results`: cost of storing and reading an image of 2 MB, beside the bare commands.

Rule: one client, on the embedded Valkey and the gateway's event loop, with the launcher's malloc settings. The ways
alternate within a round. CPU is user and system time of this process with its threads, without the server's. Wall times
are of calls one after the other.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from random import Random

import uvloop

from service.adapters.embedded_valkey import run_valkey
from service.adapters.redis.client import connect, disconnect
from service.adapters.redis.result_codec import decode_result, encode_result
from service.adapters.redis.result_store import RedisResultStore
from service.domain.generation import Generation
from service.server import tune_malloc
from tests.support.result_stores import build_image, build_result
from tools.bench.measure import MEGABYTE, Spread

TIMEOUT_SECONDS = 5.0
KEY = "igw:result:search:bare"
MAX_BYTES = 32 * MEGABYTE
Way = Callable[[], Awaitable[object]]


async def measure(url: str, size: int, rounds: int, calls: int) -> None:
    """Print one table."""
    pixels = Random(1).randbytes(size)  # noqa: S311 (pixels, not secrets)
    result = build_result(generation=Generation(images=(build_image(pixels),)))
    encoded = encode_result(result, KEY) or b""
    client, results = connect(url), RedisResultStore(url, max_bytes=MAX_BYTES, timeout_seconds=TIMEOUT_SECONDS)

    async def inline(act: Callable[[], object]) -> None:
        act()

    ways: Mapping[str, Way] = {
        "SET": lambda: client.set(KEY, encoded, px=600_000),
        "put": lambda: results.put("search", "r1", result, 600),
        "of which packing": lambda: inline(lambda: encode_result(result, KEY)),
        "packing in a thread": lambda: asyncio.to_thread(encode_result, result, KEY),
        "GET": lambda: client.get(KEY),
        "GETRANGE": lambda: client.getrange(KEY, 0, MAX_BYTES),
        "get": lambda: results.get("search", "r1"),
        "of which unpacking": lambda: inline(lambda: decode_result(encoded, KEY)),
        "unpacking in a thread": lambda: asyncio.to_thread(decode_result, encoded, KEY),
    }
    for way in ways.values():
        await way()
    assert await results.get("search", "r1") == result
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            taken[name].append(await cost(way, calls))
    for name, costs in taken.items():
        cpu, wall = zip(*costs, strict=True)
        print(f"| {size / MEGABYTE:g} MB | {name} | {Spread(cpu)} | {Spread(wall)} |", flush=True)
    await results.close()
    await disconnect(client)


async def cost(way: Way, calls: int) -> tuple[float, float]:
    """Return milliseconds of CPU and of wall time per call."""
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(calls):
        await way()
    return (time.process_time() - cpu) * 1000 / calls, (time.perf_counter() - wall) * 1000 / calls


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.results")
    parser.add_argument("--megabytes", type=float, nargs="+", default=[0.1, 2, 8])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=40)
    options = parser.parse_args()
    tune_malloc()
    print("| picture | way | CPU, ms | wall, ms |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="bench-results-") as name, run_valkey(Path(name)) as url:
        for megabytes in options.megabytes:
            uvloop.run(measure(url, round(megabytes * MEGABYTE), options.rounds, options.calls))


if __name__ == "__main__":
    main()
