"""Processes of the gateway, forked from a process that has imported it. A fork costs a tenth of the CPU of a start.

Rule: each has its own environment, files and streams, and no state of an earlier one. A fork cannot get settings that
the interpreter and the loader read before the first import. `can_fork` is false for an environment with such settings.
`TEST_GATEWAYS=executed` executes every gateway, as users do.

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
"""Prefixes of variables that the interpreter or the loader reads before a fork has its environment."""


class ServerEnded(OSError):
    """The fork server has ended. Its output has the reason."""


class ForkedProcess:
    """Child of the fork server, with the part of `subprocess.Popen` that tests use. The end of its block ends it."""

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
        """Return the exit code, or None before the end."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit code. Raises `subprocess.TimeoutExpired`."""
        with self._lock:
            if self.returncode is None:
                self.returncode = self._receive_number(timeout)
                self._talk.close()
            return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        with self._lock, suppress(ProcessLookupError):  # reaped, and the server is about to report it
            if self.poll() is None:
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the process."""
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
        """Receive the next number from the server."""
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
    """A fork server, and the connection to it. It ends with this process, or with `close`."""

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
        """Fork the command line with its output to this descriptor. Its errors are dropped."""
        with NOTHING.open("wb") as nothing:
            return ForkedProcess(self._order(arguments, environment, ENTRY, (output, nothing.fileno())), None)

    def start(self, arguments: Sequence[str], environment: Mapping[str, str], module: str = ENTRY) -> ForkedProcess:
        """Fork a process that runs the module's `main`. `stdout` has both of its outputs."""
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
        """Run the command line to its end, as `subprocess.run` does with text and an empty input."""
        with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
            talk = self._order(arguments, environment, ENTRY, (output.fileno(), errors.fileno()), folder)
            with ForkedProcess(talk, None) as child:
                code = child.wait(timeout)
            output.seek(0)
            errors.seek(0)
            return subprocess.CompletedProcess([*arguments], code, output.read(), errors.read())

    def close(self) -> None:
        """End the server and its children, and wait for their last writes."""
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
        """Order a process. Returns the socket of its conversation."""
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
    """Return the fork server of this process. The first call starts it."""
    server = Forks()
    atexit.register(server.close)
    return server


def can_fork(environment: Mapping[str, str]) -> bool:
    """Return whether a fork behaves as a command that is executed with this environment."""
    if os.environ.get("TEST_GATEWAYS") == "executed":
        return False
    return _read_early(environment) == _read_early(os.environ)


def _read_early(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(READ_EARLY)}
