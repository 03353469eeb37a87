"""Even stream of requests, with some seconds in the middle measured.

Rule: callers begin evenly over the duration of one request. So the number of requests under way is constant, and as
many end in every second. The measurement begins when all callers have begun. The number of callers is `per_second`
times the duration.
"""

import asyncio
import itertools
import sys
import time
from dataclasses import dataclass

from tools.bench.measure import MEGABYTE
from tools.bench.processes import forget_peak, sum_peaks
from tools.bench.scale.callers import Tally, asking, call
from tools.bench.scale.site import Site, request

SETTLING_SECONDS = 0.5
SMALL, LARGE = 400, 2_000_000  # bytes of the image
_hundreds_of_millions = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Calls under way, calls per second, and teams that share them, for `seconds`."""

    in_flight: int
    per_second: float
    seconds: float
    teams: int = 1
    image_bytes: int = SMALL

    @property
    def wait(self) -> float:
        """Seconds of a vendor's call."""
        return self.in_flight / self.per_second


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Milliseconds of CPU per request: of gateways, Redis for quotas, PostgreSQL, Redis for results.

    `peak` is in megabytes. `failed` counts from the first caller to the last.
    """

    requests: int
    failed: int
    seconds: float
    cpu: float
    redis: float
    sql: float
    results: float
    peak: float


def steady(site: Site, load: Load) -> Seen:
    """Measure one load."""
    return asyncio.run(_steady(site, load))


async def _steady(site: Site, load: Load) -> Seen:
    tally, first, stopped = Tally(), next(_hundreds_of_millions) * 10_000_000, asyncio.Event()
    numbers = itertools.count(first)

    def following() -> bytes | None:
        if stopped.is_set():
            return None
        number = next(numbers)
        return request(f"team-{number % load.teams}", number, load.image_bytes, round(load.wait * 1000))

    calling = asyncio.create_task(call(site.urls, following, load.in_flight, load.wait, tally))
    await _pause(calling, load.wait + SETTLING_SECONDS)
    forget_peak(site.own)
    served, began, before = tally.served, time.monotonic(), site.cpu()
    await _pause(calling, load.seconds)
    taken = [now - was for now, was in zip(site.cpu(), before, strict=True)]
    served, seconds, peak = tally.served - served, time.monotonic() - began, sum_peaks(site.own)
    stopped.set()
    await calling
    print_failures(tally)
    cpu, redis, sql, results = (amount / max(1, served) for amount in taken)
    return Seen(
        requests=served,
        failed=tally.failed,
        seconds=seconds,
        cpu=cpu,
        redis=redis,
        sql=sql,
        results=results,
        peak=peak / MEGABYTE,
    )


def print_failures(tally: Tally) -> None:
    """Print the last failure."""
    if tally.failed:
        sys.stderr.write(f"answers by status: {dict(tally.statuses)}, the last: {tally.wrong!r}\n")


async def _pause(calling: asyncio.Task[None], seconds: float) -> None:
    """Wait, but fail at once with the callers."""
    await asyncio.wait([calling], timeout=seconds)
    if calling.done():
        calling.result()


def each_once(site: Site, teams: int, at_once: int) -> int:
    """Send one request of every team. Returns the number of failures."""
    tally, first = Tally(), next(_hundreds_of_millions) * 10_000_000

    def body(number: int) -> bytes:
        return request(f"team-{number}", first + number, SMALL, 0)

    asyncio.run(call(site.urls, asking(body, teams), min(at_once, teams), 0, tally))
    print_failures(tally)
    return tally.failed
