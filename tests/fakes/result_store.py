"""Results in memory, by the same rules as the real ones and by a clock that tests set."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass, replace

from service.domain.limit_errors import SECOND
from service.usecases.ports.result_store import Result, ResultStats
from tests.fakes.quota_store import NOW


@dataclass(frozen=True, slots=True)
class StoredResult:
    """A result, the bytes of its images, and its end in microseconds since 1970."""

    result: Result
    size: int
    gone: int


class FakeResultStore:
    """The port in memory. `now` is its clock; while `down` everything is a miss."""

    def __init__(self, *, max_bytes: int = 16_000_000, now: int = NOW) -> None:
        self.now = now
        self.down = False
        self._max_bytes = max_bytes
        self._stored: dict[tuple[str, str], StoredResult] = {}

    async def get(self, team: str, name: str) -> Result | None:
        stored = self._stored.get((team, name))
        return None if self.down or stored is None or stored.gone <= self.now else stored.result

    async def put(self, team: str, name: str, result: Result, seconds: float) -> bool:
        images = tuple(replace(image, base64=bytes(image.base64)) for image in result.generation.images)
        try:
            size = sum(len(base64.b64decode(image.base64, validate=True)) for image in images)
        except ValueError:
            return False
        if self.down or size > self._max_bytes or seconds <= 0:
            return False
        copy = replace(result, generation=replace(result.generation, images=images))
        self._stored[team, name] = StoredResult(copy, size, self.now + round(seconds * SECOND))
        return True

    async def purge(self, team: str | None, model: str | None) -> int | None:
        if self.down:
            return None
        gone = [*self._chosen(team, model)]
        for key in gone:
            del self._stored[key]
        return len(gone)

    async def stats(self, team: str | None, model: str | None) -> ResultStats | None:
        if self.down:
            return None
        sizes = [self._stored[key].size for key in self._chosen(team, model)]
        return ResultStats(results=len(sizes), size_bytes=sum(sizes))

    def _chosen(self, team: str | None, model: str | None) -> Iterator[tuple[str, str]]:
        for key, stored in self._stored.items():
            if stored.gone > self.now and team in (None, key[0]) and model in (None, stored.result.model):
                yield key
