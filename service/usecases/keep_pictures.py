"""Keep pictures where they can be fetched by address, and taken up again by their ids.

Rule: every picture that is delivered has an id of its team. It is kept where its caller wants an address, and inline
pictures as well unless the operator does not want them. A store that fails is told to the observer and remembered with
the result; only who wants an address gets to know.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pybase64

from service.domain.errors import InvalidValue, PictureNotFound, StoreUnavailable
from service.domain.kept import name_of, new_id, owned_name
from service.domain.outcomes import Picture, Purchase
from service.usecases.events import StoreFailed
from service.usecases.flights import Result
from service.usecases.ports import Observer, PictureStore
from service.usecases.requests import ImageRequest


@dataclass(frozen=True, slots=True)
class Keeping:
    """The ids of pictures, and whether all of them lie in the store."""

    ids: tuple[str, ...]
    stored: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepPictures:
    """The use case. `mint` gives 32 random hex digits; `keep_all` keeps inline pictures too.

    Ids of results that are older than `fresh_seconds` are not handed out again: their pictures are about to go.
    """

    store: PictureStore | None
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

    async def __call__(self, purchase: Purchase, request: ImageRequest) -> Keeping:
        """Keep what was bought, under new ids."""
        drawn = purchase.output_format or request.spec.output_format
        team = request.caller.key.team.name
        return await self._kept(purchase, tuple(new_id(team, drawn, self.mint()) for _ in purchase.pictures), request)

    async def again(self, result: Result, request: ImageRequest, age: int) -> Keeping:
        """The same for a result that is `age` seconds old: under its ids, if they are this team's to use."""
        team = request.caller.key.team.name
        if age >= self.fresh_seconds or not all(owned_name(team, picture) for picture in result.ids):
            return await self(result.purchase, request)
        if not request.linked or (result.stored and await self._are_there(result.ids)):
            return Keeping(result.ids, result.stored)
        return await self._kept(result.purchase, result.ids, request)

    async def _are_there(self, ids: Sequence[str]) -> bool:
        """Has nobody deleted them? A store that does not answer has what it took."""
        try:
            await asyncio.gather(*(self.store.find(name_of(picture)) for picture in ids if self.store))
        except PictureNotFound:
            return False
        except StoreUnavailable:
            return True
        return True

    async def _kept(self, purchase: Purchase, ids: tuple[str, ...], request: ImageRequest) -> Keeping:
        if self.store is None or not (request.linked or self.keep_all):
            return Keeping(ids, stored=False)
        failed = await _keep_each(self.store, ids, purchase.pictures)
        if failed:
            self.observe(StoreFailed(request_id=request.caller.request_id, reason=failed.message, cause=failed.cause))
        return Keeping(ids, stored=failed is None)


async def _keep_each(store: PictureStore, ids: Sequence[str], pictures: Sequence[Picture]) -> StoreUnavailable | None:
    """Keep all of them; why one could not be."""
    found = await asyncio.gather(*(_keep(store, *pair) for pair in zip(ids, pictures, strict=True)))
    return next((each for each in found if each), None)


async def _keep(store: PictureStore, picture_id: str, picture: Picture) -> StoreUnavailable | None:
    try:
        await store.keep(name_of(picture_id), pybase64.b64decode(picture.base64, validate=True))
    except StoreUnavailable as failed:
        return failed
    except ValueError:
        return StoreUnavailable("The backend's picture cannot be decoded, so it cannot be kept.")
    return None
