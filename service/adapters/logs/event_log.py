"""What happened, written down: one line for each request, and one for whatever went wrong inside it.

Rule: this is the only module that logs. Lines are JSON unless they go to a terminal. They hold ids, sizes, times and
verdicts; no secrets, no picture bytes, and no prompts unless the operator asked for them.
"""

import logging
import sys
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from typing import TextIO, cast

import msgspec
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from service.adapters.logs.log_stream import LossyLogStream
from service.domain.circuit_breaker import BreakerState
from service.domain.request_labels import Outcome
from service.domain.routing import request_hash
from service.usecases.ports.events import (
    AttemptFinished,
    BreakerChanged,
    CacheFailed,
    CountersRebuilt,
    Crashed,
    EmbeddedStoreRestarted,
    EntriesWritten,
    EntryPosted,
    Event,
    FileListOutdated,
    FlightResolved,
    GaugesCollected,
    HoldExpired,
    HoldVoided,
    ImagesDeleted,
    ImageStoreFailed,
    InFlightChanged,
    LedgerBehind,
    LedgerCaughtUp,
    Listening,
    LogLineLost,
    LoopLagged,
    ModelShutdownWarning,
    PoolerDetected,
    ProcessFailing,
    QuoteExceeded,
    RateLimitObserved,
    RequestFinished,
    SecretRejected,
    SecretReloaded,
    SettingsReloaded,
    SettlementDelayed,
    StoreMemoryMeasured,
    StoreUnsafe,
    StoreUnusable,
    StoreUsable,
    WaitingForDatabase,
    WaitingForLease,
)

LEVEL_BY_OUTCOME: Mapping[Outcome, int] = {
    Outcome.UPSTREAM_REJECTED: logging.WARNING,
    Outcome.UPSTREAM_LIMITED: logging.WARNING,
    Outcome.UPSTREAM_FAILED: logging.WARNING,
    Outcome.UNAVAILABLE: logging.WARNING,
    Outcome.INTERNAL: logging.ERROR,
}
"""Of a request's line, by how the request ended; others are `info`, because the caller alone can mend them."""

OPERATOR_ERROR_CODES = frozenset(
    {
        "upstream_auth_error",
        "insufficient_quota",
        "state_unavailable",
        "storage_unavailable",
        "ledger_unavailable",
        "loop_detected",
    }
)
"""Codes of errors that last until an operator acts: their lines are `error`."""

SAMPLE_BUCKETS = 1_000_000
SLOW_RENDERER = structlog.processors.JSONRenderer()  # takes anything, in ten times as long
ERROR_STATUS = 400  # from this status on every request is written down
QUIET_PATHS = ("/health/",)
PLAIN_EVENTS: Mapping[type, tuple[int, str]] = {
    Listening: (logging.INFO, "listening"),
    ModelShutdownWarning: (logging.WARNING, "model ends"),
    ImageStoreFailed: (logging.WARNING, "image not stored"),
    ImagesDeleted: (logging.INFO, "images deleted"),
    FileListOutdated: (logging.WARNING, "list of files not up to date"),
    SettlementDelayed: (logging.WARNING, "settlement delayed"),
    HoldExpired: (logging.WARNING, "hold expired"),
    QuoteExceeded: (logging.ERROR, "quote exceeded"),
    CountersRebuilt: (logging.INFO, "counters rebuilt"),
    LedgerBehind: (logging.ERROR, "ledger unavailable"),
    LedgerCaughtUp: (logging.INFO, "ledger available again"),
    WaitingForDatabase: (logging.WARNING, "waiting for the database"),
    PoolerDetected: (logging.INFO, "database behind a pooler"),
    WaitingForLease: (logging.WARNING, "waiting for the lease"),
    ProcessFailing: (logging.CRITICAL, "fatal error"),
    EmbeddedStoreRestarted: (logging.ERROR, "embedded store restarted"),
    StoreUnsafe: (logging.WARNING, "store unsafe"),
    StoreUnusable: (logging.ERROR, "store unusable"),
    StoreUsable: (logging.INFO, "store usable again"),
    Crashed: (logging.ERROR, "crash"),
    SecretReloaded: (logging.INFO, "secret renewed"),
    SecretRejected: (logging.ERROR, "secret refused"),
}
"""Events that are written down as they are."""

