"""Port of the result store: results of earlier requests."""

from dataclasses import dataclass, replace
from typing import Protocol

from service.domain.generation import Generation


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was bought, as it is kept for others: enough to answer, and to say what was saved.

    `created` is in Unix seconds, `stored_at` in microseconds since 1970, `cost` in nano-USD. `ids` are those of the
    pictures; `images_stored` says whether the picture store has them. `request_id` is of the request that it was bought
    for. `notes` are for that request only and are not kept.
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
    """The same without the pictures themselves."""
    images = tuple(replace(image, base64=b"") for image in result.generation.images)
    return replace(result, generation=replace(result.generation, images=images))


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultStats:
    """What is kept: how many results, of how many bytes."""

    results: int
    size_bytes: int


class ResultStore(Protocol):
    """Results by team and name. Raises nothing."""

    async def get(self, team: str, name: str) -> Result | None:
        """The result of that name, whole and unharmed, or None."""
        ...

    async def put(self, team: str, name: str, result: Result, seconds: float) -> bool:
        """Keep a result for so many seconds. False if it is too large or the store is away."""
        ...

    async def purge(self, team: str | None, model: str | None) -> int | None:
        """Forget the results of a team, of a model, of both or all. How many; None if the store is away."""
        ...

    async def stats(self, team: str | None, model: str | None) -> ResultStats | None:
        """Count the same."""
        ...
