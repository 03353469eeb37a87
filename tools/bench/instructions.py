"""`python -m tools.bench.instructions`: machine instructions that one request takes in the gateway, by callgrind.

Rule: the gateway serves one request after another, each counted alone, and the one that took least counts. That leaves
out what goes by the clock, and a busy machine changes little. Beside it the smallest relay of the same libraries is
counted (`tools/bench/floor.py`): what is compared with instructions.json is how many of those a request is worth, so
another Python changes both. More than a tenth above what stands there (a quarter for a hit) is a failure, if a second
count says so too; `--write` writes it anew. Needs valgrind.
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
MOST_MORE, MOST_MORE_OF_A_HIT = 0.10, 0.25  # a hit differs by a seventh from one process to the next
WARM, COUNTED = 20, 24
PICTURE_BYTES = 500  # 1 KB of answer
LIBRARIES = ("aiohttp", "hiredis", "httptools", "litestar", "msgspec", "redis", "uvicorn", "uvloop")
TOTALS = re.compile(r"^totals: (\d+)", re.MULTILINE)
FLOOR = "floor"
OK = 200
PATIENCE = 120.0
Ask = Callable[[http.client.HTTPConnection], None]


class Counts(msgspec.Struct, kw_only=True):
    """What stands in instructions.json: instructions for one request, and for what they were counted."""

    python: str
    libraries: dict[str, str]
    instructions: dict[str, int]

    def worth(self, name: str) -> float:
        """How many requests to the floor one of these is worth."""
        return self.instructions[name] / self.instructions[FLOOR]


_numbers = count()


def generation(connection: http.client.HTTPConnection, *, fresh: bool) -> None:
    """A picture, with words that nobody has used before, or with the same ones."""
    words = f"a picture of {PICTURE_BYTES} bytes, number {next(_numbers) if fresh else 0:08d}"
    body = msgspec.json.encode({"model": EVERY[0].model, "prompt": words, "quality": "low"})
    _answer(connection, "POST", "/v1/images/generations", body)


def models(connection: http.client.HTTPConnection) -> None:
    """The list of models."""
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
def watched(command: Sequence[str], port: int, folder: Path, told: Mapping[str, str]) -> Iterator[int]:
    """A command under callgrind, which counts nothing yet."""
    if shutil.which("valgrind") is None:
        raise NotRunning("valgrind is needed: apt-get install --no-install-recommends valgrind")
    grind = ("valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/counted")
    with running([*grind, *command], port, folder / "log", {"PYTHONHASHSEED": "0", **told}) as pid:
        yield pid


def control(pid: int, *order: str) -> None:
    """Tell callgrind something. It finds the process by LOGNAME and HOST, which have to be the same for both."""
    subprocess.run(("callgrind_control", *order, str(pid)), check=True, capture_output=True, timeout=PATIENCE)


def counted(pid: int, port: int, folder: Path, asks: Mapping[str, Ask]) -> dict[str, int]:
    """Instructions for one request of each kind."""
    control(pid, "--instr=on")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    dumps = (Path(f"{folder}/counted.{number}") for number in count(1))
    found = {name: min(_each(pid, connection, ask, dumps)) for name, ask in asks.items()}
    connection.close()
    return found


def _each(pid: int, connection: http.client.HTTPConnection, ask: Ask, dumps: Iterator[Path]) -> Iterator[int]:
    for _ in range(WARM):
        ask(connection)
    for _ in range(COUNTED):
        ask(connection)  # whatever fell due while the last one was written down happens now
        control(pid, "--zero")
        ask(connection)
        control(pid, "--dump")
        yield _total(next(dumps))


def _total(file: Path) -> int:
    told = TOTALS.search(file.read_text())
    if told is None:
        raise SystemExit(f"{file} says no total")
    return int(told[1])


def count_all() -> Counts:
    """The floor's, and the gateway's."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp")))
        upstream = stack.enter_context(Child("tools.bench.upstream")).url
        found = _floor(folder / "floor", upstream) | _gateway(folder / "gateway", upstream)
    libraries = {name: version(name) for name in LIBRARIES}
    return Counts(python=platform.python_version(), libraries=libraries, instructions=found)


def _floor(folder: Path, upstream: str) -> dict[str, int]:
    folder.mkdir()
    port = free_port()
    with watched([sys.executable, "-m", "tools.bench.floor", upstream, str(port)], port, folder, {}) as pid:
        return counted(pid, port, folder, {FLOOR: MISS})


def _gateway(folder: Path, upstream: str) -> dict[str, int]:
    with still_gateway(folder, upstream) as (command, port, told), watched(command, port, folder, told) as pid:
        return counted(pid, port, folder, ASKS)


def verdict(now: Counts, before: Counts) -> list[str]:
    """What has grown too much."""
    shares = {name: MOST_MORE_OF_A_HIT if name == HIT else MOST_MORE for name in ASKS}
    return [
        f"{name}: {now.worth(name):.1f} times the floor, more than {share:.0%} above {before.worth(name):.1f}"
        for name, share in shares.items()
        if now.worth(name) > before.worth(name) * (1 + share)
    ]


def least(one: Counts, other: Counts) -> Counts:
    """Of two counts of the same, the lower ones."""
    lower = {name: min(number, other.instructions[name]) for name, number in one.instructions.items()}
    return msgspec.structs.replace(one, instructions=lower)


def table(now: Counts, before: Counts | None) -> str:
    """For people."""
    lines = ["| request | instructions | times the floor | stood at |", "|---|---|---|---|"]
    for name, number in now.instructions.items():
        stood = f"{before.worth(name):.2f}" if before else "-"
        lines.append(f"| {name} | {number:,} | {now.worth(name):.2f} | {stood} |")
    return "\n".join(lines)


def main() -> None:
    """Count, compare, and say it."""
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
    elif verdict(now, before) and (grown := verdict(least(now, count_all()), before)):
        raise SystemExit("\n".join(grown))


if __name__ == "__main__":
    main()
