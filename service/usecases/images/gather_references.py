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
    look: ImageInfo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GatherReferences:
    """The use case. `kept` reads pictures that the gateway keeps."""

    darkroom: ImageCodec
    links: ReferenceFetcher
    kept: ReferenceFetcher

    async def __call__(self, spec: Spec, *, relay: bool) -> Spec:
        """The spec with every picture at hand and known for what it is. `relay`: leave links alone.

        Raises:
            RequestError: a picture cannot be fetched, read or used; `param` names it.
        """
        overlays = [overlay for overlay in (spec.mask, spec.markup) if overlay]
        brought = (*spec.references, *overlays)
        if not brought:
            return spec
        gate = asyncio.Semaphore(MAX_CONCURRENT)
        seen = await asyncio.gather(*(self._see(reference, gate, relay=relay) for reference in brought))
        for overlay in seen[len(spec.references) :]:
            check_overlay(overlay, seen[0])
        ready = {id(reference): now.reference for reference, now in zip(brought, seen, strict=True)}
        return replace(
            spec,
            references=tuple(ready[id(reference)] for reference in spec.references),
            mask=ready.get(id(spec.mask)),
            markup=ready.get(id(spec.markup)),
        )

    async def _see(self, reference: Reference, gate: asyncio.Semaphore, *, relay: bool) -> InspectedReference:
        if relay and is_link(reference):
            return InspectedReference(reference)
        async with gate:
            fetched = await self._fetched(reference)
            look = await self.darkroom.look(fetched)
        if look.media_type not in MEDIA_TYPES:
            raise unsupported_type(reference.param, look.media_type)
        return InspectedReference(replace(fetched, media_type=look.media_type), look)

    async def _fetched(self, reference: Reference) -> Reference:
        if reference.content:
            return reference
        return await (self.links if is_link(reference) else self.kept).fetch(reference)


def has_links(spec: Spec) -> bool:
    """Is there a picture that has to be fetched from elsewhere? Those that are kept are near."""
    return any(brought and is_link(brought) for brought in (*spec.references, spec.mask, spec.markup))


def is_link(reference: Reference) -> bool:
    """Is a picture known by its address only?"""
    return reference.content is None and reference.link is not None


def check_overlay(overlay: InspectedReference, first: InspectedReference) -> None:
    """Raise `InvalidValue` unless a mask or markup is a PNG with alpha, as large as the first picture.

    A link that is relayed has not been looked at; its vendor will.
    """
    param, look = overlay.reference.param, overlay.look
    if look is None:
        return
    if look.media_type != "image/png" or not look.alpha:
        raise InvalidValue(f"{param} must be a PNG with an alpha channel.", param=param)
    if first.look and look.size != first.look.size:
        raise InvalidValue(
            f"{param} is {look.size} but the first picture is {first.look.size}; they must be the same size.",
            param=param,
        )
