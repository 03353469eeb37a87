"""Log lines go to outputs that may be full, closed, or read by nothing: writing one never raises and never waits."""

import fcntl
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from service.adapters.logs.nonblocking_writer import MAX_WRITE_BYTES, NonblockingWriter
from service.usecases.ports.events import LogLineLost, LogLinesLost
from tests.fakes.observer import Recorder


class LogOutput:
    """A writer to a descriptor, and its events."""

    def __init__(self, descriptor: int) -> None:
        self.recorder = Recorder()
        self.stream = open(descriptor, "w", closefd=False)  # noqa: SIM115 (closed with the descriptor)
        self.writer = NonblockingWriter(self.stream, self.recorder)

    @property
    def losses(self) -> int:
        return len(self.recorder.of(LogLineLost))

    @property
    def resumed(self) -> list[int]:
        return [event.count for event in self.recorder.of(LogLinesLost)]


@contextmanager
def small_pipe() -> Iterator[tuple[int, int]]:
    """Yield both ends of a pipe that holds one page."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, MAX_WRITE_BYTES)
    try:
        yield reader, writer
    finally:
        os.close(reader)
        os.close(writer)


def test_a_full_disk_loses_lines_only() -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    output = LogOutput(descriptor)
    assert output.writer.write("one\n") == len("one\n")
    output.writer.write("two\n")
    output.writer.flush()
    os.close(descriptor)
    output.writer.write("closed\n")
    assert (output.losses, output.resumed) == (3, [])


def test_a_pipe_that_nothing_reads_loses_lines_until_it_is_read() -> None:
    with small_pipe() as (reader, writer):
        output = LogOutput(writer)
        for number in range(6):
            output.writer.write(f"{number}" * (MAX_WRITE_BYTES // 2 - 1) + "\n")
        lost = output.losses
        assert lost >= 4
        os.read(reader, MAX_WRITE_BYTES)
        output.writer.write("again\n")
        assert output.resumed == [lost]
        assert os.read(reader, MAX_WRITE_BYTES) == b"again\n"


def test_a_long_line_that_is_cut_ends_before_the_next_one_begins() -> None:
    with small_pipe() as (reader, writer):
        output = LogOutput(writer)
        output.writer.write("x" * (MAX_WRITE_BYTES + 100) + "\n")
        assert output.losses == 1
        assert os.read(reader, MAX_WRITE_BYTES) == b"x" * MAX_WRITE_BYTES
        output.writer.write("next\n")
        assert os.read(reader, MAX_WRITE_BYTES) == b"\nnext\n"


def test_a_reader_that_went_away_loses_lines() -> None:
    reader, writer = os.pipe()
    output = LogOutput(writer)
    os.close(reader)
    output.writer.write("line\n")
    os.close(writer)
    assert output.losses == 1


@pytest.mark.parametrize("text", ["plain\n", "a caf\xe9\n", "half \ud800\n"])
def test_what_can_be_written_is_written_at_once(text: str) -> None:
    with small_pipe() as (reader, writer):
        LogOutput(writer).writer.write(text)
        assert os.read(reader, MAX_WRITE_BYTES) == text.encode(errors="backslashreplace")


def test_a_stream_in_memory_takes_lines_too() -> None:
    stream, recorder = io.StringIO(), Recorder()
    writer = NonblockingWriter(stream, recorder)
    writer.write("line\n")
    assert (stream.getvalue(), recorder.events) == ("line\n", [])
    stream.close()
    writer.write("line\n")
    assert recorder.events == [LogLineLost()]
