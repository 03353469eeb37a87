"""`python -m tools.bench.streams`: many streams at once, each with several events of megabytes.

Rule: all streams are under way at once. Their readers are fast and drop the data. Each figure has a fresh gateway.
Prints a row of docs/benchmarks.md for each number of streams.
"""

import argparse
import asyncio
import sys
import time
from functools import partial
from urllib.parse import urlsplit

from tools.bench.load import Ask
from tools.bench.measure import MEGABYTE, Child, Spread, cpu_seconds, peak_bytes, resident_bytes
from tools.bench.targets import gateway, generation

EVENTS = 3
END = b"0\r\n\r\n"
PAUSE = 3.0  # seconds between events, in which all streams open


class Reader(asyncio.Protocol):
    """Protocol that sends a request and keeps only the length and the last bytes of the response."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._tail = b""
        self.length = 0
        self.first = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.writelines(self._ask)

    def data_received(self, data: bytes) -> None:
        self.first = self.first or time.perf_counter()
        self.length += len(data)
        self._tail = (self._tail + data[-len(END) :])[-len(END) :]
        if self._tail == END:
            self._transport.close()
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the stream was cut"))


def keep(reader: Reader) -> Reader:
    """Return the prepared protocol of a connection."""
    return reader


async def read_all(url: str, count: int, image_bytes: int) -> None:
    """Read `count` streams at once, to the last event of each."""
    loop, address = asyncio.get_running_loop(), urlsplit(url)
    readers = []
    for _ in range(count):
        reader = Reader(generation(image_bytes, stream=True, partial_images=EVENTS - 1))
        await loop.create_connection(partial(keep, reader), str(address.hostname), address.port or 80)
        readers.append(reader)
    await asyncio.gather(*(reader.done for reader in readers))
    least = EVENTS * image_bytes * 4 // 3
    short = [reader.length for reader in readers if reader.length < least]
    if short:
        raise SystemExit(f"{len(short)} streams are too short, such as {short[0]} bytes")


def climb(count: int, image_bytes: int) -> tuple[float, float, float]:
    """Return idle and peak megabytes of a fresh gateway, and CPU milliseconds per stream."""
    vendor = Child("tools.bench.streaming_vendor", str(image_bytes), str(EVENTS), str(PAUSE))
    with vendor as upstream, gateway(upstream.url) as target:
        idle, before = resident_bytes(target.pid), cpu_seconds(target.pid)
        asyncio.run(read_all(target.url, count, image_bytes))
        cpu = (cpu_seconds(target.pid) - before) * 1000 / count
        return idle / MEGABYTE, peak_bytes(target.pid) / MEGABYTE, cpu


def firsts(image_bytes: int, count: int) -> tuple[list[float], list[float]]:
    """Return milliseconds to the first byte, from the vendor and through the gateway, in alternation."""
    straight: list[float] = []
    through: list[float] = []
    with (
        Child("tools.bench.streaming_vendor", str(image_bytes), str(EVENTS), "0") as upstream,
        gateway(upstream.url) as target,
    ):
        for number in range(count):
            for url, latencies in ((upstream.url, straight), (target.url, through)):
                one = asyncio.run(first(url, image_bytes))
                if number:  # the first calls open connections
                    latencies.append(one)
    return straight, through


async def first(url: str, image_bytes: int) -> float:
    """Return milliseconds until the first byte."""
    address, reader = urlsplit(url), Reader(generation(image_bytes, stream=True, partial_images=EVENTS - 1))
    began = time.perf_counter()
    await asyncio.get_running_loop().create_connection(partial(keep, reader), str(address.hostname), address.port or 80)
    await reader.done
    return (reader.first - began) * 1000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.streams")
    parser.add_argument("--streams", type=int, nargs="*", default=[50, 500])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--bytes", type=int, default=2 * MEGABYTE, help="of each picture")
    parser.add_argument("--firsts", type=int, default=100, help="calls for the time to the first byte; 0: not measured")
    options = parser.parse_args()
    if options.firsts:
        print("| picture | first byte from the vendor, ms | through the gateway, ms |\n|---|---|---|")
        for length in (100_000, options.bytes):
            straight, through = firsts(length, options.firsts)
            print(f"| {length} bytes | {Spread(straight)} | {Spread(through)} |")
        print()
    print(
        f"| streams at once, {EVENTS} events of {options.bytes} bytes each | idle, MB | peak, MB | CPU, ms per stream |"
    )
    print("|---|---|---|---|")
    for count in options.streams:
        figures = []
        for _ in range(options.repeats):
            figures.append(climb(count, options.bytes))
            sys.stderr.write(f"{count}: {figures[-1]}\n")
        idle, peak, cpu = (Spread(series) for series in zip(*figures, strict=True))
        print(f"| {count} | {idle} | {peak} | {cpu} |")


if __name__ == "__main__":
    main()
