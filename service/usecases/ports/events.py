"""Events that use cases and adapters report to the observer, each with its line in the log.

Rule: an event is one class here. `adapters/metrics/observer.py` has an entry for each event that is counted. No
logged field holds a secret, image bytes, or a prompt unless the operator enabled `logs.prompts`.

Fails with: `TypeError` when an event without a valid `log_line` is defined.
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
from service.usecases.ports.observer import Event, LogLevel, LogLine


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening(Event):
    """The gateway accepts requests at `address`. `backends` are enabled. `admin` is empty without an admin key."""

    log_line = LogLine(LogLevel.INFO, "listening")
    address: str
    backends: tuple[str, ...]
    metrics: str = ""
    admin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShutdownWarning(Event):
    """A setting that has ended or ends soon, reported at the start. `problem` names its place."""

    log_line = LogLine(LogLevel.WARNING, "model ends")
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFinished(Event):
    """An answered HTTP request.

    Handlers added `log_fields`. Fields from `team` on are for metrics and hold no text of a caller. `refused_limit` is
    the limit that refused the request. `first_preview_seconds` runs from the request to its first preview.
    """

    log_line = LogLine(LogLevel.INFO, "request")
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
class AttemptFinished(Event):
    """A finished backend call; `failure` is None if it delivered. Only a failed call is logged, with its `cause`."""

    log_line = LogLine(LogLevel.WARNING, "attempt failed")
    request_id: str
    backend: str
    model: str
    seconds: float
    failure: FailureKind | None
    cause: str | None = None

    def current_log_line(self) -> LogLine | None:
        return None if self.failure is None else self.log_line

    def fields_to_log(self) -> Mapping[str, object]:
        return {
            "request_id": self.request_id,
            "backend": self.backend,
            "model": self.model,
            "ms": round(self.seconds * 1000, 1),
            "failure": self.failure and self.failure.value,
            "cause": self.cause,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class InFlightChanged(Event):
    """A change of the number of images that a backend is generating; negative after a call. Changes add up to 0."""

    log_line = None
    backend: str
    images: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimitObserved(Event):
    """A rate limit of the account as the vendor reported it. `limit` is None if the vendor did not report it."""

    log_line = None
    backend: str
    model: str
    measure: str
    remaining: int
    limit: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerChanged(Event):
    """A change of a backend's circuit breaker. `reason` is the failure that opened it; None once it is closed."""

    log_line = LogLine(LogLevel.INFO, "breaker")
    backend: str
    state: BreakerState
    reason: FailureKind | None
    open_seconds: float

    def current_log_line(self) -> LogLine | None:
        return LogLine(LogLevel.WARNING, "breaker") if self.state is BreakerState.OPEN else self.log_line


