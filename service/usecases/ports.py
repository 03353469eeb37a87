"""What the use cases need from outside, as protocols. Each has a fake in `tests/fakes`, and one suite runs on both.

Rule: a port speaks domain types only. A port that cannot do its work raises a `GatewayError`; `Backend` alone returns
its failures, because they are decided upon and not only reported.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from service.domain.headroom import Headroom
from service.domain.images import Reference, Size
from service.domain.kept import Brought, Kept
from service.domain.outcomes import Buffer, Outcome, Picture
from service.domain.ranges import Part
from service.domain.routing import Transcode
from service.usecases.events import Event
from service.usecases.requests import RequestListener, UpstreamRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The outcome of one call.

    Attributes:
        outcome: Images, or a failure.
        headrooms: The vendor's limits, as the headers of its reply have them.
        previews: Number of previews that the listener was sent.
    """

    outcome: Outcome
    headrooms: Sequence[Headroom] = ()
    previews: int = 0


class Backend(Protocol):
    """Something that makes images."""

    @property
    def relays_links(self) -> bool:
        """Whether a reference may be handed over as its https address, unfetched."""
        ...

    async def generate(self, request: UpstreamRequest, listener: RequestListener) -> Reply:
        """Make the call, once. Raises nothing for anything that the vendor or the network does."""
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
    """A kept picture, or a part of it: raw bytes, piece by piece; reading them can raise `StoreUnavailable`."""

    kept: Kept
    pieces: AsyncIterator[Buffer]


class PictureStore(Protocol):
    """Keeps pictures under names that cannot be guessed. Raises `StoreUnavailable` when it cannot, within seconds."""

    async def keep(self, name: str, body: Buffer) -> None:
        """Store bytes under a name; a name is written once, and what stands there already stays."""
        ...

    async def find(self, name: str) -> Kept:
        """What is known of the picture of that name. Raises `PictureNotFound`."""
        ...

    async def read(self, name: str, part: Part | None = None) -> StoredPicture:
        """The picture of that name, or a part that it is known to have. Raises `PictureNotFound`."""
        ...

    def listed(self) -> AsyncIterator[Sequence[Kept]]:
        """Everything that is there, in batches, also what was never finished and what is not ours."""
        ...

    async def forget(self, names: Sequence[str]) -> None:
        """Delete; what is not there any more is deleted."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FileQuery:
    """Which files to list: those of a team, by its mark, that are alive at `now`; at most so many.

    `after` is the id of a file, which is not listed. `keep_seconds` is how long files are kept at most.
    """

    mark: str
    now: datetime
    keep_seconds: float
    most: int
    descending: bool
    after: str | None = None


class FileIndex(Protocol):
    """Which files teams brought, for lists. It may lag behind the picture store, which alone knows what is there.

    Raises `BooksUnavailable` when it cannot be reached.
    """

    async def add(self, files: Sequence[Brought]) -> None:
        """List files from now on. A file that is known already, deleted or not, is left as it is."""
        ...

    async def delete(self, ids: Collection[str]) -> None:
        """List these files no longer, and forget what they were called. They stay places where lists go on."""
        ...

    async def page(self, query: FileQuery) -> Sequence[Brought] | None:
        """Files in the order of their times, and then of their ids. None: `after` is no place in the list."""
        ...

    async def unknown(self, ids: Collection[str]) -> Collection[str]:
        """Those of the ids that were never added."""
        ...

    def listed(self, before: datetime) -> AsyncIterator[Sequence[str]]:
        """The ids of all files that are listed and were written before a time, in batches."""
        ...

    async def expire(self, now: datetime, keep_seconds: float) -> None:
        """Forget every file whose time is over."""
        ...


class Observer(Protocol):
    """Is told what happened. Must not raise and must not block."""

    def __call__(self, event: Event) -> None:
        """Take note."""
        ...


def unobserved(event: Event) -> None:
    """Nobody is told."""


Backends = Mapping[str, Backend]
