"""The cache of results: how long a result is kept, for which requests, and where its images are if the cache lost them.

Rule: a result serves a request only if team, spec, variant and allowed backends are those of the request it was bought
for (`flight_names.py`).

Fails with: `StoreUnavailable` when the cache has no images and the image store does not answer.
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
    """Seconds that results are kept (0: not at all), and whether teams share them."""

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
        """Return how long the result of a request is kept: the team's setting, else the model's, else the gateway's."""
        settings = (request.caller.key.team.cache_seconds, request.model.cache_seconds)
        return next((seconds for seconds in settings if seconds is not None), self.policy.seconds)

    def shares(self, request: ImageRequest) -> bool:
        """Tell whether a result that was bought for another request may serve this one."""
        return request.terms.allow_cached and not request.terms.has_relayed_links and self.seconds(request) > 0

    def key(self, request: ImageRequest) -> CacheKey:
        """Return the key that the result of a request has."""
        return cache_key(request, shared=self.policy.shared)

    async def get(self, key: CacheKey, max_age: int | None) -> CachedResult | None:
        """Return the result of a key if it is younger than `max_age` seconds; None is any age."""
        result = None if max_age == 0 else await self.results.get(key.scope, key.name)
        if result is None:
            return None
        age = max(0, int(self.now().timestamp() - result.stored_at / MICROSECONDS))
        return CachedResult(result=result, age=age) if max_age is None or age < max_age else None

    async def put(self, key: CacheKey, result: Result, seconds: float) -> bool:
        """Keep a result for a number of seconds. False if the cache does not take it."""
        return await self.results.put(key.scope, key.name, result, seconds)

    async def find(self, key: CacheKey, landed: Result) -> Result | None:
        """Return a result with its images: from the cache, else from the image store. None if neither has them."""
        return await self.results.get(key.scope, key.name) or await self._read_stored(landed)

    async def _read_stored(self, landed: Result) -> Result | None:
        if not landed.images_stored:
            return None
        bought = landed.generation
        try:
            bodies = [await self.images.read_all(to_stored_name(image_id)) for image_id in landed.ids]
        except NotFoundError:
            return None
        pairs = zip(bought.images, bodies, strict=True)
        images = tuple(replace(image, base64=pybase64.b64encode(body)) for image, body in pairs)
        return replace(landed, generation=replace(bought, images=images))
