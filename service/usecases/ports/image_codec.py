"""Port of the image codec: inspects images of callers and vendors, and transcodes them.

Fails with: `UnreadableFile` for bytes that are no image.
"""

from dataclasses import dataclass
from typing import Protocol

from service.domain.generation import GeneratedImage
from service.domain.image_spec import Reference, Size
from service.domain.routing import Transcode


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInfo:
    """Properties of an image file. `media_type` is for example image/png."""

    media_type: str
    size: Size
    has_alpha: bool


class ImageCodec(Protocol):
    """Inspects and transcodes images."""

    async def inspect(self, reference: Reference) -> ImageInfo:
        """Read the header of a caller's image. Raises `UnreadableFile` with the reference's `param`."""
        ...

    async def inspect_generated(self, image: GeneratedImage) -> ImageInfo | None:
        """Read the header of a vendor's image; None for a format without pixels (svg). Raises `UnreadableFile`."""
        ...

    async def transcode(self, image: GeneratedImage, transcode: Transcode) -> GeneratedImage:
        """Return the image in another format. Raises `UnreadableFile` if the vendor's bytes are no image."""
        ...
