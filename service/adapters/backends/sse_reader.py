"""A reader of server-sent events that receives a reply in chunks.

Rule (the WHATWG's event streams, as far as vendors use them): an event is lines up to an empty one. Only its data is
read; comments and other fields are skipped. Memory has the data of one event, in its chunks until a line is complete.
Nothing is decoded. Lines without an empty line behind them are no event.

Fails with: nothing. Its user bounds an endless event by `buffered_bytes`.
"""

from collections.abc import Iterator

DATA = b"data:"
SMALL_CHUNK = 4096  # bytes; smaller chunks are joined at once, because each one costs about that many bytes
MAX_JOINED = 1 << 16


class SseReader:
    """Receives chunks of a reply, and yields the data of each complete event."""

    def __init__(self) -> None:
        self._chunks: list[bytes | bytearray] = []
        self._data: list[bytearray] = []

    @property
    def buffered_bytes(self) -> int:
        """Bytes of an incomplete event."""
        return sum(map(len, self._chunks)) + sum(map(len, self._data))

    def feed(self, chunk: bytes) -> Iterator[bytearray]:
        """Yield the events that a chunk completes."""
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            line = self._line(chunk[start:end])
            start = end + 1
            if line.startswith(DATA):
                self._data.append(_value(line))
            elif not line and self._data:
                yield self._event()
        self._buffer(chunk[start:] if start else chunk)

    def _line(self, rest: bytes) -> bytearray:
        """Join the buffered chunks and the rest of a line, in one copy of megabytes."""
        line = bytearray().join([*self._chunks, rest])
        self._chunks.clear()
        if line.endswith(b"\r"):
            del line[-1:]
        return line

    def _event(self) -> bytearray:
        data, self._data = self._data, []
        return data[0] if len(data) == 1 else bytearray(b"\n").join(data)

    def _buffer(self, chunk: bytes) -> None:
        last = self._chunks[-1] if self._chunks else b""
        if len(chunk) >= SMALL_CHUNK:
            self._chunks.append(chunk)
        elif isinstance(last, bytearray) and len(last) < MAX_JOINED:
            last += chunk
        elif chunk:
            self._chunks.append(bytearray(chunk))


def _value(line: bytearray) -> bytearray:
    """Cut the field's name, the colon and one space off a line, in place."""
    del line[: len(DATA) + line.startswith(b" ", len(DATA))]
    return line
