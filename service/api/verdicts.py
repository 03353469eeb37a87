"""How a request ended, for whoever counts: every error as a `Verdict`.

Rule: an error answers for itself, also where it comes after the first byte of an answer and the status was 200. What is
not in the tables goes by its status in `errors.py`.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from litestar.exceptions import HTTPException
from litestar.response.base import Response

from service.api.edge import Http, line_of
from service.api.errors import ROWS
from service.domain.errors import CallFailed, FailureKind, GatewayError, LimitExceeded, NotCached
from service.domain.marks import Verdict

E = TypeVar("E", bound=Exception)

OF_STATUS: Mapping[int, Verdict] = {
    401: Verdict.UNAUTHENTICATED,
    403: Verdict.FORBIDDEN,
    404: Verdict.NOT_FOUND,
    405: Verdict.NOT_FOUND,
    409: Verdict.CONFLICT,
    410: Verdict.CONFLICT,
    422: Verdict.CONFLICT,
    429: Verdict.LIMITED,
    499: Verdict.CLIENT_GONE,
    503: Verdict.UNAVAILABLE,
    508: Verdict.UPSTREAM_FAILED,
}
"""Other statuses below 500 are `invalid`, others from there on `internal`."""

OF_FAILURE: Mapping[FailureKind, Verdict] = {
    FailureKind.INVALID_REQUEST: Verdict.INVALID,
    FailureKind.MODERATION_BLOCKED: Verdict.MODERATED,
    FailureKind.MODEL_NOT_FOUND: Verdict.UPSTREAM_REJECTED,
    FailureKind.NOT_PERMITTED: Verdict.UPSTREAM_REJECTED,
    FailureKind.AUTH_FAILED: Verdict.UPSTREAM_FAILED,
    FailureKind.FORBIDDEN: Verdict.UPSTREAM_FAILED,
    FailureKind.RATE_LIMITED: Verdict.UPSTREAM_LIMITED,
    FailureKind.QUOTA_EXHAUSTED: Verdict.UPSTREAM_LIMITED,
    FailureKind.OVERLOADED: Verdict.UPSTREAM_FAILED,
    FailureKind.SERVER_ERROR: Verdict.UPSTREAM_FAILED,
    FailureKind.UNREACHABLE: Verdict.UPSTREAM_FAILED,
    FailureKind.BUSY: Verdict.UNAVAILABLE,
    FailureKind.SET_ASIDE: Verdict.UPSTREAM_FAILED,
    FailureKind.TIMED_OUT: Verdict.UPSTREAM_FAILED,
    FailureKind.BROKEN_REPLY: Verdict.UPSTREAM_FAILED,
}


def verdict_of(error: Exception) -> Verdict:
    """How a request ended that ended with this."""
    match error:
        case CallFailed():
            return OF_FAILURE[error.failure.kind]
        case NotCached():
            return Verdict.NOT_CACHED
        case GatewayError():
            return _of_status(ROWS[type(error)].status)
        case HTTPException():
            return _of_status(error.status_code)
        case _:
            return Verdict.INTERNAL


def _of_status(status: int) -> Verdict:
    return OF_STATUS.get(status, Verdict.INVALID if status < 500 else Verdict.INTERNAL)  # noqa: PLR2004 (a status)


def judged(answer: Callable[[Http, E], Response[Any]]) -> Callable[[Http, E], Response[Any]]:
    """The same answer to an error, with the verdict noted; and of a limit, which."""

    def judge(request: Http, error: E) -> Response[Any]:
        line = line_of(request.scope)
        line.verdict = verdict_of(error)
        if isinstance(error, LimitExceeded):
            line.refused = error.standing.limit
        return answer(request, error)

    return judge
