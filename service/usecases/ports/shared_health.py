"""What replicas share about the accounts at backends, as a port: openings, who probes, and how much was taken.

Rule: a fake, and one suite on both. Everything is by backend and by the store's clock, so times go in
and out as seconds from now. Every verb raises `StateUnavailable` while the store does not answer; what nobody gives
back goes by itself when its lease is over.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from service.domain.errors import FailureKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """What an account takes from all replicas together; None is no cap.

    `concurrent` are calls under way, `requests_per_minute` calls, `images_per_minute` pictures asked for.
    """

    concurrent: int | None = None
    requests_per_minute: int | None = None
    images_per_minute: int | None = None

    @property
    def has_any(self) -> bool:
        """Is there one?"""
        return (self.concurrent, self.requests_per_minute, self.images_per_minute) != (None, None, None)


class Cap(StrEnum):
    """Which cap. The values are the names in `gateway.yaml`."""

    CONCURRENT = "concurrent"
    REQUESTS = "requests_per_minute"
    IMAGES = "images_per_minute"


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotRequest:
    """Calls that are admitted together. Their slots end after `lease_seconds` unless they are released."""

    name: str
    calls: int
    images: int
    lease_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CapReached:
    """There is no room under a cap for so many seconds, or never (None): more is asked for than the whole cap.

    When calls under way end nobody knows, so the wait for one of them is 0.
    """

    cap: Cap
    wait_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedOpening:
    """A breaker that is open for so many more seconds; with none left it is half-open."""

    reason: FailureKind
    seconds: float
    openings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerChange:
    """A replica's breaker was opened or (None) closed. `base_version` is the version that it had heard of before."""

    base_version: int
    opening: SharedOpening | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthUpdate:
    """What one replica tells the others: its change, models to leave in peace, and whose probe is still under way."""

    change: BreakerChange | None = None
    blocked: Mapping[str, float] = field(default_factory=dict)
    probe: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedHealth:
    """What all replicas know of a backend. Version 0: nothing; versions grow.

    `is_accepted`: the change that was told just now is what they know. `blocked` is by upstream model, in seconds.
    """

    version: int = 0
    opening: SharedOpening | None = None
    blocked: Mapping[str, float] = field(default_factory=dict)
    is_accepted: bool = False


class SharedHealthStore(Protocol):
    """What all replicas have in common."""

    async def sync(self, backend: str, update: HealthUpdate) -> SharedHealth:
        """Tell and hear.

        A change counts if nobody changed the breaker since its base; of two openings the one that lasts longer does. A
        probe that is still under way keeps its lease.
        """
        ...

    async def claim_probe(self, backend: str, name: str, version: int) -> bool:
        """Become the one that probes, unless another is or the breaker has changed since that version."""
        ...

    async def acquire_slots(self, backend: str, request: SlotRequest, caps: Caps) -> CapReached | None:
        """Take calls and pictures of the account, all or none; which cap was in the way."""
        ...

    async def release_slots(self, backend: str, slots: Sequence[tuple[str, int]]) -> None:
        """Turns, with their numbers of calls, are over: they neither call nor probe any more."""
        ...
