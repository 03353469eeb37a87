"""What a call carries to a vendor: JSON or a form, of known length, written in pieces.

Rule: no picture is in memory whole, and a document only once. A vendor that takes no piece within its time ends the
call with `TimeoutError`. `CallBody.is_started` is false as long as no byte of the call, header or body, has gone out:
the client sends the header with the first piece.
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
    """The body of one call. `write_seconds` is what each piece may take; what is open in the call stays open."""

    _autoclose = True

    def __init__(self, call: Call, write_seconds: float) -> None:
        content = build_form(call) if call.json is None else FilePayload(io.BytesIO(call.json), "application/json")
        super().__init__(content, content_type=content.content_type)
        self._size = content.size
        self._content = content
        self._write_seconds = write_seconds
        self.is_started = False

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send everything. Raises `TimeoutError` when the other side stops taking it."""
        self.is_started = True
        async with TimedWriter(writer, self._write_seconds) as timed_writer:
            await self._content.write(cast("AbstractStreamWriter", timed_writer))

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """All of it as text, with what is read used up."""
        return self._content.decode(encoding, errors)


class TimedWriter:
    """As much of a writer as payloads use. Each piece has its time; one timer looks after all of them."""

    def __init__(self, writer: AbstractStreamWriter, seconds: float) -> None:
        self._writer = writer
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._timeout = asyncio.timeout(None)

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        self._began = self._loop.time()
        self._check_deadline()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        await self._timeout.__aexit__(kind, error, trace)

    async def write(self, chunk: bytes) -> None:
        """Pass a piece on, and wait until there is room for the next."""
        self._began = self._loop.time()
        await self._writer.write(chunk)

    def _check_deadline(self) -> None:
        """Come again when the piece that is being written has had its time, or end it."""
        due = self._began + self._seconds
        if due > self._loop.time():
            self._timer = self._loop.call_at(due, self._check_deadline)
        else:
            self._timeout.reschedule(due)


class FilePayload(Payload):
    """What a reader gives, from its first byte to its last.

    It is read in the loop: 64 KB of what was just written come from the page cache in microseconds, and a thread for
    each read costs more CPU and keeps blocks of memory of its own.
    """

    _autoclose = True

    def __init__(self, reader: BinaryIO, media_type: str) -> None:
        super().__init__(reader, content_type=media_type)
        self._size = reader.seek(0, io.SEEK_END)
        reader.seek(0)
        self._reader = reader

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send it."""
        while piece := self._reader.read(CHUNK_BYTES):
            await writer.write(piece)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """All of it as text."""
        return self._reader.read().decode(encoding, errors)


def build_form(call: Call) -> MultipartWriter:
    """A form: texts without a type, then files with theirs."""
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
