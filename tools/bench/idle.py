"""`python -m tools.bench.idle`: CPU and memory of a gateway without requests, and the cost of its start.

Rule: each figure is of a fresh process on a database that has its tables. The kinds alternate within a round. Ready is
the log line `listening`. Then no request comes for a while. Wall time depends on the machine's load, CPU time is the
cost of a start. Memory is the gateway's own, without its children. `--python` takes the interpreter of another
environment, because its packages may import others. Bytecode exists, as in the image: an uncounted start writes it.
"""

import argparse
import asyncio
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.adapters.sql.migrate import migrate
from tests.support.gateway import TIMEOUT_SECONDS, clean_environment
from tests.support.postgres import wheel_postgres
from tests.support.servers import real_redis
from tools.bench.measure import MEGABYTE, Spread, cpu_seconds
from tools.bench.targets import environment, folder

UNUSED_VENDOR = "http://127.0.0.1:9"  # address of a vendor that is never called
EMBEDDED, EXTERNAL, TRACED = "embedded", "Redis and PostgreSQL", "the same, with traces"
ROLLUP = re.compile(r"^(\w+):\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """One start, in seconds, and memory afterwards, in MB. `private` is shared with no other process."""

    ready: float
    cpu: float
    resident: float
    private: float


@contextmanager
def kinds() -> Iterator[Mapping[str, tuple[Path, dict[str, str]]]]:
    """Yield data folder and environment of each kind, while its servers run."""
    with (
        folder() as place,
        tempfile.TemporaryDirectory(prefix="bench-idle-") as name,
        real_redis(Path(name)) as redis,
        wheel_postgres(Path(name)) as postgres,
    ):
        asyncio.run(migrate(postgres.url))
        alone = environment(place, UNUSED_VENDOR) | bytecode(place)
        served = alone | {"REDIS_URL": redis, "DATABASE_URL": postgres.url}
        traced = served | {"OTEL_EXPORTER_OTLP_ENDPOINT": UNUSED_VENDOR}
        yield {
            kind: (place / "data", variables) for kind, variables in zip(NAMES, (alone, served, traced), strict=True)
        }


NAMES = (EMBEDDED, EXTERNAL, TRACED)


def bytecode(place: Path) -> dict[str, str]:
    """Set a folder for bytecode, whatever the machine's settings. Without it, each start compiles 180 modules."""
    return {"PYTHONPYCACHEPREFIX": str(place / "bytecode"), "PYTHONDONTWRITEBYTECODE": ""}


def start(python: str, data: Path, environment: Mapping[str, str], idle: float) -> Cost:
    """Start a gateway, leave it idle for some seconds, measure it, and end it."""
    command = [python, "-m", "service", "serve", "--port", "0", "--data-dir", str(data)]
    begun = time.monotonic()
    with subprocess.Popen(command, env=clean_environment(**environment), stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        listening = next((line for line in child.stdout if '"listening"' in line), None)
        assert listening, f"{python} did not start a gateway"
        ready, cpu = time.monotonic() - begun, cpu_seconds(child.pid)
        time.sleep(idle)
        taken = rollup(child.pid)
        child.terminate()
        child.wait(TIMEOUT_SECONDS)
    private = taken["Private_Clean"] + taken["Private_Dirty"]
    return Cost(ready=ready, cpu=cpu, resident=taken["Rss"], private=private)


def rollup(pid: int) -> dict[str, float]:
    """Return the kernel's figures of a process's memory, in MB."""
    fields = ROLLUP.findall(Path(f"/proc/{pid}/smaps_rollup").read_text())
    return {name: int(kilobytes) * 1024 / MEGABYTE for name, kilobytes in fields}


def row(kind: str, costs: Sequence[Cost]) -> str:
    """Format one line of the table."""
    series = [[getattr(cost, name) for cost in costs] for name in ("ready", "cpu", "resident", "private")]
    return f"| {kind} | {' | '.join(str(Spread(values)) for values in series)} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.idle")
    parser.add_argument("--python", default=sys.executable, help="of the environment to measure")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--idle", type=float, default=30, help="seconds before memory is read")
    options = parser.parse_args()
    costs: dict[str, list[Cost]] = {kind: [] for kind in NAMES}
    with kinds() as all_kinds:
        for data, environment in all_kinds.values():
            start(options.python, data, environment, 0)
        for _ in range(options.rounds):
            for kind, (data, environment) in all_kinds.items():
                costs[kind].append(start(options.python, data, environment, options.idle))
    print("| state | ready after, s | CPU until then, s | resident, MB | of which its own, MB |\n|---|---|---|---|---|")
    for kind, starts in costs.items():
        print(row(kind, starts))


if __name__ == "__main__":
    main()
