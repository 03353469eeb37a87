"""`python -m tests.bench.hits`: a picture that is kept, from the gateway and from nginx's `proxy_cache`, side by side.

Rule: both stand in front of the same upstream and have the picture at hand; they take turns within a round. CPU is that
of the process that answers (nginx: its worker); the store of the gateway's results is told apart. Needs `nginx` on the
path, or where Debian has it.
"""

import argparse
import asyncio
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.bench.load import Ask, storm
from tests.bench.measure import MEGABYTE, Child, Spread, cpu_seconds
from tests.bench.targets import Target, environment, folder, generation
from tests.gateway import GatewayProcess

SIZES = {"100 KB": 100_000, "2 MB": 2 * MEGABYTE}
NGINX = """
daemon off; user root; master_process on; worker_processes 1; pid {place}/pid; error_log {place}/errors;
events {{ worker_connections 256; }}
http {{
  access_log off; keepalive_requests 1000000; client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;
  fastcgi_temp_path {place}/fastcgi; uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
  proxy_cache_path {place}/cache keys_zone=pictures:1m;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass {upstream}; proxy_cache pictures; proxy_cache_methods POST; proxy_cache_valid 200 1h;
      proxy_cache_key $request_body; client_body_buffer_size 64k; sendfile on;
    }}
  }}
}}
"""


@dataclass(slots=True)
class Figures:
    """A target's series in one case: CPU and wall-clock milliseconds per request, and CPU of its store."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    store: list[float] = field(default_factory=list)


@contextmanager
def caching_gateway(upstream: str) -> Iterator[Target]:
    """The product, with its cache on."""
    with folder() as place:
        settings = place / "config" / "gateway.yaml"
        settings.write_text(settings.read_text().replace("  seconds: 0 #", "  seconds: 3600 #"))
        with GatewayProcess(place / "data", environment(place, upstream), options=()) as process:
            yield Target("gateway", process.pid, process.url)


@contextmanager
def nginx(upstream: str) -> Iterator[Target]:
    """nginx with one worker, which keeps its cache in files."""
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if binary is None:
        raise SystemExit("nginx is needed: apt-get install nginx-light")
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as name,
        socket.create_server(("127.0.0.1", 0)) as free,
    ):
        place, port = Path(name), free.getsockname()[1]
        free.close()
        (place / "nginx.conf").write_text(NGINX.format(place=place, port=port, upstream=upstream))
        master = subprocess.Popen([binary, "-c", str(place / "nginx.conf"), "-p", name], stderr=subprocess.DEVNULL)
        try:
            worker = _worker(master.pid)
            yield Target("nginx", worker, f"http://127.0.0.1:{port}")
        finally:
            master.terminate()
            master.wait(10)


def _worker(master: int) -> int:
    """The process that answers, once it is there."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        children = psutil.Process(master).children()
        if children:
            return int(children[0].pid)
        time.sleep(0.01)
    raise SystemExit("nginx did not start")


def stores(pid: int) -> float:
    """CPU seconds of the servers that a process has started."""
    return sum(cpu_seconds(child.pid) for child in psutil.Process(pid).children())


async def measure(targets: Mapping[str, Target], rounds: int, count: int) -> dict[tuple[str, int, str], Figures]:
    """Figures by size, connections and target."""
    found: dict[tuple[str, int, str], Figures] = {}
    for number in range(rounds + 1):  # the first one fills the caches
        for size, length in SIZES.items():
            for at_once in (1, 8):
                for name in sorted(targets, reverse=bool(number % 2)):
                    figures = found.setdefault((size, at_once, name), Figures())
                    one = await cost(targets[name], generation(length), count, at_once)
                    if number:
                        for series, value in zip((figures.cpu, figures.wall, figures.store), one, strict=True):
                            series.append(value)
        sys.stderr.write(f"round {number} of {rounds}\n")
    return found


async def cost(target: Target, ask: Ask, count: int, at_once: int) -> tuple[float, float, float]:
    """Milliseconds for one request: CPU, wall clock, and CPU of the store."""
    cpu, store, began = cpu_seconds(target.pid), stores(target.pid), time.perf_counter()
    await storm(target.url, ask, count=count, at_once=at_once)
    wall = (time.perf_counter() - began) * at_once
    used = (cpu_seconds(target.pid) - cpu, wall, stores(target.pid) - store)
    return (used[0] * 1000 / count, used[1] * 1000 / count, used[2] * 1000 / count)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.hits")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--count", type=int, default=200)
    options = parser.parse_args()
    with ExitStack() as stack:
        upstream = stack.enter_context(Child("tests.bench.upstream")).url
        targets = {
            each.name: each for each in (stack.enter_context(start(upstream)) for start in (caching_gateway, nginx))
        }
        found = asyncio.run(measure(targets, options.rounds, options.count))
    print("| picture | at once | gateway, CPU ms | nginx, CPU ms | ratio | gateway, ms | nginx, ms | store, CPU ms |")
    print("|---|---|---|---|---|---|---|---|")
    for size in SIZES:
        for at_once in (1, 8):
            ours, theirs = found[size, at_once, "gateway"], found[size, at_once, "nginx"]
            ratio = Spread([one / other for one, other in zip(ours.cpu, theirs.cpu, strict=True) if other])
            cells = [
                Spread(ours.cpu),
                Spread(theirs.cpu),
                ratio,
                Spread(ours.wall),
                Spread(theirs.wall),
                Spread(ours.store),
            ]
            print(f"| {size} | {at_once} | {' | '.join(map(str, cells))} |")


if __name__ == "__main__":
    main()
