"""`python -m tools.bench.instructions`: machine instructions of one request in the gateway, by callgrind.

Rule: the gateway serves one request after another, each counted alone, and the minimum counts. That excludes timers,
and a busy machine changes little. The smallest relay of the same libraries (`tools/bench/smallest_relay.py`) is counted
too. instructions.json holds the cost of a request in such relayed requests, so another Python changes both. A growth of
more than a tenth (a quarter for a hit) fails, if a second count confirms it. `--write` replaces instructions.json.
Needs valgrind.
"""

import argparse
import http.client
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.metadata import version
from itertools import count
from pathlib import Path

import msgspec

from tools.bench.cases import EVERY
from tools.bench.measure import Child, stop
from tools.bench.peers.product import TEAM_KEY, still_gateway
from tools.bench.peers.running import NotRunning, free_port, running

BASELINE = Path(__file__).with_name("instructions.json")
HIT = "1 KB, kept"
MAX_GROWTH, MAX_GROWTH_OF_A_HIT = 0.10, 0.25  # a hit differs by a seventh between processes
WARM, COUNTED = 20, 24
IMAGE_BYTES = 500  # 1 KB of reply
LIBRARIES = ("aiohttp", "hiredis", "httptools", "litestar", "msgspec", "redis", "uvicorn", "uvloop")
TOTALS = re.compile(r"^totals: (\d+)", re.MULTILINE)
FLOOR = "floor"
OK = 200
TIMEOUT_SECONDS = 120.0
Ask = Callable[[http.client.HTTPConnection], None]


class Counts(msgspec.Struct, kw_only=True):
    """Contents of instructions.json: instructions per request, and the versions that they were counted with."""

    python: str
    libraries: dict[str, str]
    instructions: dict[str, int]

    def worth(self, name: str) -> float:
        """Return the cost of a request in relayed requests."""
        return self.instructions[name] / self.instructions[FLOOR]


_numbers = count()


def generation(connection: http.client.HTTPConnection, *, fresh: bool) -> None:
    """Request an image, with a new prompt or with a repeated one."""
    words = f"a picture of {IMAGE_BYTES} bytes, number {next(_numbers) if fresh else 0:08d}"
    body = msgspec.json.encode({"model": EVERY[0].model, "prompt": words, "quality": "low"})
    _answer(connection, "POST", "/v1/images/generations", body)


def models(connection: http.client.HTTPConnection) -> None:
    """Request the list of models."""
    _answer(connection, "GET", "/v1/models", b"")


def _answer(connection: http.client.HTTPConnection, method: str, path: str, body: bytes) -> None:
    headers = {"authorization": f"Bearer {TEAM_KEY}", "content-type": "application/json"}
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != OK:
        raise SystemExit(f"{path}: {answer.status} {text!r}")


MISS: Ask = partial(generation, fresh=True)
ASKS: Mapping[str, Ask] = {"1 KB": MISS, HIT: partial(generation, fresh=False), "models": models}


@contextmanager
def watched(command: Sequence[str], port: int, folder: Path, environment: Mapping[str, str]) -> Iterator[int]:
    """Run a command under callgrind, with counting off."""
    if shutil.which("valgrind") is None:
        raise NotRunning("valgrind is needed: apt-get install --no-install-recommends valgrind")
    grind = ("valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/counted")
    with running([*grind, *command], port, folder / "log", {"PYTHONHASHSEED": "0", **environment}) as pid:
        yield pid


def control(pid: int, *order: str) -> None:
    """Send a command to callgrind. It finds the process by LOGNAME and HOST, which must be equal for both."""
    subprocess.run(("callgrind_control", *order, str(pid)), check=True, capture_output=True, timeout=TIMEOUT_SECONDS)


def counted(pid: int, port: int, folder: Path, asks: Mapping[str, Ask]) -> dict[str, int]:
    """Count the instructions of one request of each kind."""
    control(pid, "--instr=on")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    dumps = (Path(f"{folder}/counted.{number}") for number in count(1))
    counts = {name: min(_each(pid, connection, ask, dumps)) for name, ask in asks.items()}
    connection.close()
    return counts


def _each(pid: int, connection: http.client.HTTPConnection, ask: Ask, dumps: Iterator[Path]) -> Iterator[int]:
    for _ in range(WARM):
        ask(connection)
    for _ in range(COUNTED):
        ask(connection)  # timers that came due while the last dump was written fire now
        control(pid, "--zero")
        ask(connection)
        control(pid, "--dump")
        yield _total(next(dumps))


def _total(file: Path) -> int:
    match = TOTALS.search(file.read_text())
    if match is None:
        raise SystemExit(f"{file} says no total")
    return int(match[1])


def count_all() -> Counts:
    """Count the floor and the gateway."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp")))
        upstream = stack.enter_context(Child("tools.bench.fast_vendor")).url
        counts = _floor(folder / "floor", upstream) | _gateway(folder / "gateway", upstream)
    libraries = {name: version(name) for name in LIBRARIES}
    return Counts(python=platform.python_version(), libraries=libraries, instructions=counts)


def _floor(folder: Path, upstream: str) -> dict[str, int]:
    folder.mkdir()
    port = free_port()
    with watched([sys.executable, "-m", "tools.bench.smallest_relay", upstream, str(port)], port, folder, {}) as pid:
        return counted(pid, port, folder, {FLOOR: MISS})


def _gateway(folder: Path, upstream: str) -> dict[str, int]:
    with (
        still_gateway(folder, upstream) as (command, port, environment),
        watched(command, port, folder, environment) as pid,
    ):
        return counted(pid, port, folder, ASKS)


def find_growth(now: Counts, before: Counts) -> list[str]:
    """List the kinds of requests that have grown too much."""
    shares = {name: MAX_GROWTH_OF_A_HIT if name == HIT else MAX_GROWTH for name in ASKS}
    return [
        f"{name}: {now.worth(name):.1f} times the floor, more than {share:.0%} above {before.worth(name):.1f}"
        for name, share in shares.items()
        if now.worth(name) > before.worth(name) * (1 + share)
    ]


def least(one: Counts, other: Counts) -> Counts:
    """Take the lower count of each kind from two runs."""
    lower = {name: min(number, other.instructions[name]) for name, number in one.instructions.items()}
    return msgspec.structs.replace(one, instructions=lower)


def table(now: Counts, before: Counts | None) -> str:
    """Format the counts as a table."""
    lines = ["| request | instructions | times the floor | stood at |", "|---|---|---|---|"]
    for name, number in now.instructions.items():
        stood = f"{before.worth(name):.2f}" if before else "-"
        lines.append(f"| {name} | {number:,} | {now.worth(name):.2f} | {stood} |")
    return "\n".join(lines)


def main() -> None:
    """Count, compare, and report."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.instructions")
    parser.add_argument("--write", action="store_true", help="what was counted is what the next run is compared with")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, stop)
    now = count_all()
    before = msgspec.json.decode(BASELINE.read_bytes(), type=Counts) if BASELINE.exists() else None
    print(table(now, before))
    if chosen.write:
        BASELINE.write_bytes(msgspec.json.format(msgspec.json.encode(now), indent=2) + b"\n")
    elif before is None:
        raise SystemExit("nothing to compare with: --write")
    elif find_growth(now, before) and (grown := find_growth(least(now, count_all()), before)):
        raise SystemExit("\n".join(grown))


if __name__ == "__main__":
    main()
