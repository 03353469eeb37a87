"""Stacks from the profiler, reduced to what a reader needs. Pure.

Rule: a frame is a module and a function. Lines of code are merged, and the path of a package is removed. All frames
from the start of Python to the event loop, or to a pool's thread, are one frame. A pool's thread that waits for work is
left out. The kernel counts almost no CPU for it, but the profiler often finds it awake.

Fails with: `ValueError` for a line of another form.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

FRAME = re.compile(r"(?P<function>.*?) \((?P<file>.*)\)")
INSTALLED = re.compile(r".*/(?:site-packages|python3\.\d+)/")
LOOP, THREAD = "event loop", "thread of a pool"
BASES = {"asyncio/runners": LOOP, "concurrent/futures/thread": THREAD}
OUTSIDE_PARTS = 2  # number of path components that are shown for a file in no package


class Frame(NamedTuple):
    """One function. `module` is a path without its suffix, like `service/domain/routing`. A base has no function."""

    module: str
    function: str

    def __str__(self) -> str:
        return f"{self.module}:{self.function}" if self.function else self.module


Stack = tuple[Frame, ...]
Stacks = Mapping[Stack, int]


def read(lines: Iterable[str]) -> Counter[Stack]:
    """Count samples by stack, outermost frame first, from lines like `main (a/b.py);work (c.py) 17`."""
    counts: Counter[Stack] = Counter()
    for line in lines:
        text, _, count = line.rpartition(" ")
        stack = based(tuple(frame(one) for one in text.split(";") if one))
        if stack != (Frame(THREAD, ""),):
            counts[stack] += int(count)
    return counts


def frame(text: str) -> Frame:
    """Parse one frame from `function (file)`."""
    match = FRAME.fullmatch(text)
    if match is None:
        raise ValueError(f"no frame: {text!r}")
    return Frame(module(match["file"]), match["function"])


def module(file: str) -> str:
    """Return the path of a file within its package."""
    path = INSTALLED.sub("", file)
    if path.startswith("/"):
        path = "/".join(path.split("/")[-OUTSIDE_PARTS:]).lstrip("/")
    return path.removesuffix(".py").removesuffix("/__init__")


def based(stack: Stack) -> Stack:
    """Replace the frames below the application by one base frame."""
    for place in range(len(stack) - 1, -1, -1):
        base = BASES.get(stack[place].module)
        if base is not None:
            return (Frame(base, ""), *stack[place + 1 :])
    return stack
