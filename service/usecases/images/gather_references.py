"""The caller's input images: linked and stored ones are fetched, and all are inspected before money is held.

Rule: an image that no vendor accepts is refused here. A link is relayed only if the operator allowed it and every
candidate backend accepts links.

Fails with: a `RequestError` whose `param` names the image.
"""

import asyncio
from dataclasses import dataclass, replace

from service.domain.errors import InvalidValue
from service.domain.image_spec import Reference, Spec
from service.domain.sniff import MEDIA_TYPES, unsupported_type
from service.usecases.ports.image_codec import ImageCodec, ImageInfo
from service.usecases.ports.reference_fetcher import ReferenceFetcher

MAX_CONCURRENT = 4


@dataclass(frozen=True, slots=True)
class InspectedReference:
    """An input image and its properties; None for a relayed link, which is not inspected."""

    reference: Reference
    info: ImageInfo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GatherReferences:
    """The fetching and inspection. `stored_reader` reads images of the gateway's own store."""

    codec: ImageCodec
    fetcher: ReferenceFetcher
    stored_reader: ReferenceFetcher

    async def gather(self, spec: Spec, *, relay: bool) -> Spec:
        """Return the spec with the bytes and media types of all input images. `relay` leaves links as they are.

        Raises:
            RequestError: an image cannot be fetched, read or used.
        """
        overlays = [overlay for overlay in (spec.mask, spec.markup) if overlay]
        inputs = (*spec.references, *overlays)
        if not inputs:
            return spec
        gate = asyncio.Semaphore(MAX_CONCURRENT)  # bounds connections and memory of one request
        inspected = await asyncio.gather(*(self._inspect(reference, gate, relay=relay) for reference in inputs))
        for overlay in inspected[len(spec.references) :]:
            check_overlay(overlay, inspected[0])
        ready = {id(reference): input_image.reference for reference, input_image in zip(inputs, inspected, strict=True)}
        return replace(
            spec,
            references=tuple(ready[id(reference)] for reference in spec.references),
            mask=ready.get(id(spec.mask)),
            markup=ready.get(id(spec.markup)),
        )

    async def _inspect(self, reference: Reference, gate: asyncio.Semaphore, *, relay: bool) -> InspectedReference:
        if relay and is_link(reference):
            return InspectedReference(reference)
        async with gate:
            fetched = await self._fetch(reference)
            info = await self.codec.inspect(fetched)
        if info.media_type not in MEDIA_TYPES:
            raise unsupported_type(reference.param, info.media_type)
        return InspectedReference(replace(fetched, media_type=info.media_type), info)

    async def _fetch(self, reference: Reference) -> Reference:
        if reference.content:
            return reference
        return await (self.fetcher if is_link(reference) else self.stored_reader).fetch(reference)


def has_links(spec: Spec) -> bool:
    """Return whether an image has to be fetched from another host. Images of the gateway's own store do not count."""
    return any(reference and is_link(reference) for reference in (*spec.references, spec.mask, spec.markup))


def is_link(reference: Reference) -> bool:
    """Return whether only the address of an image is known."""
    return reference.content is None and reference.link is not None


def check_overlay(overlay: InspectedReference, first: InspectedReference) -> None:
    """Raise `InvalidValue` unless a mask or markup is a PNG with alpha of the first image's size.

    A relayed link is not inspected here, but by the vendor.
    """
    param, info = overlay.reference.param, overlay.info
    if info is None:
        return
    if info.media_type != "image/png" or not info.has_alpha:
        raise InvalidValue(f"{param} must be a PNG with an alpha channel.", param=param)
    if first.info and info.size != first.info.size:
        raise InvalidValue(
            f"{param} is {info.size} but the first picture is {first.info.size}; they must be the same size.",
            param=param,
        )
