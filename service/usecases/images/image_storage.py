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
    stored: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageStorage:
    """The use case. `mint` gives 32 random hex digits; `keep_all` keeps inline pictures too.

    Ids of results that are older than `fresh_seconds` are not handed out again: their pictures are about to go.
    """

    store: ImageStore | None
    mint: Callable[[], str]
    observe: Observer
    keep_all: bool
    fresh_seconds: float

    def check(self, *, linked: bool) -> None:
        """Raise `InvalidValue` if addresses are asked for and there is nowhere to keep pictures."""
        if linked and self.store is None:
            raise InvalidValue(
                "response_format url is not supported: this gateway has no picture store. Use b64_json.",
                param="response_format",
            )

    async def __call__(self, purchase: Generation, request: ImageRequest) -> StoredImages:
        """Keep what was bought, under new ids."""
        drawn = purchase.output_format or request.spec.output_format
        team = request.caller.key.team.name
        return await self._kept(
            purchase, tuple(new_image_id(team, drawn, self.mint()) for _ in purchase.pictures), request
        )

    async def again(self, result: Result, request: ImageRequest, age: int) -> StoredImages:
        """The same for a result that is `age` seconds old: under its ids, if they are this team's to use."""
        team = request.caller.key.team.name
        if age >= self.fresh_seconds or not all(owned_stored_name(team, picture) for picture in result.ids):
            return await self(result.purchase, request)
        if not request.linked or (result.stored and await self._are_there(result.ids)):
            return StoredImages(result.ids, result.stored)
        return await self._kept(result.purchase, result.ids, request)

    async def _are_there(self, ids: Sequence[str]) -> bool:
        """Has nobody deleted them? A store that does not answer has what it took."""
        try:
            await asyncio.gather(*(self.store.find(to_stored_name(picture)) for picture in ids if self.store))
        except ImageNotFound:
            return False
        except StoreUnavailable:
            return True
        return True

    async def _kept(self, purchase: Generation, ids: tuple[str, ...], request: ImageRequest) -> StoredImages:
        if self.store is None or not (request.linked or self.keep_all):
            return StoredImages(ids, stored=False)
        failed = await _store_all(self.store, ids, purchase.pictures)
        if failed:
            self.observe(
                ImageStoreFailed(request_id=request.caller.request_id, reason=failed.message, cause=failed.cause)
            )
        return StoredImages(ids, stored=failed is None)


async def _store_all(
    store: ImageStore, ids: Sequence[str], pictures: Sequence[GeneratedImage]
) -> StoreUnavailable | None:
    """Keep all of them; why one could not be."""
    found = await asyncio.gather(*(_store_image(store, *pair) for pair in zip(ids, pictures, strict=True)))
    return next((each for each in found if each), None)


async def _store_image(store: ImageStore, picture_id: str, picture: GeneratedImage) -> StoreUnavailable | None:
    try:
        await store.keep(to_stored_name(picture_id), pybase64.b64decode(picture.base64, validate=True))
    except StoreUnavailable as failed:
        return failed
    except ValueError:
        return StoreUnavailable("The backend's picture cannot be decoded, so it cannot be kept.")
    return None
