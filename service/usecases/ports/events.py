"""What happens inside a request, told to whoever watches.

Rule: use cases and adapters say what happened; only `adapters/logs/event_log.py` decides what is logged, only
`adapters/metrics/` what is counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from service.domain.circuit_breaker import BreakerState
from service.domain.errors import FailureKind
from service.domain.ledger import Entry
from service.domain.quota_limits import Limit
from service.domain.request_labels import NO_LABELS, ApiOperation, Outcome, RequestLabels
from service.domain.state_snapshot import StateSnapshot
from service.usecases.ports.flights import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFinished:
    """One backend call is over. `failure` is None when it delivered; `cause` says more of it to operators."""

    request_id: str
    backend: str
    model: str
    seconds: float
    failure: FailureKind | None
    cause: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InFlightChanged:
    """A backend has so many pictures more in hand, or fewer (below 0). Whatever a call comes to, both are told."""

    backend: str
    images: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageStoreFailed:
    """A picture that was delivered inline could not be kept as well; the caller has it all the same."""

    request_id: str
    reason: str
    cause: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesDeleted:
    """That many kept pictures were old enough to be deleted."""

    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FileListOutdated:
    """The list of files could not be brought up to date; the next look through the picture store does it."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFinished:
    """One HTTP request is answered. `log_fields` are what handlers noted about it, ready to be written down.

    The rest is for counting, and holds no word of a caller's. `refused_limit` is the limit that had no room for it,
    `first_preview_seconds` how many seconds after it came its first preview went out.
    """

    request_id: str
    method: str
    path: str
    status: int
    milliseconds: float
    bytes_out: int
    log_fields: Mapping[str, object]
    team: str = ""
    operation: ApiOperation = ApiOperation.UNKNOWN
    outcome: Outcome = Outcome.SERVED
    labels: RequestLabels = NO_LABELS
    refused_limit: Limit | None = None
    first_preview_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Crashed:
    """A mistake of the gateway's own. `trace` holds places in the code, no values; `task` names a background task."""

    request_id: str
    error: str
    trace: tuple[str, ...]
    task: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingForLease:
    """This start waits: that replica counts for the ledger, since then."""

    holder: str
    since: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingForDatabase:
    """This start waits for the database of the ledger, at most so many seconds."""

    problem: str
    max_wait_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolerDetected:
    """The way to the database of the ledger leads through a pooler, such as PgBouncer."""

    database: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessFailing:
    """This process ends, for this reason, as soon as what is under way is finished."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedStoreRestarted:
    """The embedded server in that folder ended by itself with this code. It was started again and answers.

    `restarts` counts its ends within the last minute, this one included.
    """

    folder: str
    exit_code: int
    restarts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """The gateway accepts requests at `address`; `backends` are those that are on, metrics are at `metrics`.

    The admin API is at `admin`, which is empty where no key opens it.
    """

    address: str
    backends: tuple[str, ...]
    metrics: str = ""
    admin: str = ""


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
class EntryPosted:
    """A hold has ended with this entry, which is on its way to the books. Told once for each entry."""

    entry: Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldVoided:
    """A hold has ended with nothing: it was certainly not billed."""

    team: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldExpired:
    """Nobody came back for a hold. `booked`: at its quote, because its vendor may have been called."""

    team: str
    booked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreMemoryMeasured:
    """The part of its memory that the fullest server of money uses; None where no server has a bound."""

    ratio: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CountersRebuilt:
    """A team's counters were made again from the books."""

    team: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EntriesWritten:
    """That many entries are in the books."""

    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerBehind:
    """The books do not answer; `waiting` entries of this replica wait in the store's queue."""

    waiting: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerCaughtUp:
    """The books answer again."""

    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FlightResolved:
    """A request led a purchase, joined that of another replica, or found out that nobody knows what became of it."""

    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheFailed:
    """The store of results did not answer; it is taken for a miss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsReloaded:
    """A changed settings file is in force (`problem` is None), or was refused and the old one stays."""

    problem: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretReloaded:
    """What a file holds is the secret in force from now on. `secret` is the setting that names the file."""

    secret: str
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRejected:
    """What a secret's file holds now was refused, and the secret before stays. The problem names setting and file."""

    secret: str
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreUnsafe:
    """The server that a variable names is set up so that it may lose or refuse what it must not."""

    store: str
    problem: str
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreUnusable:
    """The server that a variable names cannot be used, since now or for another reason than before."""

    store: str
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreUsable:
    """It can be used again."""

    store: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLineLost:
    """A line of the log could not be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerChanged:
    """A backend was set aside for so many seconds because of `reason`, may be tried again, or is well (None)."""

    backend: str
    state: BreakerState
    reason: FailureKind | None
    open_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimitObserved:
    """A vendor said how much is left of a limit of its account; what it did not say is None."""

    backend: str
    model: str
    measure: str
    remaining: int
    limit: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GaugesCollected:
    """This is how things stand."""

    snapshot: StateSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopLagged:
    """A timer of the event loop fired so many seconds late."""

    lag_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShutdownWarning:
    """At the start: something in the settings has ended or ends soon; `problem` names its place."""

    problem: str


Event = (
    Listening
    | ModelShutdownWarning
    | AttemptFinished
    | InFlightChanged
    | ImageStoreFailed
    | ImagesDeleted
    | FileListOutdated
    | RequestFinished
    | Crashed
    | SettlementDelayed
    | QuoteExceeded
    | EntryPosted
    | HoldVoided
    | HoldExpired
    | CountersRebuilt
    | StoreMemoryMeasured
    | EntriesWritten
    | LedgerBehind
    | LedgerCaughtUp
    | SettingsReloaded
    | SecretReloaded
    | SecretRejected
    | ProcessFailing
    | WaitingForLease
    | WaitingForDatabase
    | PoolerDetected
    | EmbeddedStoreRestarted
    | StoreUnsafe
    | StoreUnusable
    | StoreUsable
    | BreakerChanged
    | LogLineLost
    | RateLimitObserved
    | FlightResolved
    | CacheFailed
    | GaugesCollected
    | LoopLagged
)
