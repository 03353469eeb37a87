"""The body of a call to a vendor: JSON or a form, of known length, written in chunks.

Rule: memory never has a whole image of a form, and has a document once. `CallBody.is_started` is false until the first
byte of header or body is sent. aiohttp sends the header with the first chunk.

Fails with: `TimeoutError` if the vendor does not take a chunk in time.
"""

import asyncio
import io
from types import TracebackType
from typing import BinaryIO, Final, Self, cast

from aiohttp import BytesPayload, MultipartWriter, Payload
from aiohttp.abc import AbstractStreamWriter
from aiohttp.hdrs import CONTENT_TYPE

from service.adapters.backends.dialect import Call

CHUNK_BYTES: Final = 1 << 16


class CallBody(Payload):
    """The body of one call. A chunk may take `write_seconds`. The call's files stay open."""

    _autoclose = True

    def __init__(self, call: Call, write_seconds: float) -> None:
        content = build_form(call) if call.json is None else FilePayload(io.BytesIO(call.json), "application/json")
        super().__init__(content, content_type=content.content_type)
        self._size = content.size
        self._content = content
        self._write_seconds = write_seconds
        self.is_started = False

    async def write(self, writer: AbstractStreamWriter) -> None:
        self.is_started = True
        async with TimedWriter(writer, self._write_seconds) as timed_writer:
            await self._content.write(cast("AbstractStreamWriter", timed_writer))

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self._content.decode(encoding, errors)


class TimedWriter:
    """The part of a writer that payloads use, with a timeout for each chunk. One timer serves all chunks."""

    def __init__(self, writer: AbstractStreamWriter, seconds: float) -> None:
        self._writer = writer
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._timeout = asyncio.timeout(None)

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        self._chunk_started = self._loop.time()
        self._check_deadline()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        await self._timeout.__aexit__(kind, error, trace)

    async def write(self, chunk: bytes) -> None:
        """Send a chunk, and wait for room for the next one."""
        self._chunk_started = self._loop.time()
        await self._writer.write(chunk)

    def _check_deadline(self) -> None:
        """End a chunk that is over its time, or check again at that time."""
        due = self._chunk_started + self._seconds
        if due > self._loop.time():
            self._timer = self._loop.call_at(due, self._check_deadline)
        else:
            self._timeout.reschedule(due)


class FilePayload(Payload):
    """A file, from its first byte to its last.

    The loop reads it: 64 KB of a new file come from the page cache in microseconds. A thread for each read would cost
    more CPU, and memory of its own.
    """

    _autoclose = True

    def __init__(self, reader: BinaryIO, media_type: str) -> None:
        super().__init__(reader, content_type=media_type)
        self._size = reader.seek(0, io.SEEK_END)
        reader.seek(0)
        self._reader = reader

    async def write(self, writer: AbstractStreamWriter) -> None:
        while chunk := self._reader.read(CHUNK_BYTES):
            await writer.write(chunk)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self._reader.read().decode(encoding, errors)


def build_form(call: Call) -> MultipartWriter:
    """Build a form: texts without a type, then files with their types."""
    form = MultipartWriter("form-data")
    for name, value in call.fields.items():
        text = BytesPayload(value.encode())
        del text.headers[CONTENT_TYPE]
        text.set_content_disposition("form-data", quote_fields=False, name=name)
        form.append_payload(text)
    for name, (filename, reader, media_type) in call.files:
        file = FilePayload(reader, media_type)
        file.set_content_disposition("form-data", quote_fields=False, name=name, filename=filename)
        form.append_payload(file)
    return form