UNLOGGED_EVENTS = frozenset(
    {
        InFlightChanged,
        EntryPosted,
        HoldVoided,
        EntriesWritten,
        FlightResolved,
        CacheFailed,
        GaugesCollected,
        LoopLagged,
        RateLimitObserved,
        StoreMemoryMeasured,
        LogLineLost,
    },
)
"""Events that are for counting."""


def _request_level(event: RequestFinished) -> int:
    """How urgent the line of a request is: by who has to act, not by the status, which a stream sends beforehand."""
    level = LEVEL_BY_OUTCOME.get(event.outcome, logging.INFO)
    return logging.ERROR if level > logging.INFO and event.log_fields.get("error") in OPERATOR_ERROR_CODES else level


def configure_logging(stream: TextIO = sys.stdout) -> LossyLogStream:
    """Send everything, the server's own messages included, to one place in one form. Returns that place."""
    lines = LossyLogStream(stream, lambda count: structlog.get_logger().error("log lines lost", count=count))
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: Processor = structlog.dev.ConsoleRenderer(pad_event_to=0) if stream.isatty() else render_json
    structlog.configure(
        processors=[*shared, last],
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", lines)),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(lines)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=last, foreign_pre_chain=shared))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)
    warnings.filterwarnings("ignore", module=r"PIL\.")  # a line for each oddity of a caller's picture, in its words
    return lines


def render_json(logger: WrappedLogger, name: str, event: EventDict) -> str:
    """One line. Whatever is not ASCII is escaped, so that no terminal takes it for an order to itself."""
    try:
        line = msgspec.json.encode(event, enc_hook=repr).decode("ascii")
    except ValueError:  # there is something else, or half a character
        return cast("str", SLOW_RENDERER(logger, name, event))
    return line


class EventLog:
    """The observer that logs. Of requests that went well it writes down a share, `sample`, and of others all.

    Which ones is a matter of their ids, so that all replicas agree, and whoever looks knows what to expect.
    """

    def __init__(self, sample: float = 1.0) -> None:
        self._sample_limit = round(sample * SAMPLE_BUCKETS)
        self._log = cast("FilteringBoundLogger", structlog.get_logger())

    def __call__(self, event: Event) -> None:
        """Take note."""
        match event:
            case RequestFinished():
                self._request(event)
            case AttemptFinished():
                self._attempt(event)
            case SettingsReloaded():
                self._reloaded(event)
            case BreakerChanged():
                level = logging.WARNING if event.state is BreakerState.OPEN else logging.INFO
                self._log.log(level, "breaker", **asdict(event))
            case _ if type(event) in UNLOGGED_EVENTS:
                return
            case _:
                level, name = PLAIN_EVENTS[type(event)]
                self._log.log(level, name, **asdict(event))

    def _request(self, event: RequestFinished) -> None:
        if event.path.startswith(QUIET_PATHS):
            return
        went_well = event.status < ERROR_STATUS and event.outcome is Outcome.SERVED  # a stream may fail after a 200
        if went_well and not self._is_sampled(event.request_id):
            return
        self._log.log(
            _request_level(event),
            "request",
            request_id=event.request_id,
            method=event.method,
            path=event.path[:200],
            status=event.status,
            ms=round(event.milliseconds, 1),
            bytes=event.bytes_out,
            **event.log_fields,
        )

    def _is_sampled(self, request_id: str) -> bool:
        return self._sample_limit >= SAMPLE_BUCKETS or request_hash(request_id) % SAMPLE_BUCKETS < self._sample_limit

    def _attempt(self, event: AttemptFinished) -> None:
        if event.failure is None:
            return
        self._log.warning(
            "attempt failed",
            request_id=event.request_id,
            backend=event.backend,
            model=event.model,
            ms=round(event.seconds * 1000, 1),
            failure=event.failure.value,
            cause=event.cause,
        )

    def _reloaded(self, event: SettingsReloaded) -> None:
        if event.problem is None:
            self._log.info("settings reloaded")
        else:
            self._log.error("settings refused", problem=event.problem)
