"""Shared health of backends in memory, by the rules of the real one and by a clock that tests set."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from service.domain.errors import StateUnavailable
from service.domain.limit_errors import SECOND
from service.usecases.ports.shared_health import (
    Cap,
    CapReached,
    Caps,
    HealthUpdate,
    SharedHealth,
    SharedOpening,
    SlotRequest,
)
from tests.fakes.minutes import Minute
from tests.fakes.quota_store import NOW

PROBE = 15 * SECOND


@dataclass(slots=True)
class BackendState:
    """State of one backend. Times are microseconds since 1970."""

    version: int = 0
    opening: SharedOpening | None = None
    ends: int = 0
    blocked: dict[str, int] = field(default_factory=dict)
    probe: str = ""
    probe_ends: int = 0
    calls: dict[str, int] = field(default_factory=dict)
    minutes: dict[Cap, Minute] = field(default_factory=dict)


class FakeSharedHealth:
    """The port in memory. `now` is its clock; while `down` it is unavailable; `asked` are the calls so far."""

    def __init__(self, *, now: int = NOW) -> None:
        self.now = now
        self.down = False
        self.asked: list[str] = []
        self._states: dict[str, BackendState] = {}

    def forget(self) -> None:
        """Empty the store."""
        self._states.clear()

    async def sync(self, backend: str, update: HealthUpdate) -> SharedHealth:
        post = self._find("sync", backend)
        taken = update.change is not None and self._counts(post, update)
        if update.change and taken:
            post.version = max(self.now, post.version + 1)
            post.opening = update.change.opening
            post.ends = self.now + _micros(post.opening.seconds if post.opening else 0)
        if update.probe and self._probe(post) == update.probe:
            post.probe_ends = self.now + PROBE
        for model, seconds in update.blocked.items():
            post.blocked[model] = max(post.blocked.get(model, 0), self.now + _micros(seconds))
        return SharedHealth(
            version=post.version, opening=self._opening(post), blocked=self._blocked(post), is_accepted=taken
        )

    async def claim_probe(self, backend: str, name: str, version: int) -> bool:
        post = self._find("claim_probe", backend)
        if post.version not in {0, version} or self._probe(post):
            return False
        post.probe, post.probe_ends = name, self.now + PROBE
        return True

    async def acquire_slots(self, backend: str, request: SlotRequest, caps: Caps) -> CapReached | None:
        post = self._find("acquire_slots", backend)
        post.calls = {name: ends for name, ends in post.calls.items() if self.now < ends}
        if caps.concurrent and len(post.calls) + request.calls > caps.concurrent:
            return CapReached(cap=Cap.CONCURRENT, wait_seconds=None if request.calls > caps.concurrent else 0)
        asked = [
            (Cap.REQUESTS, caps.requests_per_minute, request.calls),
            (Cap.IMAGES, caps.images_per_minute, request.images),
        ]
        capped = [(post.minutes.setdefault(cap, Minute()), cap, most, amount) for cap, most, amount in asked if most]
        waits = [
            CapReached(
                cap=cap, wait_seconds=None if amount > most else (minute.wait(amount, most, self.now) or 0) / SECOND
            )
            for minute, cap, most, amount in capped
            if amount > most or minute.wait(amount, most, self.now)
        ]
        if waits:
            return max(waits, key=lambda full: float("inf") if full.wait_seconds is None else full.wait_seconds)
        for minute, _, _, amount in capped:
            minute.add(amount, self.now)
        if caps.concurrent:
            post.calls |= {
                f"{request.name}:{number}": self.now + _micros(request.lease_seconds) for number in range(request.calls)
            }
        return None

    async def release_slots(self, backend: str, slots: Sequence[tuple[str, int]]) -> None:
        post = self._find("release_slots", backend)
        for name, calls in slots:
            for number in range(calls):
                post.calls.pop(f"{name}:{number}", None)
            if self._probe(post) == name:
                post.probe = ""

    def _find(self, verb: str, backend: str) -> BackendState:
        self.asked.append(verb)
        if self.down:
            raise StateUnavailable("The gateway's state does not answer.")
        return self._states.setdefault(backend, BackendState())

    def _counts(self, post: BackendState, update: HealthUpdate) -> bool:
        change = update.change
        if change is None:
            return False
        longer = change.opening and post.opening and self.now + _micros(change.opening.seconds) > post.ends
        return post.version in {0, change.base_version} or bool(longer)

    def _probe(self, post: BackendState) -> str:
        return post.probe if self.now < post.probe_ends else ""

    def _opening(self, post: BackendState) -> SharedOpening | None:
        if post.opening is None:
            return None
        left = max(0, post.ends - self.now) / SECOND
        return SharedOpening(reason=post.opening.reason, seconds=left, openings=post.opening.openings)

    def _blocked(self, post: BackendState) -> Mapping[str, float]:
        return {model: (ends - self.now) / SECOND for model, ends in post.blocked.items() if ends > self.now}


def _micros(seconds: float) -> int:
    return round(seconds * SECOND)


class AwaitedSharedHealth(FakeSharedHealth):
    """A store whose test can wait until a method was called a number of times."""

    def __init__(self, verb: str, times: int = 1) -> None:
        super().__init__()
        self._verb, self._times = verb, times
        self._reached = asyncio.Event()

    def _find(self, verb: str, backend: str) -> BackendState:
        post = super()._find(verb, backend)
        if self.asked.count(self._verb) >= self._times:
            self._reached.set()
        return post

    async def reached(self) -> None:
        async with asyncio.timeout(10):
            await self._reached.wait()
