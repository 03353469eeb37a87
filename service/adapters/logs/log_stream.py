"""Where log lines go: a file, a pipe or a terminal that may be full, closed, or read by nothing.

Rule: writing a line never raises and never waits. A line that cannot be written is lost and counted; the next one that
can be written is followed by the number of those that were lost.
"""

import io
import os
import select
from collections.abc import Callable
from typing import TextIO

MAX_WRITE_BYTES = 4096  # a pipe that is ready takes so many at once (PIPE_BUF of Linux)
CONTINUE_MILLISECONDS = 20  # what a slow reader gets for the next piece of a long line


class LossyLogStream:
    """The `write` and `flush` of a stream, for lines.

    `lost` is called for each line that is lost, `resumed` with their number once a line is written again.
    """

    def __init__(self, stream: TextIO, resumed: Callable[[int], None]) -> None:
        self.lost: Callable[[], None] | None = None
        self._stream = stream
        self._resumed = resumed
        self._count = 0
        self._torn = False
        try:
            self._descriptor: int | None = stream.fileno()
        except (io.UnsupportedOperation, AttributeError):  # it lies in memory
            self._descriptor = None
        else:
            self._poll = select.poll()
            self._poll.register(self._descriptor, select.POLLOUT)

    def write(self, text: str) -> int:
        """Write a line, or lose it."""
        try:
            self._send(text)
        except (OSError, ValueError):  # full, hung up, closed, or read by nothing
            self._count += 1
            if self.lost:
                self.lost()
        else:
            count, self._count = self._count, 0
            if count:
                self._resumed(count)
        return len(text)

    def flush(self) -> None:
        """Nothing waits here."""

    def _send(self, text: str) -> None:
        if self._descriptor is None:
            self._stream.write(text)
            return
        start = "\n" if self._torn else ""
        line, wait_milliseconds = memoryview(f"{start}{text}".encode(errors="backslashreplace")), 0
        while line:
            line = line[self._write_some(self._descriptor, line[:MAX_WRITE_BYTES], wait_milliseconds) :]
            self._torn, wait_milliseconds = bool(line), CONTINUE_MILLISECONDS

    def _write_some(self, descriptor: int, piece: memoryview, milliseconds: int) -> int:
        """How many bytes were taken. Raises `OSError`, `BlockingIOError` where none can be taken at once."""
        if not self._poll.poll(milliseconds):
            raise BlockingIOError
        return os.write(descriptor, piece)
