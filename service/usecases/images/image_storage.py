"""Keep pictures where they can be fetched by address, and taken up again by their ids.

Rule: every picture that is delivered has an id of its team. It is kept where its caller wants an address, and inline
pictures as well unless the operator does not want them. A store that fails is told to the observer and remembered with
the result; only who wants an address gets to know.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pybase64

from service.domain.errors import ImageNotFound, InvalidValue, StoreUnavailable
from service.domain.generation import GeneratedImage, Generation
from service.domain.stored_images import new_image_id, owned_stored_name, to_stored_name
from service.usecases.ports.events import ImageStoreFailed
from service.usecases.ports.image_store import ImageStore
from service.usecases.ports.observer import Observer
from service.usecases.ports.requests import ImageRequest
from service.usecases.ports.result_store import Result


@dataclass(frozen=True, slots=True)
class StoredImages:
    """The ids of pictures, and whether all of them lie in the store."""

    ids: tuple[str, ...]
    are_stored: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageStorage:
    """The use case. `new_id` gives 32 random hex digits; `store_all` keeps inline pictures too.

    Ids of results that are older than `reuse_seconds` are not handed out again: their pictures are about to go.
    """

    image_store: ImageStore | None
    new_id: Callable[[], str]
    observe: Observer
    store_all: bool
    reuse_seconds: float

    def check_available(self, *, linked: bool) -> None:
        """Raise `InvalidValue` if addresses are asked for and there is nowhere to keep pictures."""
        if linked and self.image_store is None:
            raise InvalidValue(
                "response_format url is not supported: this gateway has no picture store. Use b64_json.",
                param="response_format",
            )

    async def store(self, generation: Generation, request: ImageRequest) -> StoredImages:
        """Keep what was bought, under new ids."""
        output_format = generation.output_format or request.spec.output_format
        team = request.caller.key.team.name
        return await self._store(
            generation, tuple(new_image_id(team, output_format, self.new_id()) for _ in generation.images), request
        )

    async def reuse_or_store(self, result: Result, request: ImageRequest, age_seconds: int) -> StoredImages:
        """The same for a result that is `age_seconds` seconds old: under its ids, if they are this team's to use."""
        team = request.caller.key.team.name
        if age_seconds >= self.reuse_seconds or not all(owned_stored_name(team, image_id) for image_id in result.ids):
            return await self.store(result.generation, request)
        if not request.linked or (result.images_stored and await self._exist(result.ids)):
            return StoredImages(result.ids, result.images_stored)
        return await self._store(result.generation, result.ids, request)

    async def _exist(self, ids: Sequence[str]) -> bool:
        """Has nobody deleted them? A store that does not answer has what it took."""
        try:
            await asyncio.gather(
                *(self.image_store.stat(to_stored_name(image_id)) for image_id in ids if self.image_store)
            )
        except ImageNotFound:
            return False
        except StoreUnavailable:
            return True
        return True

    async def _store(self, generation: Generation, ids: tuple[str, ...], request: ImageRequest) -> StoredImages:
        if self.image_store is None or not (request.linked or self.store_all):
            return StoredImages(ids, are_stored=False)
        failed = await _store_all(self.image_store, ids, generation.images)
        if failed:
            self.observe(
                ImageStoreFailed(request_id=request.caller.request_id, reason=failed.message, cause=failed.cause)
            )
        return StoredImages(ids, are_stored=failed is None)


async def _store_all(
    store: ImageStore, ids: Sequence[str], images: Sequence[GeneratedImage]
) -> StoreUnavailable | None:
    """Keep all of them; why one could not be."""
    failures = await asyncio.gather(*(_store_image(store, *pair) for pair in zip(ids, images, strict=True)))
    return next((failure for failure in failures if failure), None)


async def _store_image(store: ImageStore, image_id: str, image: GeneratedImage) -> StoreUnavailable | None:
    try:
        await store.put(to_stored_name(image_id), pybase64.b64decode(image.base64, validate=True))
    except StoreUnavailable as failed:
        return failed
    except ValueError:
        return StoreUnavailable("The backend's picture cannot be decoded, so it cannot be kept.")
    return None
