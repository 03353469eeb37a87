"""Uploads in unnamed temporary files, hashed as they arrive.

Rule: the kernel removes a file with the last reference to it, also when the process is killed. `TMPDIR` is writable.

Fails with: `TooLarge`, `UnreadableFile`; an `OSError` of the disk is a crash of the request.

The digest is BLAKE3. Two images with one digest would be taken for one another, so the digest has to be cryptographic.
SHA-256 took half the time of an edit on processors without instructions for SHA-256.
"""

import io
import os
import tempfile
import weakref
from dataclasses import dataclass
from typing import BinaryIO, cast

from blake3 import blake3

from service.domain.errors import TooLarge, UnreadableFile
from service.domain.generation import Buffer
from service.domain.image_spec import Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class FileUploads:
    """Uploads of at most `max_bytes` bytes each."""

    max_bytes: int

    def new_spool(self) -> "FileSpool":
        return FileSpool(self.max_bytes)


class FileSpool:
    """Images in one file, one after another, because opening a file costs as much as writing half a megabyte."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._file: UnnamedFile | None = None

    def begin(self, param: str) -> "FileUpload":
        self._file = self._file or UnnamedFile()
        return FileUpload(param, self._max_bytes, self._file)


class UnnamedFile:
    """A file that grows, and is closed with the last object that refers to it."""

    def __init__(self) -> None:
        self.length = 0
        self._file = cast("BinaryIO", tempfile.TemporaryFile(buffering=0))  # noqa: SIM115 (closed with its owner)
        self.descriptor = self._file.fileno()
        weakref.finalize(self, self._file.close)

    def append(self, chunk: Buffer) -> None:
        """Write bytes at the end. Raises `OSError`."""
        rest = memoryview(chunk)
        while rest:  # a full disk takes a part without an error, and refuses the next write
            count = self._file.write(rest)
            self.length += count
            rest = rest[count:]


class FileUpload:
    """One image that is being received, at the end of `file`."""

    def __init__(self, param: str, max_bytes: int, file: UnnamedFile) -> None:
        self.param = param
        self.max_bytes = max_bytes
        self.length = 0
        self._digest = blake3()
        self._file = file
        self._start = file.length

    def write(self, chunk: Buffer) -> None:
        self.length += len(chunk)
        if self.length > self.max_bytes:
            raise TooLarge(f"{self.param} is larger than {self.max_bytes} bytes.", param=self.param)
        self._digest.update(chunk)
        self._file.append(chunk)

    def finish(self) -> Reference:
        if not self.length:
            raise UnreadableFile(f"{self.param} is empty.", param=self.param, code="empty_image_file")
        content = SpooledContent(self._file, self._start, self.length)
        return Reference(param=self.param, digest=self._digest.hexdigest(), content=content)


class SpooledContent:
    """The `length` bytes of a file from `start` on. Each reader has its own position."""

    def __init__(self, file: UnnamedFile, start: int, length: int) -> None:
        self.file = file
        self.start = start
        self.length = length

    def open(self) -> BinaryIO:
        """Return a reader at the first byte, which keeps the file open."""
        return io.BufferedReader(_Reader(self))


class _Reader(io.RawIOBase):
    """Reads by position, so that readers share one descriptor."""

    def __init__(self, content: SpooledContent) -> None:
        self._content = content
        self._descriptor = content.file.descriptor
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # typeshed's Buffer is 3.12's
        remaining = max(self._content.length - self._position, 0)  # another image follows
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
