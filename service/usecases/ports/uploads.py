"""Port of uploads: images that callers send, stored outside of memory for the length of their request.

Rule: bytes are stored and hashed as they arrive. An upload ends with the last reference to its content.

Fails with: `TooLarge` beyond the limit, `UnreadableFile` for an empty image; both name the parameter.
"""

from typing import Protocol

from service.domain.generation import Buffer
from service.domain.image_spec import Reference


class Upload(Protocol):
    """One image that is being received.

    Attributes:
        length: Bytes received so far.
    """

    @property
    def length(self) -> int: ...

    def write(self, chunk: Buffer) -> None:
        """Store the next bytes. Raises `TooLarge`."""
        ...

    def finish(self) -> Reference:
        """Return the whole image. Raises `UnreadableFile` if it is empty."""
        ...


class Spool(Protocol):
    """Storage of the images that arrive together, one after another."""

    def begin(self, param: str) -> Upload:
        """Begin the next image; the one before is finished. `param` is the caller's name of the image."""
        ...


class Uploads(Protocol):
    """Opens spools."""

    def new_spool(self) -> Spool:
        """Open a spool. Nothing is stored before its first image begins."""
        ...
