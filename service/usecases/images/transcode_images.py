"""Develop what was bought: into the format that was asked for, whatever the backend drew, and with its real size.

Rule: a purchase that needs nothing is passed on untouched. Bytes that are no picture are left out; a purchase that has
nothing else is a `BROKEN_REPLY`. Both stay paid for.
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
    """The use case."""

    darkroom: ImageCodec

    async def __call__(self, purchase: Generation, spec: Spec, plan: Plan) -> CallOutcome:
        """The purchase as the caller wants it, or why it cannot be."""
        transcode = required_transcode(purchase, spec, plan)
        if transcode is None:
            return purchase
        developed = [await self._developed(picture, transcode) for picture in purchase.pictures]
        pictures = tuple(filter(None, developed))
        if not pictures:
            return UNREADABLE
        unread = purchase.unread + len(developed) - len(pictures)
        return replace(purchase, pictures=pictures, output_format=transcode.output_format, unread=unread)

    async def _developed(self, picture: GeneratedImage, transcode: Transcode) -> GeneratedImage | None:
        try:
            return await self.darkroom.develop(picture, transcode)
        except UnreadableFile:
            return None

    async def measured(self, purchase: Generation) -> CallOutcome:
        """The purchase with what the backend left unsaid, read from the first picture that can be read."""
        if purchase.size and purchase.output_format:
            return purchase
        for unread, picture in enumerate(purchase.pictures):
            try:
                look = await self.darkroom.measure(picture)
            except UnreadableFile:
                continue
            found = replace(purchase, pictures=purchase.pictures[unread:], unread=purchase.unread + unread)
            if look is None:
                return found
            return replace(found, size=look.size, output_format=look.media_type.removeprefix("image/"))
        return UNREADABLE


def required_transcode(purchase: Generation, spec: Spec, plan: Plan) -> Transcode | None:
    """What is to be done with the pictures here, if anything: as it was planned, or because it turned out so."""
    return plan.transcode or fix_format(purchase, spec)


def fix_format(purchase: Generation, spec: Spec) -> Transcode | None:
    """What it takes when a backend drew another format than it was asked for."""
    drawn = purchase.output_format or spec.output_format
    if drawn == spec.output_format or spec.output_format not in FIXABLE_FORMATS:
        return None
    quality = 100 if spec.output_compression is None else spec.output_compression
    return Transcode(output_format=spec.output_format, quality=quality)
