"""What happened, written down: one line for each request, and one for whatever went wrong inside it.

Rule: this is the only module that logs. Lines are JSON unless they go to a terminal. They hold ids, sizes, times and
verdicts; no secrets, no picture bytes, and no prompts unless the operator asked for them.
"""

import logging
import sys
from typing import TextIO, cast

import structlog
from structlog.typing import FilteringBoundLogger, Processor

from service.usecases.events import AttemptFinished, Crashed, Event, Listening, RequestFinished, StoreFailed

QUIET_PATHS = ("/health/",)


def configure_logs(stream: TextIO = sys.stdout) -> None:
    """Send everything, the server's own messages included, to one place in one form."""
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: Processor = (
        structlog.dev.ConsoleRenderer(pad_event_to=0) if stream.isatty() else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[*shared, last],
        logger_factory=structlog.PrintLoggerFactory(stream),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=last, foreign_pre_chain=shared))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


class Telemetry:
    """The observer that logs."""

    def __init__(self) -> None:
        self._log = cast("FilteringBoundLogger", structlog.get_logger())

    def __call__(self, event: Event) -> None:
        """Take note."""
        match event:
            case RequestFinished():
                self._request(event)
            case AttemptFinished():
                self._attempt(event)
            case Listening():
                self._log.info("listening", address=event.address, backends=event.backends)
            case StoreFailed():
                self._log.warning("picture not kept", request_id=event.request_id, reason=event.reason)
            case Crashed():
                self._log.error("crash", request_id=event.request_id, error=event.error, trace=event.trace)

    def _request(self, event: RequestFinished) -> None:
        if event.path.startswith(QUIET_PATHS):
            return
        self._log.info(
            "request",
            request_id=event.request_id,
            method=event.method,
            path=event.path[:200],
            status=event.status,
            ms=round(event.milliseconds, 1),
            bytes=event.bytes_out,
            **event.facts,
        )

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
        )
