"""A gateway as users run it: a separate process, started by the command line."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.forks import ForkedProcess, can_fork, forks

FOREIGN = (
    "OPENAI_",
    "TOGETHER_",
    "REDIS_",
    "CACHE_REDIS_",
    "DATABASE_",
    "STORAGE_URL",
    "AWS_",
    "URL_SIGNING_KEY",
    "ADMIN_",
    "DATA_DIR",
    "IMAGE_GATEWAY_",
    "METRICS_",
    "OTEL_",
    "HTTP",
    "http",
)
TIMEOUT_SECONDS = 30
ANSWER_SECONDS = 2  # timeout of the stores of a gateway under test
SLOW_STORES = f"redis: {{timeout_seconds: {ANSWER_SECONDS}}}\n"
"""Lines for a gateway.yaml that a test writes: the change that `with_slow_stores` makes to the shipped one."""


def clean_environment(**more: str) -> dict[str, str]:
    """Return this environment without the gateway's variables, plus `more`."""
    return {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)} | more


def becomes_true(holds: Callable[[], bool], seconds: float = TIMEOUT_SECONDS) -> bool:
    """Wait until a condition is true. Returns False after `seconds`. The pause leaves the CPU to other processes."""
    end, pause = time.monotonic() + seconds, threading.Event()
    while not holds():
        if time.monotonic() > end:
            return False
        pause.wait(0.02)
    return True


LENIENT_HEALTH = {
    "wait_seconds: 10 #": "wait_seconds: 0 #",
    "consecutive_failures: 5 #": "consecutive_failures: 1000 #",
    "min_calls: 10\n": "min_calls: 1000\n",
    "  open_seconds: 5 #": "  open_seconds: 0.001 #",
    "max_open_seconds: 60 #": "max_open_seconds: 0.001 #",
    "max_blocked_seconds: 3600 #": "max_blocked_seconds: 0.001 #",
    "failure_seconds: 30 #": "failure_seconds: 0 #",
}


def with_slow_stores(settings: str) -> str:
    """Adapt gateway.yaml to tests on a busy machine: a store that is not scheduled for 0.1 s has no timeout.

    All replicas are on one machine, so a SQLite file may be their ledger.
    """
    settings = settings.replace("one_machine: false #", "one_machine: true #")
    return settings.replace("timeout_seconds: 0.08 #", f"timeout_seconds: {ANSWER_SECONDS} #")


def with_lenient_health(settings: str) -> str:
    """Adapt gateway.yaml to tests with many failures of a vendor: no failure influences the next call."""
    settings = with_slow_stores(settings)
    for was, becomes in LENIENT_HEALTH.items():
        assert was in settings, was
        settings = settings.replace(was, becomes)
    return settings


def run_command(
    *arguments: str, environment: Mapping[str, str], folder: Path | None = None, fork: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end, in exactly this environment, and return both outputs."""
    if fork and can_fork(environment):
        return forks().run(arguments, environment, TIMEOUT_SECONDS, folder)
    return subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )


def start_command(
    arguments: Sequence[str], environment: Mapping[str, str], *, fork: bool
) -> subprocess.Popen[str] | ForkedProcess:
    """Start the command line: as a fork of a process that has imported it, or executed as users do."""
    if fork and can_fork(environment):
        return forks().start(arguments, environment)
    return subprocess.Popen(
        [sys.executable, "-m", "service", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


class GatewayProcess:
    """`image-gateway serve` between `__enter__` and `__exit__`, on a free port.

    `lines` has its output, and `logged()` the decoded log lines. With `fork=False` the command line is executed. Tests
    of the start, and figures of a process, need that.
    """

    def __init__(
        self,
        data: Path,
        environment: Mapping[str, str] | None = None,
        options: Sequence[str] = ("--dev",),
        *,
        fork: bool = True,
    ) -> None:
        arguments = ["serve", "--port", "0", "--data-dir", str(data), *options]
        self.data = data
        self.lines: list[str] = []
        self._decoded: list[dict[str, Any]] = []
        self._decoded_lines = 0
        self._ended = False
        self._line_read = threading.Condition(threading.RLock())
        self._child = start_command(arguments, clean_environment(**(environment or {})), fork=fork)
        self._reader = threading.Thread(target=self._read, daemon=True)

    @property
    def pid(self) -> int:
        """Id of the process that serves."""
        return self._child.pid

    @property
    def url(self) -> str:
        """Address of the gateway."""
        return str(next(line["address"] for line in self.logged() if line["event"] == "listening"))

    @property
    def key(self) -> str:
        """The dev key."""
        return (self.data / "dev-key").read_text().strip()

    @property
    def headers(self) -> dict[str, str]:
        """Headers of an authenticated client."""
        return {"authorization": f"Bearer {self.key}"}

    def logged(self) -> list[dict[str, Any]]:
        """Return the log, line by line."""
        with self._line_read:
            self._decode()
            return [*self._decoded]

    def await_printed(self, text: str) -> None:
        """Wait for a line that contains a text."""
        with self._line_read:
            self._line_read.wait_for(lambda: self._ended or any(text in line for line in self.lines), TIMEOUT_SECONDS)

    def await_logged(self, event: str, **facts: object) -> dict[str, Any]:
        """Wait for a log line of that event with these fields."""
        fields = {"event": event, **facts}
        with self._line_read:
            self._line_read.wait_for(lambda: self._ended or self._find(fields), TIMEOUT_SECONDS)
            line = self._find(fields)
        if line is None:
            raise TimeoutError(f"no line {fields} in:\n" + "".join(self.lines))
        return line

    def _decode(self) -> None:
        """Decode the new lines only: a gateway that serves many tests writes thousands of lines."""
        for line in self.lines[self._decoded_lines :]:
            self._decoded_lines += 1
            if line.startswith("{"):
                self._decoded.append(json.loads(line))

    def _find(self, fields: Mapping[str, object]) -> dict[str, Any] | None:
        self._decode()
        return next((line for line in self._decoded if fields.items() <= line.items()), None)

    def _read(self) -> None:
        assert self._child.stdout is not None
        with self._child.stdout as output:
            for line in output:
                with self._line_read:
                    self.lines.append(line)
                    self._line_read.notify_all()
        with self._line_read:
            self._ended = True
            self._line_read.notify_all()

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Send a signal."""
        self._child.send_signal(number)

    def wait(self) -> int:
        """Return the exit code after the end."""
        code = self._child.wait(TIMEOUT_SECONDS)
        self._reader.join(TIMEOUT_SECONDS)
        return code

    def __enter__(self) -> Self:
        self._reader.start()
        try:
            self.await_logged("listening")
        except TimeoutError:  # the context manager's exit does not run after a failed enter
            self._child.kill()
            self.wait()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child.poll() is None:
            self.signal()
        self.wait()
