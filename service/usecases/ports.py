"""What the use cases need from outside, as protocols. Each has a fake in `tests/fakes`, and one suite runs on both.

Rule: a port speaks domain types only. A port that cannot do its work raises a `GatewayError`; `Backend` alone returns
its failures, because they are decided upon and not only reported.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from service.domain.catalog import Route
from service.domain.images import Reference, Size, Spec
from service.domain.outcomes import Buffer, Outcome, Picture
from service.domain.pricing import Price
from service.domain.routing import Transcode
from service.usecases.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One upstream call: what to draw, along which route, at which price, for which request."""

    spec: Spec
    route: Route
    price: Price
    request_id: str


class Backend(Protocol):
    """Something that draws."""

    @property
    def relays_links(self) -> bool:
        """May a caller's picture be handed over as its https address, unfetched?"""
        ...

    async def buy(self, order: Order) -> Outcome:
        """Make the call, once. Never raises for anything the vendor or the network does."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a picture file turned out to be. `media_type` is such as image/png."""

    media_type: str
    size: Size
    alpha: bool


class Darkroom(Protocol):
    """Looks into pictures and develops them into other formats."""

    async def look(self, reference: Reference) -> Look:
        """Read the header of a picture at hand. Raises `UnreadableFile` naming its `param`."""
        ...

    async def measure(self, picture: Picture) -> Look | None:
        """The same for a bought picture; None where the format has no pixels (svg). Raises `UnreadableFile`."""
        ...

    async def develop(self, picture: Picture, transcode: Transcode) -> Picture:
        """The picture in another format. Raises `UnreadableFile` where the vendor's bytes are not a picture."""
        ...


class LinkReader(Protocol):
    """Fetches pictures that callers link to, guarded against being pointed at the inside of the network."""

    async def fetch(self, reference: Reference) -> Reference:
        """The reference with its bytes. Raises `UnreachableLink`, `TooLarge` or `UnreadableFile` naming its param."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPicture:
    """A kept picture: raw bytes and their media type."""

    media_type: str
    body: Buffer


class PictureStore(Protocol):
    """Keeps pictures under names that cannot be guessed. Raises `StoreUnavailable` when it cannot."""

    async def keep(self, name: str, picture: Picture) -> None:
        """Store a picture under a name whose ending says its format; a name is written once."""
        ...

    async def read(self, name: str) -> StoredPicture:
        """The picture of that name. Raises `PictureNotFound`."""
        ...


class Observer(Protocol):
    """Is told what happened. Must not raise and must not block."""

    def __call__(self, event: Event) -> None:
        """Take note."""
        ...


Backends = Mapping[str, Backend]
