"""Results in memory, by the same rules as the real ones and by a clock that tests set."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass, replace

from service.domain.limit_errors import SECOND
from service.usecases.ports.result_store import Result, ResultStats
from tests.fakes.quota_store import NOW


@dataclass(frozen=True, slots=True)
class StoredResult:
    """A result, how many bytes its pictures have, and the microsecond at which it is gone."""

    result: Result
    size: int
    gone: int


class FakeResultStore:
    """The port in memory. `now` is its clock; while `down` everything is a miss."""

    def __init__(self, *, most_bytes: int = 16_000_000, now: int = NOW) -> None:
        self.now = now
        self.down = False
        self._most = most_bytes
        self._kept: dict[tuple[str, str], StoredResult] = {}

    async def get(self, team: str, name: str) -> Result | None:
        """The result, with its base64 as bytes of its own."""
        kept = self._kept.get((team, name))
        return None if self.down or kept is None or kept.gone <= self.now else kept.result

    async def put(self, team: str, name: str, result: Result, seconds: float) -> bool:
        """Keep a copy."""
        pictures = tuple(replace(each, base64=bytes(each.base64)) for each in result.purchase.pictures)
        try:
            size = sum(len(base64.b64decode(each.base64, validate=True)) for each in pictures)
        except ValueError:
            return False
        if self.down or size > self._most or seconds <= 0:
            return False
        copy = replace(result, purchase=replace(result.purchase, pictures=pictures))
        self._kept[team, name] = StoredResult(copy, size, self.now + round(seconds * SECOND))
        return True

    async def purge(self, team: str | None, model: str | None) -> int | None:
        """Forget; how many."""
        if self.down:
            return None
        gone = [*self._chosen(team, model)]
        for key in gone:
            del self._kept[key]
        return len(gone)

    async def stats(self, team: str | None, model: str | None) -> ResultStats | None:
        """Count."""
        if self.down:
            return None
        sizes = [self._kept[key].size for key in self._chosen(team, model)]
        return ResultStats(results=len(sizes), size=sum(sizes))

    def _chosen(self, team: str | None, model: str | None) -> Iterator[tuple[str, str]]:
        for key, kept in self._kept.items():
            if kept.gone > self.now and team in (None, key[0]) and model in (None, kept.result.model):
                yield key
