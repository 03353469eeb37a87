"""Pictures on their way in: on disk from the first byte, gone with the last reference to them.

Rule: what callers send is written to an unnamed temporary file as it arrives, hashed on the way and cut off at its
limit (`TooLarge`). Nothing is left behind, not even by a killed process. Needs a writable temporary folder (`TMPDIR`).
"""

import hashlib
import io
import os
import tempfile
import weakref
from typing import BinaryIO, cast

from service.domain.errors import TooLarge, UnreadableFile
from service.domain.images import Reference
from service.domain.outcomes import Buffer


class Intake:
    """One picture being received. `most` is its limit in bytes, `param` what the caller calls it."""

    def __init__(self, param: str, most: int) -> None:
        self.param = param
        self.most = most
        self.length = 0
        self._digest = hashlib.sha256()
        self._file = cast("BinaryIO", tempfile.TemporaryFile(buffering=0))  # noqa: SIM115 (closed with its owner)
        self._close = weakref.finalize(self, self._file.close)

    def write(self, chunk: Buffer) -> None:
        """Take the next bytes. Raises `TooLarge` naming the param."""
        self.length += len(chunk)
        if self.length > self.most:
            raise TooLarge(f"{self.param} is larger than {self.most} bytes.", param=self.param)
        self._digest.update(chunk)
        rest = memoryview(chunk)
        while rest:  # a full disk takes a part and says nothing until it is asked for more
            rest = rest[self._file.write(rest) :]

    def done(self) -> Reference:
        """The finished picture. Raises `UnreadableFile` if nothing came."""
        if not self.length:
            raise UnreadableFile(f"{self.param} is empty.", param=self.param, code="empty_image_file")
        self._close.detach()
        content = SpooledContent(self._file, self.length)
        return Reference(param=self.param, digest=self._digest.hexdigest(), content=content)


class SpooledContent:
    """A picture in an unnamed file. Every reader has its own position."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self.length = length
        self._file = file
        weakref.finalize(self, file.close)

    def open(self) -> BinaryIO:
        """A reader at the first byte; it keeps the content alive."""
        return io.BufferedReader(_Reader(self, self._file.fileno()))


class _Reader(io.RawIOBase):
    """Reads by position, so that several readers can share one descriptor."""

    def __init__(self, owner: SpooledContent, descriptor: int) -> None:
        self._owner = owner
        self._descriptor = descriptor
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # typeshed's Buffer is 3.12's
        count = os.preadv(self._descriptor, [buffer], self._position)
        self._position += count
        return count

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._owner.length}[whence]
        self._position = start + offset
        return self._position
