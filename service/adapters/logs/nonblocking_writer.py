"""Writer of log lines to a file, a pipe or a terminal that may be full, closed or not read.

Rule: `write` neither raises nor waits for long. The writer records `LogLineLost` for each line that it cannot write,
and `LogLinesLost` with their number after the next line that it can write.

Fails with: nothing; a line is lost instead.
"""

import io
import os
import select
from typing import TextIO

from service.usecases.ports.events import LogLineLost, LogLinesLost
from service.usecases.ports.observer import Observer

MAX_WRITE_BYTES = 4096  # a pipe that is ready takes this many bytes at once (PIPE_BUF of Linux)
CONTINUE_MILLISECONDS = 20  # wait for a slow reader before the next part of a long line


class NonblockingWriter:
    """`write` and `flush` of a stream, for lines.

    Attributes:
        observer: Receives the events about lost lines.
    """

    def __init__(self, stream: TextIO, observer: Observer) -> None:
        self.observer = observer
        self._stream = stream
        self._lost_count = 0
        self._is_torn = False  # the last line was cut and needs an end
        try:
            self._descriptor: int | None = stream.fileno()
        except (io.UnsupportedOperation, AttributeError):  # a stream in memory
            self._descriptor = None
        else:
            self._poll = select.poll()
            self._poll.register(self._descriptor, select.POLLOUT)

    def write(self, text: str) -> int:
        """Write a line, or lose it."""
        try:
            self._send(text)
        except (OSError, ValueError):  # full, disconnected, closed or not read
            self._lost_count += 1
            self.observer.record(LogLineLost())
        else:
            count, self._lost_count = self._lost_count, 0
            if count:
                self.observer.record(LogLinesLost(count=count))
        return len(text)

    def flush(self) -> None:
        """Do nothing: no line waits in the writer."""

    def _send(self, text: str) -> None:
        if self._descriptor is None:
            self._stream.write(text)
            return
        start = "\n" if self._is_torn else ""
        line, wait_milliseconds = memoryview(f"{start}{text}".encode(errors="backslashreplace")), 0
        while line:
            line = line[self._write_part(self._descriptor, line[:MAX_WRITE_BYTES], wait_milliseconds) :]
            self._is_torn, wait_milliseconds = bool(line), CONTINUE_MILLISECONDS

    def _write_part(self, descriptor: int, part: memoryview, milliseconds: int) -> int:
        """Return the number of written bytes. Raises `OSError`; `BlockingIOError` if none can be written in time."""
        if not self._poll.poll(milliseconds):
            raise BlockingIOError
        return os.write(descriptor, part)
