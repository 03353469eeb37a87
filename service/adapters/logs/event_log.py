"""Log of events: one line for each request, and one for each other event that has a line.

Rule: the gateway logs in this module only. Lines are JSON, except on a terminal. Lines have ids, sizes, durations and
outcomes. No line has a secret or image bytes; prompts appear only if the operator enabled them.

Fails with: nothing; a line that cannot be written is lost and counted (`nonblocking_writer`).
"""

import logging
import sys
import warnings
from collections.abc import Mapping
from typing import TextIO, cast

import msgspec
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from service.adapters.logs.nonblocking_writer import NonblockingWriter
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
"""Level of a request's line. All other outcomes are `info`, because only the caller can change them."""

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
"""Codes of errors that last until an operator acts. Lines of such requests are `error`."""

SAMPLE_BUCKETS = 1_000_000
SLOW_RENDERER = structlog.processors.JSONRenderer()  # encodes any value, in ten times as long
ERROR_STATUS = 400  # from this status on every request is logged
QUIET_PATHS = ("/health/",)


def _request_level(event: RequestFinished) -> int:
    """Return the level: the outcome decides, because a stream sends its status before it can fail."""
    level = LEVEL_BY_OUTCOME.get(event.outcome, logging.INFO)
    return logging.ERROR if level > logging.INFO and event.log_fields.get("error") in OPERATOR_ERROR_CODES else level


def configure_logging(stream: TextIO = sys.stdout) -> NonblockingWriter:
    """Send all log lines, including those of the server, to one writer in one format. Return the writer."""
    writer = NonblockingWriter(stream, EventLog())
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: Processor = structlog.dev.ConsoleRenderer(pad_event_to=0) if stream.isatty() else render_json
    structlog.configure(
        processors=[*shared, last],
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", writer)),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(writer)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=last, foreign_pre_chain=shared))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)
    warnings.filterwarnings("ignore", module=r"PIL\.")  # Pillow warns about a caller's image, and quotes it
    return writer


def render_json(logger: WrappedLogger, name: str, event: EventDict) -> str:
    """Return one line. Characters outside of ASCII are escaped, because a terminal could run them as commands."""
    try:
        line = msgspec.json.encode(event, enc_hook=repr).decode("ascii")
    except ValueError:  # a value that msgspec cannot encode, or a lone surrogate
        return cast("str", SLOW_RENDERER(logger, name, event))
    return line


class EventLog(Observer):
    """Observer that logs. It logs the share `sample` of the successful requests, and all failed requests.

    The id of a request decides whether it is in the sample, so all replicas agree.
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
