"""Port of the result store: results of earlier requests, for identical requests.

Fails with: nothing. A store that is away or has a damaged result answers None or False, as with a miss.
"""

from dataclasses import dataclass, replace
from typing import Protocol

from service.domain.generation import Generation


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A generation, with everything that a response and its ledger entry need.

    Attributes:
        created: Unix seconds.
        cost: Nano-USD.
        stored_at: Microseconds since 1970.
        ids: Ids of the images.
        images_stored: Whether the image store has the images.
        request_id: Id of the request that the images were generated for.
        notes: Notes for that request only; the store does not keep them.
    """

    model: str
    backend: str
    upstream_model: str
    price_version: str
    generation: Generation
    created: int
    cost: int
    stored_at: int
    ids: tuple[str, ...]
    images_stored: bool
    request_id: str
    notes: tuple[str, ...] = ()


def without_images(result: Result) -> Result:
    """Return a copy without the bytes of the images."""
    images = tuple(replace(image, base64=b"") for image in result.generation.images)
    return replace(result, generation=replace(result.generation, images=images))


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultStats:
    """Number and total bytes of stored results."""

    results: int
    size_bytes: int


class ResultStore(Protocol):
    """Results by team and name."""

    async def get(self, team: str, name: str) -> Result | None:
        """Return the result of that name, or None if it is missing or damaged."""
        ...

    async def put(self, team: str, name: str, result: Result, seconds: float) -> bool:
        """Store a result for `seconds`. Returns False if it is too large or the store is away."""
        ...

    async def purge(self, team: str | None, model: str | None) -> int | None:
        """Delete the results of a team, of a model, of both or all.

        Returns the number of deleted results, or None if the store is away.
        """
        ...

    async def stats(self, team: str | None, model: str | None) -> ResultStats | None:
        """Count the results of a team, of a model, of both or all. None if the store is away."""
        ...
