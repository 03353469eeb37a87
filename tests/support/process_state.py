"""Process that prints its inherited state, so that tests compare a fork with an executed command."""

import ctypes
import gc
import json
import locale
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

DESCRIPTORS, TASKS = Path("/proc/self/fd"), Path("/proc/self/task")


def process_state() -> dict[str, Any]:
    """Return all state that a process inherits."""
    return {
        "arguments": sys.argv[1:],
        "module": sys.argv[0],
        "environment": dict(os.environ),
        "C has": ctypes.CDLL(None).getenv(b"GIVEN") != 0,
        "folder": str(Path.cwd()),
        "path": sys.path,
        "flags": str(sys.flags),
        "descriptors": sorted(path.name for path in [*DESCRIPTORS.iterdir()] if path.exists()),
        "input": sys.stdin.read(),
        "encodings": [stream.encoding for stream in (sys.stdin, sys.stdout, sys.stderr)],
        "buffers lines": [stream.line_buffering for stream in (sys.stdout, sys.stderr)],
        "locale": locale.setlocale(locale.LC_ALL),
        "zone": time.tzname,
        "signals": {name.name: handler_name(name) for name in signal.valid_signals() if hasattr(name, "name")},
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "wakes": signal.set_wakeup_fd(-1),
        "threads": [threading.active_count(), len([*TASKS.iterdir()])],
        "collector": [gc.isenabled(), gc.get_threshold()],
        "umask": os.umask(0o022),
        "session": [os.getsid(0), os.getpgrp()],
    }


def handler_name(number: int) -> str:
    """Return the name of a signal's handler, without the address of its object."""
    handler = signal.getsignal(number)
    return getattr(handler, "__qualname__", str(handler))


def main() -> None:
    """Print the state, and a random number in a separate line."""
    print(json.dumps(process_state()))
    print(random.random())  # noqa: S311 (two forks may not have the same state)
    if sys.argv[1:] == ["fail"]:
        raise ValueError("as ordered")
    if sys.argv[1:] == ["wait"]:
        sys.stdout.flush()
        signal.pause()


if __name__ == "__main__":
    main()
