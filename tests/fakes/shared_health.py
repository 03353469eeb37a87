"""What replicas share about backends, in memory, by the same rules as the real one and by a clock that tests set."""

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
    """Everything known of one backend. Times are microseconds since 1970."""

    version: int = 0
    opening: SharedOpening | None = None
    ends: int = 0
    blocked: dict[str, int] = field(default_factory=dict)
    probe: str = ""
    probe_ends: int = 0
    calls: dict[str, int] = field(default_factory=dict)
    minutes: dict[Cap, Minute] = field(default_factory=dict)


class FakeSharedHealth:
    """The port in memory. `now` is its clock; while `down` it is unavailable; `asked` are the verbs so far."""

    def __init__(self, *, now: int = NOW) -> None:
        self.now = now
        self.down = False
        self.asked: list[str] = []
        self._posts: dict[str, BackendState] = {}

    def forget(self) -> None:
        """The store is emptied."""
        self._posts.clear()

    async def exchange(self, backend: str, news: HealthUpdate) -> SharedHealth:
        """Tell and hear."""
        post = self._find("exchange", backend)
        taken = news.change is not None and self._counts(post, news)
        if news.change and taken:
            post.version = max(self.now, post.version + 1)
            post.opening = news.change.opening
            post.ends = self.now + _micros(post.opening.seconds if post.opening else 0)
        if news.probe and self._probe(post) == news.probe:
            post.probe_ends = self.now + PROBE
        for model, seconds in news.blocked.items():
            post.blocked[model] = max(post.blocked.get(model, 0), self.now + _micros(seconds))
        return SharedHealth(version=post.version, opening=self._opening(post), blocked=self._blocked(post), taken=taken)

    async def probe(self, backend: str, name: str, version: int) -> bool:
        """Become the one that probes."""
        post = self._find("probe", backend)
        if post.version not in {0, version} or self._probe(post):
            return False
        post.probe, post.probe_ends = name, self.now + PROBE
        return True

    async def enter(self, backend: str, party: SlotRequest, caps: Caps) -> CapReached | None:
        """Take calls and pictures of the account, all or none."""
        post = self._find("enter", backend)
        post.calls = {name: ends for name, ends in post.calls.items() if self.now < ends}
        if caps.concurrent and len(post.calls) + party.calls > caps.concurrent:
            return CapReached(cap=Cap.CONCURRENT, wait=None if party.calls > caps.concurrent else 0)
        asked = [
            (Cap.REQUESTS, caps.requests_per_minute, party.calls),
            (Cap.IMAGES, caps.images_per_minute, party.pictures),
        ]
        capped = [(post.minutes.setdefault(cap, Minute()), cap, most, amount) for cap, most, amount in asked if most]
        waits = [
            CapReached(cap=cap, wait=None if amount > most else (minute.wait(amount, most, self.now) or 0) / SECOND)
            for minute, cap, most, amount in capped
            if amount > most or minute.wait(amount, most, self.now)
        ]
        if waits:
            return max(waits, key=lambda full: float("inf") if full.wait is None else full.wait)
        for minute, _, _, amount in capped:
            minute.add(amount, self.now)
        if caps.concurrent:
            post.calls |= {f"{party.name}:{number}": self.now + _micros(party.lease) for number in range(party.calls)}
        return None

    async def leave(self, backend: str, turns: Sequence[tuple[str, int]]) -> None:
        """Turns are over."""
        post = self._find("leave", backend)
        for name, calls in turns:
            for number in range(calls):
                post.calls.pop(f"{name}:{number}", None)
            if self._probe(post) == name:
                post.probe = ""

    def _find(self, verb: str, backend: str) -> BackendState:
        self.asked.append(verb)
        if self.down:
            raise StateUnavailable("The gateway's state does not answer.")
        return self._posts.setdefault(backend, BackendState())

    def _counts(self, post: BackendState, news: HealthUpdate) -> bool:
        change = news.change
        if change is None:
            return False
        longer = change.opening and post.opening and self.now + _micros(change.opening.seconds) > post.ends
        return post.version in {0, change.base} or bool(longer)

    def _probe(self, post: BackendState) -> str:
        return post.probe if self.now < post.probe_ends else ""

    def _opening(self, post: BackendState) -> SharedOpening | None:
        if post.opening is None:
            return None
        left = max(0, post.ends - self.now) / SECOND
        return SharedOpening(reason=post.opening.reason, seconds=left, in_a_row=post.opening.in_a_row)

    def _blocked(self, post: BackendState) -> Mapping[str, float]:
        return {model: (ends - self.now) / SECOND for model, ends in post.blocked.items() if ends > self.now}


def _micros(seconds: float) -> int:
    return round(seconds * SECOND)
