"""What happens inside a request, told to whoever watches.

Rule: use cases and adapters say what happened; only `adapters/telemetry.py` decides what is logged or counted.
"""

from dataclasses import dataclass

from service.domain.errors import FailureKind


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFinished:
    """One backend call is over. `failure` is None when it delivered."""

    request_id: str
    backend: str
    model: str
    seconds: float
    failure: FailureKind | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFailed:
    """A picture that was delivered inline could not be kept as well; the caller has it all the same."""

    request_id: str
    reason: str


Event = AttemptFinished | StoreFailed
