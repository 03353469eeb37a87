"""Bring the caller's pictures together: fetch what is linked or kept, look at every one before money is spent on it.

Rule: a picture that no vendor would take is refused here with the name of its field. Links stay links only where every
backend that may draw takes links itself and the operator allowed it.
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
    """A picture and what it turned out to be; a relayed link stays unseen."""

    reference: Reference
    info: ImageInfo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GatherReferences:
    """The use case. `stored_reader` reads pictures that the gateway keeps."""

    codec: ImageCodec
    fetcher: ReferenceFetcher
    stored_reader: ReferenceFetcher

    async def gather(self, spec: Spec, *, relay: bool) -> Spec:
        """The spec with every picture at hand and known for what it is. `relay`: leave links alone.

        Raises:
            RequestError: a picture cannot be fetched, read or used; `param` names it.
        """
        overlays = [overlay for overlay in (spec.mask, spec.markup) if overlay]
        inputs = (*spec.references, *overlays)
        if not inputs:
            return spec
        gate = asyncio.Semaphore(MAX_CONCURRENT)
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
    """Is there a picture that has to be fetched from elsewhere? Those that are kept are near."""
    return any(reference and is_link(reference) for reference in (*spec.references, spec.mask, spec.markup))


def is_link(reference: Reference) -> bool:
    """Is a picture known by its address only?"""
    return reference.content is None and reference.link is not None


def check_overlay(overlay: InspectedReference, first: InspectedReference) -> None:
    """Raise `InvalidValue` unless a mask or markup is a PNG with alpha, as large as the first picture.

    A link that is relayed has not been looked at; its vendor will.
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
