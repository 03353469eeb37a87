"""Server-sent events, cut out of a reply while it arrives.

Rule (the WHATWG's event streams, as far as vendors use them): an event is lines up to an empty one; only its data
matters, comments and other fields do not. The data of one event is in memory at a time, and nothing is decoded. What is
not ended by an empty line never was an event.
"""

from collections.abc import Iterator

DATA = b"data:"
RETURN = 13


class Events:
    """Is fed a reply in pieces, and gives the data of each event that is whole."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0
        self._data: list[bytes] = []

    @property
    def waiting(self) -> int:
        """Bytes of an event that is not whole yet."""
        return len(self._buffer) + sum(map(len, self._data))

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The events that a piece completes."""
        self._buffer += piece
        start = 0
        while (end := self._buffer.find(b"\n", max(start, self._scanned))) >= 0:
            if self._is_empty(start, end):
                if self._data:
                    yield b"\n".join(self._data)
                    self._data = []
            elif self._buffer.startswith(DATA, start):
                self._data.append(self._value(start + len(DATA), end))
            start = end + 1
        del self._buffer[:start]
        self._scanned = len(self._buffer)

    def _is_empty(self, start: int, end: int) -> bool:
        return end == start or (end == start + 1 and self._buffer[start] == RETURN)

    def _value(self, start: int, end: int) -> bytes:
        """What stands after the colon, but for one space and the line's end: copied once, because it is megabytes."""
        start += self._buffer.startswith(b" ", start)
        end -= end > start and self._buffer[end - 1] == RETURN
        with memoryview(self._buffer) as view:
            return bytes(view[start:end])
