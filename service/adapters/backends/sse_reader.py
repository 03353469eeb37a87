"""Server-sent events, cut out of a reply while it arrives.

Rule (the WHATWG's event streams, as far as vendors use them): an event is lines up to an empty one; only its data
matters, comments and other fields do not. The data of one event is in memory at a time, in the pieces that it came in
until its line is whole, and nothing is decoded. What is not ended by an empty line never was an event.
"""

from collections.abc import Iterator

DATA = b"data:"
SMALL_PIECE = 4096  # bytes; pieces below are put together as they come, because each costs as much again
MAX_JOINED = 1 << 16


class SseReader:
    """Is fed a reply in pieces, and gives the data of each event that is whole."""

    def __init__(self) -> None:
        self._pieces: list[bytes | bytearray] = []
        self._data: list[bytearray] = []

    @property
    def buffered_bytes(self) -> int:
        """Bytes of an event that is not whole yet."""
        return sum(map(len, self._pieces)) + sum(map(len, self._data))

    def feed(self, piece: bytes) -> Iterator[bytearray]:
        """The events that a piece completes."""
        start = 0
        while (end := piece.find(b"\n", start)) >= 0:
            line = self._line(piece[start:end])
            start = end + 1
            if line.startswith(DATA):
                self._data.append(_value(line))
            elif not line and self._data:
                yield self._event()
        self._buffer(piece[start:] if start else piece)

    def _line(self, rest: bytes) -> bytearray:
        """All that waits and the rest of it: copied once, because it is megabytes."""
        line = bytearray().join([*self._pieces, rest])
        self._pieces.clear()
        if line.endswith(b"\r"):
            del line[-1:]
        return line

    def _event(self) -> bytearray:
        data, self._data = self._data, []
        return data[0] if len(data) == 1 else bytearray(b"\n").join(data)

    def _buffer(self, piece: bytes) -> None:
        last = self._pieces[-1] if self._pieces else b""
        if len(piece) >= SMALL_PIECE:
            self._pieces.append(piece)
        elif isinstance(last, bytearray) and len(last) < MAX_JOINED:
            last += piece
        elif piece:
            self._pieces.append(bytearray(piece))


def _value(line: bytearray) -> bytearray:
    """What stands after the colon, but for one space: cut off in place."""
    del line[: len(DATA) + line.startswith(b" ", len(DATA))]
    return line