@dataclass(frozen=True, slots=True, kw_only=True)
class FlightResolved(Event):
    """A request that led a flight, joined the flight of another replica, or lost the flight with its leader."""

    log_line = None
    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheFailed(Event):
    """A failed access to the result store. The gateway treats it as a miss."""

    log_line = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageStoreFailed(Event):
    """An image that could not be stored. The caller received it inline."""

    log_line = LogLine(LogLevel.WARNING, "image not stored")
    request_id: str
    reason: str
    cause: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesDeleted(Event):
    """Stored images deleted at the end of their lifetime."""

    log_line = LogLine(LogLevel.INFO, "images deleted")
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FileListOutdated(Event):
    """A failed update of the list of files. The next pass over the image store repeats the update."""

    log_line = LogLine(LogLevel.WARNING, "list of files not up to date")
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementDelayed(Event):
    """A hold that could not be ended, because Redis does not answer. The gateway tries again."""

    log_line = LogLine(LogLevel.WARNING, "settlement delayed")
    hold_id: str
    team: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteExceeded(Event):
    """A call that cost more than its hold, in nano-USD. The price in `models.yaml` is too low."""

    log_line = LogLine(LogLevel.ERROR, "quote exceeded")
    request_id: str
    model: str
    backend: str
    quote: int
    cost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryPosted(Event):
    """A hold that ended with an entry, which will be written to the ledger. Reported once for each entry."""

    log_line = None
    entry: Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldVoided(Event):
    """A hold that ended without an entry, because no vendor can have billed its call."""

    log_line = None
    team: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldExpired(Event):
    """A hold whose replica did not end it. `booked`: posted at its quote, because the vendor may have been called."""

    log_line = LogLine(LogLevel.WARNING, "hold expired")
    team: str
    booked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CountersRebuilt(Event):
    """A rebuild of a team's counters from the ledger."""

    log_line = LogLine(LogLevel.INFO, "counters rebuilt")
    team: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EntriesWritten(Event):
    """Entries written to the ledger."""

    log_line = None
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerOutageStarted(Event):
    """The ledger's database does not answer; `waiting` entries of this replica wait in Redis."""

    log_line = LogLine(LogLevel.ERROR, "ledger unavailable")
    waiting: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerOutageEnded(Event):
    """The ledger's database answers again; `waiting` entries of this replica wait in Redis."""

    log_line = LogLine(LogLevel.INFO, "ledger available again")
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingForDatabase(Event):
    """A start that waits for the ledger's database, for at most `max_wait_seconds`."""

    log_line = LogLine(LogLevel.WARNING, "waiting for the database")
    problem: str
    max_wait_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolerDetected(Event):
    """A connection pooler, such as PgBouncer, between the gateway and the ledger's database."""

    log_line = LogLine(LogLevel.INFO, "database behind a pooler")
    database: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingForLease(Event):
    """A start that waits for the lease of the ledger. `holder` is a replica that has had it since `since`."""

    log_line = LogLine(LogLevel.WARNING, "waiting for the lease")
    holder: str
    since: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessFailing(Event):
    """The reason why this process ends as soon as its requests have finished."""

    log_line = LogLine(LogLevel.CRITICAL, "fatal error")
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedStoreRestarted(Event):
    """A restart of an embedded Valkey that ended by itself. `restarts` counts restarts within the last minute."""

    log_line = LogLine(LogLevel.ERROR, "embedded store restarted")
    folder: str
    exit_code: int
    restarts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreMemoryMeasured(Event):
    """The used share of the memory of the fullest quota server; None if no server has maxmemory set."""

    log_line = None
    ratio: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreUnsafe(Event):
    """A server configured so that it may lose or refuse data that it must keep. `store` is its variable."""

    log_line = LogLine(LogLevel.WARNING, "store unsafe")
    store: str
    problem: str
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreUnusable(Event):
    """A server that became unusable, or is now unusable for another reason. `store` is its variable."""

    log_line = LogLine(LogLevel.ERROR, "store unusable")
    store: str
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreUsable(Event):
    """A server that is usable again. `store` is its variable."""

    log_line = LogLine(LogLevel.INFO, "store usable again")
    store: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Crashed(Event):
    """An unexpected error of the gateway. `trace` holds places in the code, no values; `task` is a background task."""

    log_line = LogLine(LogLevel.ERROR, "crash")
    request_id: str
    error: str
    trace: tuple[str, ...]
    task: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLineLost(Event):
    """A log line that could not be written."""

    log_line = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLinesLost(Event):
    """Log lines that were lost until a line could be written again."""

    log_line = LogLine(LogLevel.ERROR, "log lines lost")
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsReloaded(Event):
    """A reload of changed settings files. `problem` is None if they are in force, else the reason of the refusal."""

    log_line = LogLine(LogLevel.INFO, "settings reloaded")
    problem: str | None

    def current_log_line(self) -> LogLine | None:
        return self.log_line if self.problem is None else LogLine(LogLevel.ERROR, "settings refused")

    def fields_to_log(self) -> Mapping[str, object]:
        return {} if self.problem is None else {"problem": self.problem}


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretReloaded(Event):
    """A secret that was read from its changed file and is in force. `secret` is the setting that names the file."""

    log_line = LogLine(LogLevel.INFO, "secret renewed")
    secret: str
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRejected(Event):
    """A changed secret that was refused; the previous secret stays. `problem` names the setting and the file."""

    log_line = LogLine(LogLevel.ERROR, "secret refused")
    secret: str
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GaugesCollected(Event):
    """A collected snapshot of budgets, keys and backlogs."""

    log_line = None
    snapshot: StateSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopLagged(Event):
    """The delay of a timer of the event loop."""

    log_line = None
    lag_seconds: float
