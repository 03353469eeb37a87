"""wrk as the load generator: a number or a duration of requests over a number of connections.

Rule: one thread. Each reply comes at the first attempt with a status below 400. The sum of their lengths must be as
expected. wrk adds samples that it takes for missed. They are removed, so latencies are the observed ones.

Fails with: `LoadError` for any other reply or length.
"""

import itertools
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tools.bench.cases import Case, Kind
from tools.bench.load import LoadError
from tools.bench.peers.nginx import HINT
from tools.bench.peers.peer import Peer
from tools.bench.peers.running import NotRunning
from tools.bench.request_bytes import MARK, request

SCRIPT = Path(__file__).with_name("wrk.lua")
FOREVER = "3600s"
TIMEOUT = "200s"  # of one request; a longer one has no latency
TIMEOUT_SECONDS = 240.0
RESULT = "RESULT "
STRIDE = 1_000_000
_runs = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Observed load: `count` replies of `bytes` bytes in all within `seconds`, latencies in milliseconds."""

    count: int
    bytes: int
    seconds: float
    p50: float
    p99: float


class _Result(msgspec.Struct):
    begun: float
    finished: float
    asked: int
    count: int
    bytes: int
    micros: int
    failed: int
    latencies: list[tuple[int, int]]


def send(case: Case, peer: Peer, folder: Path, *, connections: int, most: int, seconds: float) -> Load:
    """Send at least one request over each connection."""
    binary = shutil.which("wrk")
    if binary is None:
        raise NotRunning(f"wrk is needed: {HINT}")
    file = folder / "request"
    file.write_bytes(request(case, peer))
    first, step = (0, 0) if case.kind is Kind.HIT else (next(_runs) * STRIDE, 1)
    arguments = (file, MARK, connections, max(most, connections), seconds, first, step)
    options = ("-t", "1", "-c", str(connections), "-d", FOREVER, "--timeout", TIMEOUT, "-s", str(SCRIPT), peer.url)
    command = [binary, *options, "--", *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    lines = [line for line in run.stdout.splitlines() if line.startswith(RESULT)]
    if run.returncode or not lines:
        raise LoadError(f"wrk at {peer.name}, {case.name}: {run.stdout[-500:]}{run.stderr[-500:]}")
    result = msgspec.json.decode(lines[0].removeprefix(RESULT), type=_Result)
    return _checked(result, case, peer, connections)


def _checked(result: _Result, case: Case, peer: Peer, connections: int) -> Load:
    short = result.bytes < result.count * case.length * (1 - SHORTER)
    if short or result.failed or result.asked != result.count:
        summary = f"{result.failed} of {result.asked} failed, {result.count} answers of {result.bytes} bytes"
        raise LoadError(f"{peer.name}, {case.name}: {summary}")
    seen = as_seen(dict(result.latencies), result.micros // max(1, result.count // connections))
    if seen.total() != result.count:
        raise LoadError(f"{seen.total()} latencies of {result.count} requests")
    return Load(
        count=result.count,
        bytes=result.bytes,
        seconds=result.finished - result.begun,
        p50=percentile(seen, 0.5) / 1000,
        p99=percentile(seen, 0.99) / 1000,
    )


SHORTER = 0.02  # by which a peer that encodes JSON again may shorten a reply


def as_seen(latencies: Mapping[int, int], expected: int) -> Counter[int]:
    """Return the number of observations by latency.

    wrk adds a sample for each `expected` time by which a latency of twice that time or more was late.
    """
    seen: Counter[int] = Counter()
    added: Counter[int] = Counter()
    for value in sorted(latencies, reverse=True):
        count = latencies[value] - added[value]
        if count:
            seen[value] = count
        if count and value >= 2 * expected:
            for earlier in range(value - expected, expected, -expected):
                added[earlier] += count
    return seen


def percentile(seen: Mapping[int, int], share: float) -> int:
    """Return the smallest value that is not exceeded by at least this share."""
    total, so_far = sum(seen.values()), 0
    for value in sorted(seen):
        so_far += seen[value]
        if so_far >= share * total:
            return value
    raise LoadError("nothing was seen")
