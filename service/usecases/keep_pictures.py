"""Keep pictures where they can be fetched by address.

Rule: a caller who asked for addresses gets them or a clear error; a picture that goes out inline is kept as well where
the operator wants it, and if that fails the caller does not notice.
"""

from collections.abc import Callable
from dataclasses import dataclass

from service.domain.errors import InvalidValue, StoreUnavailable
from service.domain.links import picture_id
from service.domain.teams import Team
from service.usecases.events import StoreFailed
from service.usecases.make_images import Made
from service.usecases.ports import Observer, PictureStore

ENDINGS = {"jpeg": "jpg"}


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
        ids = tuple(picture_id(team.name, self.mint()) for _ in made.purchase.pictures)
        if self.store is None or not (linked or self.keep_all):
            return ids
        try:
            for name, picture in zip(file_names(made, ids), made.purchase.pictures, strict=True):
                await self.store.keep(name, picture)
        except StoreUnavailable as failed:
            if linked:
                raise
            self.observe(StoreFailed(request_id=request_id, reason=failed.message))
        return ids


def file_names(made: Made, ids: tuple[str, ...]) -> tuple[str, ...]:
    """What the pictures are called in the store and in links: id and ending."""
    drawn = made.purchase.output_format or made.spec.output_format
    return tuple(f"{picture}.{ENDINGS.get(drawn, drawn)}" for picture in ids)
