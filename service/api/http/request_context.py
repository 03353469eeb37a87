"""The context of a request: the facts that its handler and its middleware share while it is served.

Rule: each HTTP request has one context, which `request_middleware.py` puts into its ASGI scope. Headers in the context
go out with the response, whether that is an image or an error.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, cast

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.types import Scope

from service.domain.quota_limits import Limit
from service.domain.request_labels import NO_LABELS, Outcome, RequestLabels
from service.domain.team_access import Key

CONTEXT_KEY = "image_gateway"
FAULT_KEY = "image_gateway_refused"
"""Entry of the ASGI scope for an error that the connection found, before or while the application reads."""

CLIENT_GONE_STATUS = 499

Http = Request[Any, Any, Any]
Connection = ASGIConnection[Any, Any, Any, Any]


class RequestProgress(Enum):
    """The step that a request has reached. One that waits for the purchase of another request stays `STARTED`."""

    NOT_STARTED = "nothing"
    STARTED = "begun"
    ADMITTED = "admitted"
    SENT = "asked"

    @property
    def may_be_billed(self) -> bool:
        """Whether a vendor may have been called."""
        return self in {RequestProgress.STARTED, RequestProgress.SENT}


@dataclass(slots=True)
class RequestContext:
    """The state of one request while it is served.

    Attributes:
        request_id: The id in logs and in `x-request-id`.
        started_at: Monotonic seconds at which the request arrived.
        monotonic: Gives monotonic seconds.
        key: The key of the caller, as soon as it is authenticated.
        labels: Metric labels.
        outcome: Metric label of the outcome.
        refused_limit: The limit that refused the request.
        progress: The step that the request has reached.
        first_preview_seconds: Seconds from `started_at` to the first preview.
        is_head: Whether the response goes out without its body.
        model: The model that the path names.
        log_fields: Fields of the log line.
        headers: Headers of the response, whatever it is.
        status: Status of the response; 499 until it starts.
        bytes_out: Bytes of the body that were sent.
    """

    request_id: str
    started_at: float
    monotonic: Callable[[], float]
    key: Key | None = None
    labels: RequestLabels = NO_LABELS
    outcome: Outcome = Outcome.SERVED
    refused_limit: Limit | None = None
    progress: RequestProgress = RequestProgress.NOT_STARTED
    first_preview_seconds: float | None = None
    is_head: bool = False
    model: str | None = None
    log_fields: dict[str, object] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    status: int = CLIENT_GONE_STATUS
    bytes_out: int = 0

    def log(self, **fields: object) -> None:
        """Add fields to the log line. Fields that are None are left out."""
        self.log_fields |= {name: fact for name, fact in fields.items() if fact is not None}

    def record_first_preview(self) -> None:
        """Record the time of the first preview."""
        if self.first_preview_seconds is None:
            self.first_preview_seconds = self.monotonic() - self.started_at


def request_context(scope: Scope) -> RequestContext:
    """Return the context in an ASGI scope."""
    return cast("RequestContext", scope[CONTEXT_KEY])  # type: ignore[literal-required]  # our own entry in the ASGI scope
