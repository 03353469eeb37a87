"""What happened, written down: one line for each request, and one for whatever went wrong inside it.

Rule: this is the only module that logs. Lines are JSON unless they go to a terminal. They hold ids, sizes, times and
verdicts; no secrets, no picture bytes, and no prompts unless the operator asked for them.
"""

import logging
import sys
import warnings
from collections.abc import Mapping
from typing import TextIO, cast

import msgspec
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from service.adapters.logs.log_stream import LossyLogStream
from service.domain.request_labels import Outcome
from service.domain.routing import request_hash
from service.usecases.ports.events import RequestFinished
from service.usecases.ports.observer import Event, Observer

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


class EventLog(Observer):
    """The observer that logs. Of requests that went well it writes down a share, `sample`, and of others all.

    Which ones is a matter of their ids, so that all replicas agree, and whoever looks knows what to expect.
    """

    def __init__(self, sample: float = 1.0) -> None:
        self._sample_limit = round(sample * SAMPLE_BUCKETS)
        self._log = cast("FilteringBoundLogger", structlog.get_logger())

    def record(self, event: Event) -> None:
        """Write the line of an event, if it has one."""
        if type(event) is RequestFinished:
            self._log_request(event)
            return
        line = event.current_log_line()
        if line:
            self._log.log(line.level, line.message, **event.fields_to_log())

    def _log_request(self, event: RequestFinished) -> None:
        if event.path.startswith(QUIET_PATHS):
            return
        is_good = event.status < ERROR_STATUS and event.outcome is Outcome.SERVED  # a stream may fail after a 200
        if is_good and not self._is_sampled(event.request_id):
            return
        self._log.log(
            _request_level(event),
            event.log_line.message,
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
