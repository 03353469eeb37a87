"""Transcoding of generated images into the requested format, and their real size and format.

Rule: a generation that is as requested is passed on unchanged. Bytes that are no image are left out, and stay paid for.

Fails with: a `BROKEN_REPLY` for a generation without a readable image.
"""

from dataclasses import dataclass, replace

from service.domain.errors import Failure, FailureKind, UnreadableFile
from service.domain.generation import CallOutcome, GeneratedImage, Generation
from service.domain.image_spec import Spec
from service.domain.routing import Plan, Transcode
from service.usecases.ports.image_codec import ImageCodec

FIXABLE_FORMATS = frozenset({"png", "jpeg", "webp"})
UNREADABLE = Failure(kind=FailureKind.BROKEN_REPLY, message="The backend's reply is not a picture.")


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscodeImages:
    """Transcodes and measures generations."""

    codec: ImageCodec

    async def transcode(self, generation: Generation, spec: Spec, plan: Plan) -> CallOutcome:
        """Return the generation in the requested format, or a failure."""
        transcode = required_transcode(generation, spec, plan)
        if transcode is None:
            return generation
        transcoded = [await self._transcode_image(image, transcode) for image in generation.images]
        images = tuple(filter(None, transcoded))
        if not images:
            return UNREADABLE
        unreadable_images = generation.unreadable_images + len(transcoded) - len(images)
        return replace(
            generation, images=images, output_format=transcode.output_format, unreadable_images=unreadable_images
        )

    async def _transcode_image(self, image: GeneratedImage, transcode: Transcode) -> GeneratedImage | None:
        try:
            return await self.codec.transcode(image, transcode)
        except UnreadableFile:
            return None

    async def with_real_size(self, generation: Generation) -> CallOutcome:
        """Return the generation with the size and format that its first readable image has."""
        if generation.size and generation.output_format:
            return generation
        for unreadable_images, image in enumerate(generation.images):
            try:
                info = await self.codec.inspect_generated(image)
            except UnreadableFile:
                continue
            readable = replace(
                generation,
                images=generation.images[unreadable_images:],
                unreadable_images=generation.unreadable_images + unreadable_images,
            )
            if info is None:
                return readable
            return replace(readable, size=info.size, output_format=info.media_type.removeprefix("image/"))
        return UNREADABLE


def required_transcode(generation: Generation, spec: Spec, plan: Plan) -> Transcode | None:
    """Return the transcoding that is required: planned, or because the vendor returned another format."""
    return plan.transcode or fix_format(generation, spec)


def fix_format(generation: Generation, spec: Spec) -> Transcode | None:
    """Return the transcoding to the requested format if the backend returned another one."""
    delivered_format = generation.output_format or spec.output_format
    if delivered_format == spec.output_format or spec.output_format not in FIXABLE_FORMATS:
        return None
    quality = 100 if spec.output_compression is None else spec.output_compression
    return Transcode(output_format=spec.output_format, quality=quality)
