"""Bytes in memory, as the content of a reference."""

import io
from dataclasses import dataclass
from typing import BinaryIO


@dataclass(frozen=True, slots=True)
class MemoryContent:
    """Bytes of an image."""

    body: bytes

    @property
    def length(self) -> int:
        """Bytes."""
        return len(self.body)

    def open(self) -> BinaryIO:
        """A reader of its own, at the first byte."""
        return io.BytesIO(self.body)
