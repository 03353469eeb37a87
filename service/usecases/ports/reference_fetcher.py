"""Port that fetches reference images by their URL."""

from typing import Protocol

from service.domain.image_spec import Reference


class ReferenceFetcher(Protocol):
    """Fetches pictures that callers link to, guarded against being pointed at the inside of the network."""

    async def fetch(self, reference: Reference) -> Reference:
        """The reference with its bytes. Raises `UnreachableLink`, `TooLarge` or `UnreadableFile` naming its param."""
        ...
