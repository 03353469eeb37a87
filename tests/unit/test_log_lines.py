"""Log lines go to places that may be full, closed, or read by nothing: writing one never raises and never waits."""

import fcntl
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from service.adapters.logs.log_stream import MAX_WRITE_BYTES, LossyLogStream


class Place:
    """Lines to a descriptor, and what they told of losses."""

    def __init__(self, descriptor: int) -> None:
        self.losses = 0
        self.resumed: list[int] = []
        self.stream = open(descriptor, "w", closefd=False)  # noqa: SIM115 (closed with the descriptor)
        self.lines = LossyLogStream(self.stream, self.resumed.append)
        self.lines.lost = self.count

    def count(self) -> None:
        self.losses += 1


@contextmanager
def small_pipe() -> Iterator[tuple[int, int]]:
    """A pipe that takes one page."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, MAX_WRITE_BYTES)
    try:
        yield reader, writer
    finally:
        os.close(reader)
        os.close(writer)


def test_a_full_disk_loses_lines_and_no_more() -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    place = Place(descriptor)
    assert place.lines.write("one\n") == len("one\n")
    place.lines.write("two\n")
    place.lines.flush()
    os.close(descriptor)
    place.lines.write("closed\n")
    assert (place.losses, place.resumed) == (3, [])


def test_a_pipe_that_nothing_reads_loses_lines_until_it_is_read() -> None:
    with small_pipe() as (reader, writer):
        place = Place(writer)
        for number in range(6):
            place.lines.write(f"{number}" * (MAX_WRITE_BYTES // 2 - 1) + "\n")
        lost = place.losses
        assert lost >= 4
        os.read(reader, MAX_WRITE_BYTES)
        place.lines.write("again\n")
        assert place.resumed == [lost]
        assert os.read(reader, MAX_WRITE_BYTES) == b"again\n"


def test_a_long_line_that_is_cut_ends_before_the_next_one_begins() -> None:
    with small_pipe() as (reader, writer):
        place = Place(writer)
        place.lines.write("x" * (MAX_WRITE_BYTES + 100) + "\n")
        assert place.losses == 1
        assert os.read(reader, MAX_WRITE_BYTES) == b"x" * MAX_WRITE_BYTES
        place.lines.write("next\n")
        assert os.read(reader, MAX_WRITE_BYTES) == b"\nnext\n"


def test_a_reader_that_went_away_loses_lines() -> None:
    reader, writer = os.pipe()
    place = Place(writer)
    os.close(reader)
    place.lines.write("line\n")
    os.close(writer)
    assert place.losses == 1


@pytest.mark.parametrize("text", ["plain\n", "a caf\xe9\n", "half \ud800\n"])
def test_what_can_be_written_is_written_at_once(text: str) -> None:
    with small_pipe() as (reader, writer):
        Place(writer).lines.write(text)
        assert os.read(reader, MAX_WRITE_BYTES) == text.encode(errors="backslashreplace")


def test_a_stream_in_memory_takes_lines_too() -> None:
    stream, resumed = io.StringIO(), list[int]()
    lines = LossyLogStream(stream, resumed.append)
    lines.write("line\n")
    assert (stream.getvalue(), resumed) == ("line\n", [])
    stream.close()
    lines.write("line\n")
    assert resumed == []
