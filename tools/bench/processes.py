"""What a group of processes costs: CPU as the kernel counted it, and the most memory there was.

Rule: a process counts with its children, those that have ended included. Memory is the sum of what each had at its peak
since it was forgotten; pages that processes share count for each. A process that is gone is an error.
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


def cpu_of(pids: Sequence[int]) -> float:
    """User and system seconds so far."""
    return float(sum(sum(one.cpu_times()[:4]) for one in _everyone(pids)))


def forget_peak(pids: Sequence[int]) -> None:
    """From now on the peak is what there is now, or more."""
    for one in _everyone(pids):
        Path(f"/proc/{one.pid}/clear_refs").write_text(FORGET_PEAK)


def peak_of(pids: Sequence[int]) -> int:
    """Bytes."""
    return sum(peak_bytes(one.pid) for one in _everyone(pids))
