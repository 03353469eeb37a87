"""Processes of the gateway, forked from one that has imported it: a start costs a tenth of the CPU.

Rule: each is a process of its own, with its own environment, files and streams, and starts with nothing of an earlier
one. What the interpreter and the loader read before the first import cannot be given to a fork: `can_fork` is false for
an environment that changes it. `TEST_GATEWAYS=executed` executes every one, as users do it.
Fails with: `ServerEnded`.
"""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import IO, Self

ROOT, NOTHING = Path(__file__).parents[2], Path(os.devnull)
ENTRY = "service.__main__"
READ_EARLY = ("PYTHON", "LD_", "DYLD_", "MALLOC_", "GLIBC_", "COVERAGE_", "LC_", "LANG")
"""The interpreter or the loader reads variables with these prefixes before a fork could be given them."""


class ServerEnded(OSError):
    """The fork server has ended; what it printed says why."""


class ForkedProcess:
    """A child of the fork server, with the part of `subprocess.Popen` that tests use. Leaving its block ends it."""

    def __init__(self, talk: socket.socket, output: IO[str] | None) -> None:
        self.stdout = output
        self.returncode: int | None = None
        self._talk = talk
        self._lock = threading.RLock()
        self._unread = b""
        try:
            self.pid = self._receive_number(None)
        except OSError:
            self._close()
            raise

    def poll(self) -> int | None:
        """The exit code, if it has ended."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once it has ended. Raises `subprocess.TimeoutExpired`."""
        with self._lock:
            if self.returncode is None:
                self.returncode = self._receive_number(timeout)
                self._talk.close()
            return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        with self._lock, suppress(ProcessLookupError):  # reaped, and the server is about to say so
            if self.poll() is None:
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.kill()
            self.wait()
        finally:
            self._close()

    def _close(self) -> None:
        self._talk.close()
        if self.stdout:
            self.stdout.close()

    def _receive_number(self, timeout: float | None) -> int:
        """The next number that the server says."""
        self._talk.settimeout(timeout)
        while b"\n" not in self._unread:
            try:
                received = self._talk.recv(64)
            except ConnectionError:
                raise ServerEnded from None
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired("a forked process", timeout or 0) from None
            if not received:
                raise ServerEnded
            self._unread += received
        number, _, self._unread = self._unread.partition(b"\n")
        return int(number)


class Forks:
    """A fork server, and the way to it. It ends with this process, or with `close`."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        self._lock = threading.Lock()
        with theirs:
            self.server = subprocess.Popen(
                [sys.executable, "-m", "tests.support.fork_server"],
                cwd=ROOT,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
            )

    def start_into(self, output: int, arguments: Sequence[str], environment: Mapping[str, str]) -> ForkedProcess:
        """Fork a process that runs the command line and writes to this descriptor, its errors to nowhere."""
        with NOTHING.open("wb") as nothing:
            return ForkedProcess(self._order(arguments, environment, ENTRY, (output, nothing.fileno())), None)

    def start(self, arguments: Sequence[str], environment: Mapping[str, str], module: str = ENTRY) -> ForkedProcess:
        """Fork a process that runs the module's `main`. Both of its outputs are in `stdout`."""
        read, write = os.pipe()
        output = os.fdopen(read, encoding="utf-8")
        try:
            talk = self._order(arguments, environment, module, (write, write))
        except OSError:
            output.close()
            raise
        finally:
            os.close(write)
        return ForkedProcess(talk, output)

    def run(
        self, arguments: Sequence[str], environment: Mapping[str, str], timeout: float, folder: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the command line to its end, as `subprocess.run` does with text, and nothing to read."""
        with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
            talk = self._order(arguments, environment, ENTRY, (output.fileno(), errors.fileno()), folder)
            with ForkedProcess(talk, None) as child:
                code = child.wait(timeout)
            output.seek(0)
            errors.seek(0)
            return subprocess.CompletedProcess([*arguments], code, output.read(), errors.read())

    def close(self) -> None:
        """End the server and its children, and wait until they have written what they had to."""
        self._control.close()
        self.server.wait()

    def _order(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        module: str,
        outputs: tuple[int, int],
        folder: Path | None = None,
    ) -> socket.socket:
        """Have a process forked. The answer is the conversation about it."""
        order = {
            "module": module,
            "arguments": [*arguments],
            "environment": {**environment},
            "folder": str(folder or Path.cwd()),
        }
        ours, theirs = socket.socketpair()
        try:
            with theirs, self._lock, NOTHING.open("rb") as nothing:
                socket.send_fds(self._control, [b"!"], [theirs.fileno(), nothing.fileno(), *outputs])
            ours.sendall(json.dumps(order).encode() + b"\n")
        except OSError as ended:
            ours.close()
            raise ServerEnded from ended
        return ours


@cache
def forks() -> Forks:
    """The fork server of this process, started when a test first needs it."""
    server = Forks()
    atexit.register(server.close)
    return server


def can_fork(environment: Mapping[str, str]) -> bool:
    """Whether a fork behaves as a command that is executed with this environment."""
    if os.environ.get("TEST_GATEWAYS") == "executed":
        return False
    return _read_early(environment) == _read_early(os.environ)


def _read_early(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(READ_EARLY)}
