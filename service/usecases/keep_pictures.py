"""Keep pictures where they can be fetched by address, and taken up again by their ids.

Rule: a caller who asked for addresses gets them or a clear error; a picture that goes out inline is kept as well unless
the operator does not want it, and if that fails the caller does not notice.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pybase64

from service.domain.errors import InvalidValue, StoreUnavailable
from service.domain.kept import name_of, new_id
from service.domain.outcomes import Picture
from service.domain.teams import Team
from service.usecases.buy_pictures import Made
from service.usecases.events import StoreFailed
from service.usecases.ports import Observer, PictureStore


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepPictures:
    """The use case. `mint` gives 32 random hex digits; `keep_all` keeps inline pictures too."""

    store: PictureStore | None
    mint: Callable[[], str]
    observe: Observer
    keep_all: bool

    def check(self, *, linked: bool) -> None:
        """Raise `InvalidValue` if addresses are asked for and there is nowhere to keep pictures."""
        if linked and self.store is None:
            raise InvalidValue(
                "response_format url is not supported: this gateway has no picture store. Use b64_json.",
                param="response_format",
            )

    async def __call__(self, made: Made, team: Team, request_id: str, *, linked: bool) -> tuple[str, ...]:
        """The ids of the pictures, all kept if `linked`.

        Raises:
            StoreUnavailable: `linked` and the store does not take them.
        """
        drawn = made.purchase.output_format or made.spec.output_format
        ids = tuple(new_id(team.name, drawn, self.mint()) for _ in made.purchase.pictures)
        if self.store is None or not (linked or self.keep_all):
            return ids
        pairs = zip(ids, made.purchase.pictures, strict=True)
        found = await asyncio.gather(*(_keep(self.store, *pair) for pair in pairs))
        failed = next((each for each in found if each), None)
        if failed and linked:
            raise failed
        if failed:
            self.observe(StoreFailed(request_id=request_id, reason=failed.message))
        return ids


async def _keep(store: PictureStore, picture_id: str, picture: Picture) -> StoreUnavailable | None:
    """Keep one picture, or say why not."""
    try:
        await store.keep(name_of(picture_id), pybase64.b64decode(picture.base64, validate=True))
    except StoreUnavailable as failed:
        return failed
    except ValueError:
        return StoreUnavailable("The backend's picture cannot be decoded, so it cannot be kept.")
    return None
