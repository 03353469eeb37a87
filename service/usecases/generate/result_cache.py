"""The cache of results, and the image store behind it.

Rule: a result serves a request only if both have the same team, spec, variant and allowed backends (`flight_names.py`).
If the cache has lost a result, its images may still be in the image store.

Fails with: `StoreUnavailable` if neither the cache has the images nor the image store answers.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import pybase64

from service.domain.errors import NotFoundError
from service.domain.stored_images import to_stored_name
from service.usecases.generate.flight_names import CacheKey, cache_key
from service.usecases.images.read_images import ReadImages
from service.usecases.ports.requests import ImageRequest
from service.usecases.ports.result_store import Result, ResultStore

MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePolicy:
    """Seconds for which results are cached (0: not at all), and whether teams share them."""

    seconds: int
    shared: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedResult:
    """A result, and its age in seconds."""

    result: Result
    age: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultCache:
    """Results by scope and name. `now` gives an aware UTC time."""

    results: ResultStore
    images: ReadImages
    policy: CachePolicy
    now: Callable[[], datetime]

    def seconds(self, request: ImageRequest) -> int:
        """Return seconds for which a result is cached, by the setting of the team, else the model, else the gateway."""
        settings = (request.caller.key.team.cache_seconds, request.model.cache_seconds)
        return next((seconds for seconds in settings if seconds is not None), self.policy.seconds)

    def shares(self, request: ImageRequest) -> bool:
        """Tell whether the result of another request may serve this one."""
        return request.terms.allow_cached and not request.terms.has_relayed_links and self.seconds(request) > 0

    def key(self, request: ImageRequest) -> CacheKey:
        """Return the cache key of a request."""
        return cache_key(request, shared=self.policy.shared)

    async def get(self, key: CacheKey, max_age: int | None) -> CachedResult | None:
        """Return the result of a key if it is younger than `max_age` seconds; None allows any age."""
        result = None if max_age == 0 else await self.results.get(key.scope, key.name)
        if result is None:
            return None
        age = max(0, int(self.now().timestamp() - result.stored_at / MICROSECONDS))
        return CachedResult(result=result, age=age) if max_age is None or age < max_age else None

    async def put(self, key: CacheKey, result: Result, seconds: float) -> bool:
        """Cache a result for a number of seconds. Returns False if the cache does not accept it."""
        return await self.results.put(key.scope, key.name, result, seconds)

    async def find(self, key: CacheKey, finished: Result) -> Result | None:
        """Return a result with its images: from the cache, else from the image store. None if neither has them."""
        return await self.results.get(key.scope, key.name) or await self._read_stored(finished)

    async def _read_stored(self, finished: Result) -> Result | None:
        if not finished.images_stored:
            return None
        generation = finished.generation
        try:
            bodies = [await self.images.read_all(to_stored_name(image_id)) for image_id in finished.ids]
        except NotFoundError:
            return None
        pairs = zip(generation.images, bodies, strict=True)
        images = tuple(replace(image, base64=pybase64.b64encode(body)) for image, body in pairs)
        return replace(finished, generation=replace(generation, images=images))
