"""Server-sent events, cut out of a reply while it arrives.

Rule (the WHATWG's event streams, as far as vendors use them): an event is lines up to an empty one; only its data
matters, comments and other fields do not. The data of one event is in memory at a time, and nothing is decoded. What is
not ended by an empty line never was an event.
"""

from collections.abc import Iterator

DATA = b"data:"


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
        for line in self._lines():
            if line.startswith(DATA):
                self._data.append(line[len(DATA) :].removeprefix(b" "))
            elif not line and self._data:
                yield b"\n".join(self._data)
                self._data = []

    def _lines(self) -> Iterator[bytes]:
        """Whole lines, without their ends; what is left waits for the next piece."""
        start = 0
        while (end := self._buffer.find(b"\n", max(start, self._scanned))) >= 0:
            yield bytes(memoryview(self._buffer)[start:end]).removesuffix(b"\r")
            start = end + 1
        del self._buffer[:start]
        self._scanned = len(self._buffer)
