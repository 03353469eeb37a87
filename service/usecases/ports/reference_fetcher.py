"""Port that fetches reference images by their URL.

Rule: a caller cannot make the gateway connect to an address inside of its network.
"""

from typing import Protocol

from service.domain.image_spec import Reference


class ReferenceFetcher(Protocol):
    """Fetches images that callers link to or name by an id."""

    async def fetch(self, reference: Reference) -> Reference:
        """Return the reference with its bytes.

        Raises:
            UnreachableLink: the address is refused or does not answer with an image.
            TooLarge: the image is larger than an uploaded image may be.
            UnreadableFile: the bytes are no image.
        """
        ...
