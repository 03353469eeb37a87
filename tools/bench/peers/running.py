"""A command that serves, as a separate process until its block ends.

Rule: it has a free port, a log in its folder, and no environment variables of the gateway. It and its children are
ended by their ids, and killed if they do not end.

Fails with: `NotRunning`, with the end of the log, if it ends early or does not listen in time.
"""

import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.support.gateway import clean_environment

STARTS_SECONDS = 180.0  # LiteLLM imports for a minute on a busy machine
ENDS_SECONDS = 15.0
PAUSE_SECONDS = 0.05
TAIL = 2000


class NotRunning(Exception):
    """A peer that does not run."""


def free_port() -> int:
    """Return a port without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        return int(door.getsockname()[1])


@contextmanager
def running(
    command: Sequence[str],
    port: int,
    log: Path,
    environment: Mapping[str, str] | None = None,
    place: Path | None = None,
) -> Iterator[int]:
    """Start a command in a folder (default: this one), wait until it listens, yield its id, and end it."""
    with log.open("wb") as output:
        child = subprocess.Popen(
            command,
            env=clean_environment(COVERAGE_PROCESS_CONFIG="", **(environment or {})),
            cwd=place,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            _await(child, port, log)
            yield child.pid
        finally:
            _end(child)


def _await(child: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + STARTS_SECONDS
    while time.monotonic() < end and child.poll() is None:
        with socket.socket() as door:
            if door.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(PAUSE_SECONDS)
    raise NotRunning(f"{child.args!r} did not start:\n{log.read_text(errors='replace')[-TAIL:]}")


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is not None:
        return
    everyone = [psutil.Process(child.pid), *psutil.Process(child.pid).children(recursive=True)]
    child.terminate()
    _, left = psutil.wait_procs(everyone, ENDS_SECONDS)
    for one in left:
        one.kill()
    child.wait()
