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
class PicturesForgotten:
    """That many kept pictures were old enough to be deleted."""

    count: int


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


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementDelayed:
    """A hold could not be ended because the store does not answer; it is tried again."""

    hold_id: str
    team: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteExceeded:
    """A purchase cost more than the worst case that was held for it, in nano-USD. The price entry needs a look."""

    request_id: str
    model: str
    backend: str
    quote: int
    cost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldExpired:
    """Nobody came back for a hold. `booked`: at its quote, because its vendor may have been called."""

    team: str
    booked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CountersRebuilt:
    """A team's counters were made again from the books."""

    team: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BooksBehind:
    """The books do not answer; `waiting` entries of this replica wait in the store's queue."""

    waiting: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BooksCaughtUp:
    """The books answer again."""

    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsReloaded:
    """A changed settings file is in force (`problem` is None), or was refused and the old one stays."""

    problem: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreUnsafe:
    """The server that a variable names is set up so that it may lose or refuse what it must not."""

    store: str
    problem: str
    advice: str


Event = (
    Listening
    | AttemptFinished
    | StoreFailed
    | PicturesForgotten
    | RequestFinished
    | Crashed
    | SettlementDelayed
    | QuoteExceeded
    | HoldExpired
    | CountersRebuilt
    | BooksBehind
    | BooksCaughtUp
    | SettingsReloaded
    | StoreUnsafe
)
