"""CPU of a group of processes as the kernel counts it, and their peak memory.

Rule: a process counts with its children, also those that have ended. Memory is the sum of the peaks since
`forget_peak`. Shared pages count for each process.

Fails with: psutil's error for a process that has ended.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from tools.bench.measure import peak_bytes

FORGET_PEAK = "5"  # proc(5), clear_refs


def _everyone(pids: Sequence[int]) -> Iterator[psutil.Process]:
    for pid in pids:
        main = psutil.Process(pid)
        yield main
        yield from main.children(recursive=True)


def sum_cpu_seconds(pids: Sequence[int]) -> float:
    """Return user and system seconds so far."""
    return float(sum(sum(one.cpu_times()[:4]) for one in _everyone(pids)))


def forget_peak(pids: Sequence[int]) -> None:
    """Reset the peak to the present memory."""
    for one in _everyone(pids):
        Path(f"/proc/{one.pid}/clear_refs").write_text(FORGET_PEAK)


def sum_peaks(pids: Sequence[int]) -> int:
    """Return the peak in bytes."""
    return sum(peak_bytes(one.pid) for one in _everyone(pids))
