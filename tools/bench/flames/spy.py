"""py-spy beside a process: samples its stacks from outside until a block ends.

Rule: only running and runnable threads are sampled, with or without the interpreter's lock. py-spy is ended by its id,
also where the block fails. A killed py-spy lets go of the process.

Fails with: `NotRunning`, with advice, if py-spy is absent, lacks the right to trace, or ends early.
"""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.bench.peers.running import NotRunning

STARTS_SECONDS, ENDS_SECONDS, PAUSE_SECONDS = 30.0, 30.0, 0.05
LOOKS = "Sampling process"
REFUSED = "permission denied"  # messages of the system and of py-spy
BACKTRACE = "Stack backtrace:"
TAIL = 1000
HINT = (
    "py-spy may not read the gateway's memory, which takes the right to trace a process of the same user: run this as "
    "root, or with `sysctl kernel.yama.ptrace_scope=0`, or in a container with `--cap-add SYS_PTRACE`"
)


@contextmanager
def watched(spy: Path, pid: int, file: Path, rate: int) -> Iterator[None]:
    """Sample a process `rate` times per second within the block. Then the stacks are in the file."""
    log = file.with_suffix(".log")
    options = ("--nolineno", "--rate", str(rate), "--format", "raw", "--output", str(file), "--pid", str(pid))
    with log.open("wb") as output:
        child = subprocess.Popen(
            (str(spy), "record", *options), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            _await(child, log)
            yield
        finally:
            _end(child)
    if child.returncode or not file.exists():
        raise NotRunning(reason(log.read_text(errors="replace")))


def version(spy: Path) -> str:
    """Return the version of py-spy."""
    if not spy.exists():
        raise NotRunning(f"there is no {spy}: `make flames` installs it, from requirements/flames.txt")
    run = subprocess.run((str(spy), "--version"), capture_output=True, text=True, check=True, timeout=STARTS_SECONDS)
    return run.stdout.split()[-1]


def reason(log: str) -> str:
    """Return the reason of a failure."""
    text = log.partition(BACKTRACE)[0].strip()[-TAIL:]
    return f"{HINT}.\npy-spy said: {text}" if REFUSED in log.lower() else f"py-spy failed:\n{text}"


def _await(child: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + STARTS_SECONDS
    while time.monotonic() < end and child.poll() is None:
        if LOOKS in log.read_text(errors="replace"):
            return
        time.sleep(PAUSE_SECONDS)
    raise NotRunning(reason(log.read_text(errors="replace")))


def _end(child: subprocess.Popen[bytes]) -> None:
    """Interrupt py-spy as Ctrl-C does, so that it writes its samples."""
    if child.poll() is None:
        child.send_signal(signal.SIGINT)
    try:
        child.wait(ENDS_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
