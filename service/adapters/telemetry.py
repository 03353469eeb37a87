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

from service.adapters.log_lines import LogLines
from service.domain.health import State
from service.domain.marks import Verdict
from service.domain.routing import lot
from service.usecases.events import (
    AttemptFinished,
    BooksBehind,
    BooksCaughtUp,
    BreakerChanged,
    CacheFailed,
    CannotGoOn,
    CountersRebuilt,
    Crashed,
    DatabaseAwaited,
    DrawingChanged,
    EntriesWritten,
    EntryPosted,
    Event,
    FilesUnlisted,
    FlightTaken,
    HeadroomHeard,
    HoldExpired,
    HoldVoided,
    LeaseAwaited,
    Listening,
    LogLineLost,
    LoopLagged,
    ModelEnding,
    PicturesForgotten,
    PoolerFound,
    QuoteExceeded,
    ReadingsTaken,
    RequestFinished,
    SecretRefused,
    SecretRenewed,
    SettingsReloaded,
    SettlementDelayed,
    StoreFailed,
    StoreMemoryRead,
    StoreRestarted,
    StoreUnsafe,
    StoreUnusable,
    StoreUsable,
)

LEVELS: Mapping[Verdict, int] = {
    Verdict.UPSTREAM_REJECTED: logging.WARNING,
    Verdict.UPSTREAM_LIMITED: logging.WARNING,
    Verdict.UPSTREAM_FAILED: logging.WARNING,
    Verdict.UNAVAILABLE: logging.WARNING,
    Verdict.INTERNAL: logging.ERROR,
}
"""Of a request's line, by how the request ended; others are `info`, because the caller alone can mend them."""

OPERATORS = frozenset(
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

LOTS = 1_000_000
CAREFUL = structlog.processors.JSONRenderer()  # takes anything, in ten times as long
FAULTY = 400  # from this status on every request is written down
QUIET_PATHS = ("/health/",)
PLAIN: Mapping[type, tuple[int, str]] = {
    Listening: (logging.INFO, "listening"),
    ModelEnding: (logging.WARNING, "model ends"),
    StoreFailed: (logging.WARNING, "picture not kept"),
    PicturesForgotten: (logging.INFO, "pictures forgotten"),
    FilesUnlisted: (logging.WARNING, "list of files not up to date"),
    SettlementDelayed: (logging.WARNING, "settlement delayed"),
    HoldExpired: (logging.WARNING, "hold expired"),
    QuoteExceeded: (logging.ERROR, "quote exceeded"),
    CountersRebuilt: (logging.INFO, "counters rebuilt"),
    BooksBehind: (logging.ERROR, "ledger behind"),
    BooksCaughtUp: (logging.INFO, "ledger caught up"),
    DatabaseAwaited: (logging.WARNING, "waiting for the database"),
    PoolerFound: (logging.INFO, "database behind a pooler"),
    LeaseAwaited: (logging.WARNING, "waiting for the lease"),
    CannotGoOn: (logging.CRITICAL, "cannot go on"),
    StoreRestarted: (logging.ERROR, "embedded store restarted"),
    StoreUnsafe: (logging.WARNING, "store unsafe"),
    StoreUnusable: (logging.ERROR, "store unusable"),
    StoreUsable: (logging.INFO, "store usable again"),
    Crashed: (logging.ERROR, "crash"),
    SecretRenewed: (logging.INFO, "secret renewed"),
    SecretRefused: (logging.ERROR, "secret refused"),
}
"""Events that are written down as they are."""

UNTOLD = frozenset(
    {
        DrawingChanged,
        EntryPosted,
        HoldVoided,
        EntriesWritten,
        FlightTaken,
        CacheFailed,
        ReadingsTaken,
        LoopLagged,
        HeadroomHeard,
        StoreMemoryRead,
        LogLineLost,
    },
)
"""Events that are for counting."""


def _level_of(event: RequestFinished) -> int:
    """How urgent the line of a request is: by who has to act, not by the status, which a stream sends beforehand."""
    level = LEVELS.get(event.verdict, logging.INFO)
    return logging.ERROR if level > logging.INFO and event.facts.get("error") in OPERATORS else level


def configure_logs(stream: TextIO = sys.stdout) -> LogLines:
    """Send everything, the server's own messages included, to one place in one form. Returns that place."""
    lines = LogLines(stream, lambda count: structlog.get_logger().error("log lines lost", count=count))
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: Processor = structlog.dev.ConsoleRenderer(pad_event_to=0) if stream.isatty() else in_json
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


def in_json(logger: WrappedLogger, name: str, event: EventDict) -> str:
    """One line. Whatever is not ASCII is escaped, so that no terminal takes it for an order to itself."""
    try:
        line = msgspec.json.encode(event, enc_hook=repr).decode("ascii")
    except ValueError:  # there is something else, or half a character
        return cast("str", CAREFUL(logger, name, event))
    return line


class Telemetry:
    """The observer that logs. Of requests that went well it writes down a share, `sample`, and of others all.

    Which ones is a matter of their ids, so that all replicas agree, and whoever looks knows what to expect.
    """

    def __init__(self, sample: float = 1.0) -> None:
        self._most = round(sample * LOTS)
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
                level = logging.WARNING if event.state is State.OPEN else logging.INFO
                self._log.log(level, "breaker", **asdict(event))
            case _ if type(event) in UNTOLD:
                return
            case _:
                level, name = PLAIN[type(event)]
                self._log.log(level, name, **asdict(event))

    def _request(self, event: RequestFinished) -> None:
        if event.path.startswith(QUIET_PATHS):
            return
        went_well = event.status < FAULTY and event.verdict is Verdict.SERVED  # a stream may fail after a 200
        if went_well and not self._is_drawn(event.request_id):
            return
        self._log.log(
            _level_of(event),
            "request",
            request_id=event.request_id,
            method=event.method,
            path=event.path[:200],
            status=event.status,
            ms=round(event.milliseconds, 1),
            bytes=event.bytes_out,
            **event.facts,
        )

    def _is_drawn(self, request_id: str) -> bool:
        return self._most >= LOTS or lot(request_id) % LOTS < self._most

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
