"""An image codec that knows images by their digest, and marks those that it transcodes."""

import asyncio
from collections.abc import Collection, Mapping

from service.domain.errors import UnreadableFile
from service.domain.generation import GeneratedImage
from service.domain.image_spec import Reference, Size
from service.domain.routing import Transcode
from service.usecases.ports.image_codec import ImageInfo

PNG = ImageInfo(media_type="image/png", size=Size(1024, 1024), has_alpha=True)


class FakeImageCodec:
    """Knows callers' images by digest and vendors' images by base64. An image that is not listed is a `PNG`.

    `broken` has the digests and base64 of bytes that are no image. `peak` is the maximum of concurrent inspections.
    """

    def __init__(
        self,
        *,
        looks: Mapping[str, ImageInfo] | None = None,
        measures: Mapping[bytes, ImageInfo | None] | None = None,
        broken: Collection[str | bytes] = (),
    ) -> None:
        self.inspected: list[str] = []
        self.peak = 0
        self._looks = looks or {}
        self._measures = measures or {}
        self._broken = broken
        self._busy = 0

    async def inspect(self, reference: Reference) -> ImageInfo:
        self._busy += 1
        self.peak = max(self.peak, self._busy)
        await asyncio.sleep(0)
        self._busy -= 1
        self.inspected.append(reference.param)
        self._refuse_broken(reference.digest, reference.param)
        return self._looks.get(reference.digest, PNG)

    async def inspect_generated(self, image: GeneratedImage) -> ImageInfo | None:
        self._refuse_broken(bytes(image.base64), "picture")
        return self._measures.get(bytes(image.base64), PNG)

    async def transcode(self, image: GeneratedImage, transcode: Transcode) -> GeneratedImage:
        self._refuse_broken(bytes(image.base64), "picture")
        suffix = f"{transcode.output_format}@{transcode.quality}:".encode()
        return GeneratedImage(base64=suffix + bytes(image.base64), revised_prompt=image.revised_prompt)

    def _refuse_broken(self, name: str | bytes, param: str) -> None:
        if name in self._broken:
            raise UnreadableFile(f"{param} is not a picture.", param=param)
