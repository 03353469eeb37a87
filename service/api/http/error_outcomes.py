"""Outcomes of requests: the metric label of every error.

Rule: an error decides the outcome, also after the response has started with status 200. An error outside of the tables
has the outcome of its status in `errors.py`.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from litestar.exceptions import HTTPException
from litestar.response.base import Response

from service.api.http.errors import ROWS
from service.api.http.request_context import Http, request_context
from service.domain.errors import BackendFailed, FailureKind, GatewayError, LimitExceeded, NotCached
from service.domain.request_labels import Outcome

E = TypeVar("E", bound=Exception)

OUTCOME_BY_STATUS: Mapping[int, Outcome] = {
    401: Outcome.UNAUTHENTICATED,
    403: Outcome.FORBIDDEN,
    404: Outcome.NOT_FOUND,
    405: Outcome.NOT_FOUND,
    409: Outcome.CONFLICT,
    410: Outcome.CONFLICT,
    422: Outcome.CONFLICT,
    429: Outcome.LIMITED,
    499: Outcome.CLIENT_GONE,
    503: Outcome.UNAVAILABLE,
    508: Outcome.UPSTREAM_FAILED,
}
"""Status → outcome. Other statuses are `invalid` below 500, and `internal` from 500 on."""

OUTCOME_BY_FAILURE: Mapping[FailureKind, Outcome] = {
    FailureKind.INVALID_REQUEST: Outcome.INVALID,
    FailureKind.MODERATION_BLOCKED: Outcome.MODERATED,
    FailureKind.MODEL_NOT_FOUND: Outcome.UPSTREAM_REJECTED,
    FailureKind.NOT_PERMITTED: Outcome.UPSTREAM_REJECTED,
    FailureKind.AUTH_FAILED: Outcome.UPSTREAM_FAILED,
    FailureKind.FORBIDDEN: Outcome.UPSTREAM_FAILED,
    FailureKind.RATE_LIMITED: Outcome.UPSTREAM_LIMITED,
    FailureKind.QUOTA_EXHAUSTED: Outcome.UPSTREAM_LIMITED,
    FailureKind.OVERLOADED: Outcome.UPSTREAM_FAILED,
    FailureKind.SERVER_ERROR: Outcome.UPSTREAM_FAILED,
    FailureKind.UNREACHABLE: Outcome.UPSTREAM_FAILED,
    FailureKind.BUSY: Outcome.UNAVAILABLE,
    FailureKind.SET_ASIDE: Outcome.UPSTREAM_FAILED,
    FailureKind.TIMED_OUT: Outcome.UPSTREAM_FAILED,
    FailureKind.BROKEN_REPLY: Outcome.UPSTREAM_FAILED,
}


def error_outcome(error: Exception) -> Outcome:
    """Return the outcome of a request that failed with `error`."""
    match error:
        case BackendFailed():
            return OUTCOME_BY_FAILURE[error.failure.kind]
        case NotCached():
            return Outcome.NOT_CACHED
        case GatewayError():
            return _status_outcome(ROWS[type(error)].status)
        case HTTPException():
            return _status_outcome(error.status_code)
        case _:
            return Outcome.INTERNAL


def _status_outcome(status: int) -> Outcome:
    return OUTCOME_BY_STATUS.get(status, Outcome.INVALID if status < 500 else Outcome.INTERNAL)  # noqa: PLR2004 (a status)


def with_outcome(answer: Callable[[Http, E], Response[Any]]) -> Callable[[Http, E], Response[Any]]:
    """Let an exception handler record the outcome, and the limit of a refusal, before it answers."""

    def record_and_answer(request: Http, error: E) -> Response[Any]:
        context = request_context(request.scope)
        context.outcome = error_outcome(error)
        if isinstance(error, LimitExceeded):
            context.refused_limit = error.limit_status.limit
        return answer(request, error)

    return record_and_answer
