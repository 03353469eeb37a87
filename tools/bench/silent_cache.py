"""`python -m tools.bench.silent_cache`: latency of a request while the cache accepts connections and does not answer.

Rule: requests go one after another, each for another image, through one gateway with the shipped settings. The Redis of
the results is stopped (SIGSTOP) in every other round, the Redis of the quotas never.
"""

import argparse
import statistics
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import httpx2

from service.adapters.embedded_valkey import CACHE_OPTIONS, run_valkey
from tests.support.frozen_server import frozen_server
from tests.support.gateway import GatewayProcess
from tools.bench.measure import Child, figure
from tools.bench.targets import KEY, environment, folder

PATH = "/v1/images/generations"


def ask(http: httpx2.Client, url: str, number: int) -> float:
    """Return the milliseconds until the image arrives."""
    body = {"model": "gpt-image-2", "prompt": f"a picture of 1000 bytes, {number}", "quality": "low"}
    began = time.perf_counter()
    reply = http.post(url + PATH, json=body, headers={"authorization": f"Bearer {KEY}"})
    reply.raise_for_status()
    if reply.headers["x-gateway-cache"] != "miss":
        raise SystemExit(f"it was a {reply.headers['x-gateway-cache']}")
    return (time.perf_counter() - began) * 1000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.silent_cache")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--count", type=int, default=200, help="requests in a round")
    options = parser.parse_args()
    latencies: dict[bool, list[float]] = {False: [], True: []}
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as name,
        run_valkey(Path(name) / "cache", CACHE_OPTIONS) as cache,
        Child("tools.bench.fast_vendor") as upstream,
        folder() as place,
        httpx2.Client(timeout=60, trust_env=False) as http,
    ):
        settings = place / "config" / "gateway.yaml"
        settings.write_text(settings.read_text().replace("  seconds: 0 #", "  seconds: 3600 #"))
        more = environment(place, upstream.url) | {"CACHE_REDIS_URL": cache}
        with GatewayProcess(place / "data", more, options=(), fork=False) as gateway:
            for number in range(options.rounds):
                hangs = bool(number % 2)
                with frozen_server(Path(name) / "cache") if hangs else nullcontext():
                    start = number * options.count
                    latencies[hangs] += [ask(http, gateway.url, start + index) for index in range(options.count)]
                time.sleep(1.5)  # the gateway skips the cache for a second after a failure
                sys.stderr.write(f"round {number + 1} of {options.rounds}\n")
    print("| cache | requests | median, ms | p99, ms | longest, ms |")
    print("|---|---|---|---|---|")
    for hangs, series in latencies.items():
        ordered = sorted(series)
        late = ordered[int(len(ordered) * 0.99)]
        cells = [str(len(ordered)), *map(figure, (statistics.median(ordered), late, ordered[-1]))]
        print(f"| {'hangs' if hangs else 'answers'} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
