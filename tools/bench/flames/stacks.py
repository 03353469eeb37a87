"""Stacks as the profiler wrote them, cut down to what a reader wants. Pure.

Rule: a frame is a module and a function; lines of code are merged, and where a package lies is nobody's business. What
everything stands upon, from the start of Python to the event loop or to a pool's thread, is one frame. A thread of a
pool that waits for work is left out: the kernel counts next to nothing for it, and the profiler often finds it awake. A
line that is none is a `ValueError`.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

FRAME = re.compile(r"(?P<function>.*?) \((?P<file>.*)\)")
INSTALLED = re.compile(r".*/(?:site-packages|python3\.\d+)/")
LOOP, THREAD = "event loop", "thread of a pool"
BASES = {"asyncio/runners": LOOP, "concurrent/futures/thread": THREAD}
OUTSIDE_PARTS = 2  # of a path that is in no package, so many are told


class Frame(NamedTuple):
    """One function; `module` is a path without its suffix, like `service/domain/routing`. A base has no function."""

    module: str
    function: str

    def __str__(self) -> str:
        return f"{self.module}:{self.function}" if self.function else self.module


Stack = tuple[Frame, ...]
Stacks = Mapping[Stack, int]


def read(lines: Iterable[str]) -> Counter[Stack]:
    """Samples by stack, outermost frame first, from lines like `main (a/b.py);work (c.py) 17`."""
    found: Counter[Stack] = Counter()
    for line in lines:
        text, _, count = line.rpartition(" ")
        stack = based(tuple(frame(one) for one in text.split(";") if one))
        if stack != (Frame(THREAD, ""),):
            found[stack] += int(count)
    return found


def frame(text: str) -> Frame:
    """One, from `function (file)`."""
    told = FRAME.fullmatch(text)
    if told is None:
        raise ValueError(f"no frame: {text!r}")
    return Frame(module(told["file"]), told["function"])


def module(file: str) -> str:
    """A file's name within its package."""
    path = INSTALLED.sub("", file)
    if path.startswith("/"):
        path = "/".join(path.split("/")[-OUTSIDE_PARTS:]).lstrip("/")
    return path.removesuffix(".py").removesuffix("/__init__")


def based(stack: Stack) -> Stack:
    """With one frame for what it stands upon."""
    for place in range(len(stack) - 1, -1, -1):
        base = BASES.get(stack[place].module)
        if base is not None:
            return (Frame(base, ""), *stack[place + 1 :])
    return stack
