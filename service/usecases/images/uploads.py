"""Pictures on their way in: on disk from the first byte, gone with the last reference to them.

Rule: what callers send is written to an unnamed temporary file as it arrives, hashed on the way and cut off at its
limit (`TooLarge`). Nothing is left behind, not even by a killed process. Needs a writable temporary folder (`TMPDIR`).

The digest is BLAKE3: two pictures with one digest would be taken for one another, so it has to be a cryptographic one,
and SHA-256 was half of what an edit cost where the processor has no instructions for it.
"""

import io
import os
import tempfile
import weakref
from typing import BinaryIO, cast

from blake3 import blake3

from service.domain.errors import TooLarge, UnreadableFile
from service.domain.generation import Buffer
from service.domain.image_spec import Reference


class Spool:
    """An unnamed file that grows, and is gone with the last who holds it.

    Pictures that come together lie in one, one after another: making a file costs as much as writing half a megabyte.
    """

    def __init__(self) -> None:
        self.length = 0
        self._file = cast("BinaryIO", tempfile.TemporaryFile(buffering=0))  # noqa: SIM115 (closed with its owner)
        self.descriptor = self._file.fileno()
        weakref.finalize(self, self._file.close)

    def write(self, chunk: Buffer) -> None:
        """Add bytes at the end."""
        rest = memoryview(chunk)
        while rest:  # a full disk takes a part and says nothing until it is asked for more
            count = self._file.write(rest)
            self.length += count
            rest = rest[count:]


class Upload:
    """One picture being received. `max_bytes` is its limit in bytes, `param` what the caller calls it.

    It is written to a `spool` of its own, or behind what is in the given one; nothing else is written there meanwhile.
    """

    def __init__(self, param: str, max_bytes: int, spool: Spool | None = None) -> None:
        self.param = param
        self.max_bytes = max_bytes
        self.length = 0
        self._digest = blake3()
        self._spool = spool or Spool()
        self._start = self._spool.length

    def write(self, chunk: Buffer) -> None:
        """Take the next bytes. Raises `TooLarge` naming the param."""
        self.length += len(chunk)
        if self.length > self.max_bytes:
            raise TooLarge(f"{self.param} is larger than {self.max_bytes} bytes.", param=self.param)
        self._digest.update(chunk)
        self._spool.write(chunk)

    def finish(self) -> Reference:
        """The finished picture. Raises `UnreadableFile` if nothing came."""
        if not self.length:
            raise UnreadableFile(f"{self.param} is empty.", param=self.param, code="empty_image_file")
        content = SpooledContent(self._spool, self._start, self.length)
        return Reference(param=self.param, digest=self._digest.hexdigest(), content=content)


class SpooledContent:
    """A picture in a spool, from `start` on. Every reader has its own position."""

    def __init__(self, spool: Spool, start: int, length: int) -> None:
        self.start = start
        self.length = length
        self.spool = spool

    def open(self) -> BinaryIO:
        """A reader at the first byte; it keeps the content alive."""
        return io.BufferedReader(_Reader(self))


class _Reader(io.RawIOBase):
    """Reads by position, so that several readers can share one descriptor."""

    def __init__(self, content: SpooledContent) -> None:
        self._content = content
        self._descriptor = content.spool.descriptor
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # typeshed's Buffer is 3.12's
        remaining = max(self._content.length - self._position, 0)  # behind it lies another picture
        view = memoryview(buffer)[:remaining]
        count = os.preadv(self._descriptor, [view], self._content.start + self._position) if view else 0
        self._position += count
        return count

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._content.length}[whence]
        if start + offset < 0:
            raise ValueError("a position before the first byte")
        self._position = start + offset
        return self._position
