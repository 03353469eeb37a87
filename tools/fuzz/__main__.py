"""Fuzz the parsers under atheris: `python -m tools.fuzz --python .venv-fuzz/bin/python [--seconds 60] [TARGET ...]`.

Every target begins with its stored corpus. An input that fails is written to the corpus, so that the suite fails until
the fault is mended. `--keep` also stores the smallest inputs that together reach every branch that was reached.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, cast

from tools.fuzz.targets import CORPUS, TARGETS, Target

if TYPE_CHECKING:
    from _typeshed import TraceFunction

MAX_BYTES = 4096
MAX_STORED = 60
MAX_MEGABYTES = 1024
MEMORY = Path("/dev/shm")  # noqa: S108 (uploads are files without a name)
COVERED = re.compile(r"cov: (\d+)")

Line = tuple[str, int, int]
"""A file, and two of its lines that ran one after the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Result of a target. `paths` is the number of branches that were reached, `failed` the inputs that failed."""

    name: str
    executions: int
    seconds: float
    paths: int
    stored: int
    failed: tuple[Path, ...]


def fuzz(python: str, name: str, seconds: int, *, keep: bool) -> Run:
    """Run one target for `seconds`."""
    stored = CORPUS / name
    with tempfile.TemporaryDirectory() as scratch:
        reached, failed = Path(scratch, "reached"), Path(scratch, "failed")
        reached.mkdir()
        failed.mkdir()
        options = [f"-max_total_time={seconds}", f"-artifact_prefix={failed}/"]
        bounds = [f"-max_len={MAX_BYTES}", f"-rss_limit_mb={MAX_MEGABYTES}", "-print_final_stats=1"]
        began = time.monotonic()
        output = _driven(python, name, [*options, *bounds, str(reached), str(stored)])
        took = time.monotonic() - began
        failing = tuple(_moved(file, stored, "found") for file in failed.iterdir())
        if keep and not failing:
            _thin(name, reached)
    executions = re.search(r"stat::number_of_executed_units:\s+(\d+)", output)
    if executions is None:
        raise SystemExit(f"{name} did not run:\n{output[-2000:]}")
    paths = [int(number) for number in COVERED.findall(output)]
    return Run(
        name=name,
        executions=int(executions[1]),
        seconds=took,
        paths=max(paths, default=0),
        stored=len(list(stored.iterdir())),
        failed=failing,
    )


def _driven(python: str, name: str, options: list[str]) -> str:
    quick = {"TMPDIR": str(MEMORY)} if MEMORY.is_dir() else {}
    done = subprocess.run(
        env=os.environ | quick,
        args=[python, "-m", "tools.fuzz.drive", name, *options],
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
    )
    return f"{done.stdout}{done.stderr}\nexit code {done.returncode}"


def _thin(name: str, reached: Path) -> None:
    """Store the smallest inputs that each reach a new line of the gateway, and all inputs with a name."""
    stored = CORPUS / name
    for old in stored.glob("reached-*"):
        _moved(old, reached, "reached")
        old.unlink()
    seen = set[Line]().union(*(lines(TARGETS[name], file.read_bytes()) for file in stored.iterdir()))
    for file in sorted(reached.iterdir(), key=lambda path: path.stat().st_size):
        new = lines(TARGETS[name], file.read_bytes()) - seen
        if new and file.stat().st_size < MAX_BYTES and len(list(stored.iterdir())) < MAX_STORED:
            _moved(file, stored, "reached")
            seen |= new


def lines(target: Target, data: bytes) -> set[Line]:
    """Return the steps from line to line that an input takes in the gateway's code."""
    seen = set[Line]()
    last = dict[FrameType, int]()

    def step(frame: FrameType, event: str, _: object) -> Callable[..., object] | None:
        if "/service/" not in frame.f_code.co_filename:
            return None
        if event == "line":
            seen.add((frame.f_code.co_filename, last.get(frame, 0), frame.f_lineno))
            last[frame] = frame.f_lineno
        return step

    sys.settrace(cast("TraceFunction", step))
    try:
        target(data)
    finally:
        sys.settrace(None)
    return seen


def _moved(file: Path, folder: Path, word: str) -> Path:
    """Rename an input to the digest of its content. An input that is already there is dropped."""
    data = file.read_bytes()
    there = next((old for old in folder.iterdir() if old.read_bytes() == data), None)
    if there:
        return there
    return Path(shutil.copy(file, folder / f"{word}-{hashlib.sha256(data).hexdigest()[:12]}"))


def main() -> None:
    """Run the targets; the exit code says whether an input failed."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--python", required=True)
    asked.add_argument("--seconds", type=int, default=60)
    asked.add_argument("--keep", action="store_true")
    asked.add_argument("targets", nargs="*", default=list(TARGETS))
    options = asked.parse_args()
    print("| target | executions | seconds | branches reached | inputs kept | found |\n|---|---|---|---|---|---|")
    failing: list[Path] = []
    for name in options.targets:
        run = fuzz(options.python, name, options.seconds, keep=options.keep)
        failing += run.failed
        row = f"| {name} | {run.executions} | {run.seconds:.0f} | {run.paths} | {run.stored} | {len(run.failed)} |"
        print(row, flush=True)
    for file in failing:
        print(f"found: {file}")
    sys.exit(bool(failing))


if __name__ == "__main__":
    main()
