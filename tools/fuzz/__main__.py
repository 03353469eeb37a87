"""Fuzz the parsers under atheris: `python -m tools.fuzz --python .venv-fuzz/bin/python [--seconds 60] [TARGET ...]`.

Every target begins with its stored corpus. An input that fails is written to the corpus, so that the suite fails with
it until the fault is mended. `--keep` also stores the smallest inputs that together reach every branch that was
reached.
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

MOST_BYTES = 4096
MOST_KEPT = 60
MOST_MEGABYTES = 1024
MEMORY = Path("/dev/shm")  # noqa: S108 (uploads are files without a name)
COVERED = re.compile(r"cov: (\d+)")

Line = tuple[str, int, int]
"""A file, and two of its lines that ran one after the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Result of a target. `paths` is the number of branches that were reached, `found` the inputs that failed."""

    name: str
    executions: int
    seconds: float
    paths: int
    kept: int
    found: tuple[Path, ...]


def fuzz(python: str, name: str, seconds: int, *, keep: bool) -> Run:
    """Run one target for `seconds`."""
    kept = CORPUS / name
    with tempfile.TemporaryDirectory() as scratch:
        reached, failed = Path(scratch, "reached"), Path(scratch, "failed")
        reached.mkdir()
        failed.mkdir()
        options = [f"-max_total_time={seconds}", f"-artifact_prefix={failed}/"]
        bounds = [f"-max_len={MOST_BYTES}", f"-rss_limit_mb={MOST_MEGABYTES}", "-print_final_stats=1"]
        began = time.monotonic()
        said = _driven(python, name, [*options, *bounds, str(reached), str(kept)])
        took = time.monotonic() - began
        found = tuple(_moved(each, kept, "found") for each in failed.iterdir())
        if keep and not found:
            _thin(name, reached)
    executions = re.search(r"stat::number_of_executed_units:\s+(\d+)", said)
    if executions is None:
        raise SystemExit(f"{name} did not run:\n{said[-2000:]}")
    paths = [int(each) for each in COVERED.findall(said)]
    return Run(
        name=name,
        executions=int(executions[1]),
        seconds=took,
        paths=max(paths, default=0),
        kept=len(list(kept.iterdir())),
        found=found,
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
    kept = CORPUS / name
    for old in kept.glob("reached-*"):
        _moved(old, reached, "reached")
        old.unlink()
    seen = set[Line]().union(*(lines(TARGETS[name], file.read_bytes()) for file in kept.iterdir()))
    for each in sorted(reached.iterdir(), key=lambda file: file.stat().st_size):
        new = lines(TARGETS[name], each.read_bytes()) - seen
        if new and each.stat().st_size < MOST_BYTES and len(list(kept.iterdir())) < MOST_KEPT:
            _moved(each, kept, "reached")
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
    given = asked.parse_args()
    print("| target | executions | seconds | branches reached | inputs kept | found |\n|---|---|---|---|---|---|")
    found: list[Path] = []
    for name in given.targets:
        run = fuzz(given.python, name, given.seconds, keep=given.keep)
        found += run.found
        row = f"| {name} | {run.executions} | {run.seconds:.0f} | {run.paths} | {run.kept} | {len(run.found)} |"
        print(row, flush=True)
    for file in found:
        print(f"found: {file}")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
