"""Port of the image codec: inspects images of callers and vendors, and transcodes them."""

from dataclasses import dataclass
from typing import Protocol

from service.domain.generation import GeneratedImage
from service.domain.image_spec import Reference, Size
from service.domain.routing import Transcode


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInfo:
    """What a picture file turned out to be. `media_type` is such as image/png."""

    media_type: str
    size: Size
    has_alpha: bool


class ImageCodec(Protocol):
    """Looks into pictures and develops them into other formats."""

    async def inspect(self, reference: Reference) -> ImageInfo:
        """Read the header of a picture at hand. Raises `UnreadableFile` naming its `param`."""
        ...

    async def inspect_generated(self, image: GeneratedImage) -> ImageInfo | None:
        """The same for a bought picture; None where the format has no pixels (svg). Raises `UnreadableFile`."""
        ...

    async def transcode(self, image: GeneratedImage, transcode: Transcode) -> GeneratedImage:
        """The picture in another format. Raises `UnreadableFile` where the vendor's bytes are not a picture."""
        ...
