"""CPU of a process as the kernel counts it, and its peak memory.

Rule: figures are of one process without its children. A series is reported as its median with the extremes.
"""

import os
import re
import signal
import statistics
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

import psutil

from tests.support.gateway import TIMEOUT_SECONDS, clean_environment

MEGABYTE = 1_000_000
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


@dataclass(frozen=True, slots=True)
class Spread:
    """A series of figures."""

    values: Sequence[float]

    @property
    def median(self) -> float:
        """Median of the series."""
        return statistics.median(self.values)

    def __str__(self) -> str:
        return f"{figure(self.median)} ({figure(min(self.values))} to {figure(max(self.values))})"


def figure(value: float) -> str:
    """Format a figure with two or three significant digits."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.{2 + (0 < value < 0.1)}f}"


def cpu_seconds(pid: int) -> float:
    """Return user and system time so far, of all threads."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def peak_bytes(pid: int) -> int:
    """Return the peak of resident memory in bytes."""
    return _status(pid, "VmHWM")


def resident_bytes(pid: int) -> int:
    """Return the resident memory in bytes."""
    return _status(pid, "VmRSS")


def _status(pid: int, name: str) -> int:
    match = re.search(rf"^{name}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert match, f"/proc does not say {name}"
    return int(match[1]) * 1024


def stop(_number: int, _frame: FrameType | None) -> None:
    """Handle a signal: leave every block on the way out."""
    raise SystemExit("told to stop")


class Child:
    """A module that serves as a separate process and prints its address. The end of the block ends it."""

    def __init__(self, module: str, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self._command = [sys.executable, "-m", module, *arguments]
        self._environment = clean_environment(**(environment or {}))
        self.url = ""
        self.pid = 0

    def __enter__(self) -> Self:
        read, write = os.pipe()
        self._process = subprocess.Popen(
            self._command, env=self._environment, stdin=subprocess.DEVNULL, stdout=write, stderr=write
        )
        os.close(write)
        self._output = os.fdopen(read, "r")
        self.pid = self._process.pid
        self.url = next(match[0] for line in self._output if (match := ADDRESS.search(line)))
        self._drain = threading.Thread(target=deque, args=(self._output, 0), daemon=True)
        self._drain.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(TIMEOUT_SECONDS)
        self._drain.join(TIMEOUT_SECONDS)
        self._output.close()
