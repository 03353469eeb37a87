"""What happens inside a request, told to whoever watches.

Rule: use cases and adapters say what happened; only `adapters/telemetry.py` decides what is logged or counted.
"""

from collections.abc import Mapping
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


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFinished:
    """One HTTP request is answered. `facts` are what handlers noted about it, ready to be written down."""

    request_id: str
    method: str
    path: str
    status: int
    milliseconds: float
    bytes_out: int
    facts: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crashed:
    """A mistake of the gateway's own. `trace` holds places in the code, no values."""

    request_id: str
    error: str
    trace: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """The gateway accepts requests at `address`; `backends` are those that are on."""

    address: str
    backends: tuple[str, ...]


Event = Listening | AttemptFinished | StoreFailed | RequestFinished | Crashed
