"""Storage of delivered images, which callers fetch by their address and edit by their id.

Rule: every delivered image has an id of its team. An image is stored if the caller wants an address, or if the
operator stores inline images too.

Fails with: nothing. A failure of the store is observed, and `are_stored` of the result is false. Only a caller who
wants an address gets an error for it.
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
    """Ids of images, and whether the store has all of them."""

    ids: tuple[str, ...]
    are_stored: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageStorage:
    """The storage of delivered images.

    Attributes:
        new_id: Makes 32 random hex digits.
        store_all: Whether inline images are stored too.
        reuse_seconds: Age of a result from which on it gets new ids, because its stored images are about to expire.
    """

    image_store: ImageStore | None
    new_id: Callable[[], str]
    observer: Observer
    store_all: bool
    reuse_seconds: float

    def check_available(self, *, linked: bool) -> None:
        """Raise `InvalidValue` if the caller wants addresses and the gateway has no image store."""
        if linked and self.image_store is None:
            raise InvalidValue(
                "response_format url is not supported: this gateway has no picture store. Use b64_json.",
                param="response_format",
            )

    async def store(self, generation: Generation, request: ImageRequest) -> StoredImages:
        """Store the images of a generation under new ids."""
        output_format = generation.output_format or request.spec.output_format
        team = request.caller.key.team.name
        return await self._store(
            generation, tuple(new_image_id(team, output_format, self.new_id()) for _ in generation.images), request
        )

    async def reuse_or_store(self, result: Result, request: ImageRequest, age_seconds: int) -> StoredImages:
        """Store the images of a result that is `age_seconds` old. Young ids of the caller's team are used again."""
        team = request.caller.key.team.name
        if age_seconds >= self.reuse_seconds or not all(owned_stored_name(team, image_id) for image_id in result.ids):
            return await self.store(result.generation, request)
        if not request.linked or (result.images_stored and await self._exist(result.ids)):
            return StoredImages(result.ids, result.images_stored)
        return await self._store(result.generation, result.ids, request)

    async def _exist(self, ids: Sequence[str]) -> bool:
        """Return whether no image was deleted. A store that does not answer is taken to have them."""
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
            self.observer.record(
                ImageStoreFailed(request_id=request.caller.request_id, reason=failed.message, cause=failed.cause)
            )
        return StoredImages(ids, are_stored=failed is None)


async def _store_all(
    store: ImageStore, ids: Sequence[str], images: Sequence[GeneratedImage]
) -> StoreUnavailable | None:
    """Store all images. Returns the first failure."""
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
