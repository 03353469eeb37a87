"""Port of the state that replicas share about vendors' accounts: breaker openings, probes, blocked models and caps.

Rule: all state is per backend and by the store's clock, so times are passed as seconds from now. A slot or a probe that
is not released ends with its lease.

Fails with: `StateUnavailable` while the store does not answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from service.domain.errors import FailureKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """Caps of an account over all replicas; None is no cap.

    Attributes:
        concurrent: Calls under way.
        requests_per_minute: Calls in any minute.
        images_per_minute: Requested images in any minute.
    """

    concurrent: int | None = None
    requests_per_minute: int | None = None
    images_per_minute: int | None = None

    @property
    def has_any(self) -> bool:
        """Whether the account has a cap."""
        return (self.concurrent, self.requests_per_minute, self.images_per_minute) != (None, None, None)


class Cap(StrEnum):
    """A cap by its name in `gateway.yaml`."""

    CONCURRENT = "concurrent"
    REQUESTS = "requests_per_minute"
    IMAGES = "images_per_minute"


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotRequest:
    """Request for the admission of calls together. They count until released, at most for `lease_seconds`."""

    name: str
    calls: int
    images: int
    lease_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CapReached:
    """Refusal of a slot, with the cap that has no room.

    Attributes:
        wait_seconds: Seconds until there may be room. None is never: the request is larger than the cap. 0 stands for
            an unknown time, because the end of a running call is not known.
    """

    cap: Cap
    wait_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedOpening:
    """Opening of a breaker.

    Attributes:
        seconds: Remaining seconds; with 0 the breaker is half-open.
        openings: Number of openings since the breaker was last closed.
    """

    reason: FailureKind
    seconds: float
    openings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerChange:
    """Change of the account's breaker by one replica.

    Attributes:
        base_version: Shared version that the replica knew before the change.
        opening: The new opening; None closes the breaker.
    """

    base_version: int
    opening: SharedOpening | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthUpdate:
    """Update of the shared health by one replica.

    Attributes:
        change: Change of the breaker, if there is one.
        blocked: Seconds in which a model is not called, by upstream model.
        probe: Name of the replica's running probe, or empty.
    """

    change: BreakerChange | None = None
    blocked: Mapping[str, float] = field(default_factory=dict)
    probe: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedHealth:
    """Shared health of one backend.

    Attributes:
        version: Version of the breaker, which grows with each change; 0 if the store knows no change.
        opening: The account's opening; None if the breaker is closed.
        blocked: Seconds in which a model is not called, by upstream model.
        is_accepted: Whether the change of this update was accepted and is the current state.
    """

    version: int = 0
    opening: SharedOpening | None = None
    blocked: Mapping[str, float] = field(default_factory=dict)
    is_accepted: bool = False


class SharedHealthStore(Protocol):
    """The shared state of all backends."""

    async def sync(self, backend: str, update: HealthUpdate) -> SharedHealth:
        """Send an update and return the shared health.

        A change is accepted if no replica changed the breaker after its base version. Of two openings the one that ends
        later is accepted. The lease of a running probe is extended.
        """
        ...

    async def claim_probe(self, backend: str, name: str, version: int) -> bool:
        """Become the only probe. Returns False if another one runs or the breaker changed after `version`."""
        ...

    async def acquire_slots(self, backend: str, request: SlotRequest, caps: Caps) -> CapReached | None:
        """Count calls and images against the caps, all or none. Returns the cap that has no room."""
        ...

    async def release_slots(self, backend: str, slots: Sequence[tuple[str, int]]) -> None:
        """End slots and the probes of that name. A slot is its name and its number of calls."""
        ...
