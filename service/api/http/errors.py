"""Error responses: `{"error": {...}}` with a status and advice to retry, for every error of the gateway.

Rule: every leaf of `domain/errors.py` and every kind of failed call has one row; a test proves it. The SDKs obey
`x-should-retry`, so it is false wherever a retry would fail again or might buy a second image. Only texts of this
module and of domain errors reach a caller.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import ceil

import msgspec
from litestar.exceptions import HTTPException
from litestar.response.base import Response

from service.api.http.head_and_options import allow_header
from service.api.http.rate_limit_headers import is_budget, limit_name, rate_limit_headers, reset_time, to_amount
from service.api.http.request_context import Http, request_context
from service.domain import errors
from service.domain.errors import (
    BackendFailed,
    Failure,
    FailureKind,
    FailureReplayed,
    FailureShared,
    GatewayError,
    LimitExceeded,
)
from service.domain.quota_limits import RATES
from service.usecases.background.supervisor import build_crash_event
from service.usecases.ports.observer import Observer

UNAVAILABLE, UNAVAILABLE_RETRY_SECONDS = 503, 2
MAX_RETRY_AFTER = 60  # the SDKs ignore more
CLIENT_GONE = 499
TOO_SLOW = 408
REPLAYED = {"idempotent-replayed": "true"}
JOINED = {"x-gateway-cache": "joined"}


class ClientGone(errors.RequestError):
    """The caller hung up before the response started. Only the log has the status, 499 rather than 500."""


class ReplicaStopped(errors.GatewayError):
    """The replica stopped before the request was answered."""


class MalformedRequest(errors.RequestError):
    """The bytes of a request are not HTTP, or could be read in two ways."""


class HeadTooLarge(errors.RequestError):
    """A request has too many bytes that are not its body."""


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """Status, type and code of one kind of error, and whether a retry may help."""

    status: int
    type: str
    code: str | None
    retry: bool = False


INVALID = "invalid_request_error"
SERVER = "server_error"

ROWS: Mapping[type[GatewayError], ErrorRow] = {
    errors.MalformedBody: ErrorRow(400, INVALID, "invalid_json"),
    errors.UnknownParameter: ErrorRow(400, INVALID, "unknown_parameter"),
    errors.MissingParameter: ErrorRow(400, INVALID, "missing_required_parameter"),
    errors.InvalidValue: ErrorRow(400, INVALID, "invalid_value"),
    errors.UnreadableFile: ErrorRow(400, INVALID, "invalid_image"),
    errors.UnreachableLink: ErrorRow(400, INVALID, "invalid_image_url"),
    errors.TooLarge: ErrorRow(413, INVALID, "request_too_large"),
    errors.RangeNotSatisfiable: ErrorRow(416, INVALID, "range_not_satisfiable"),
    errors.BodyTimeout: ErrorRow(TOO_SLOW, INVALID, "request_timeout", retry=True),
    MalformedRequest: ErrorRow(400, INVALID, "invalid_request"),
    HeadTooLarge: ErrorRow(431, INVALID, "request_header_fields_too_large"),
    ReplicaStopped: ErrorRow(503, SERVER, "gateway_shutting_down", retry=True),
    ClientGone: ErrorRow(CLIENT_GONE, INVALID, "client_closed_request"),
    errors.NotAuthenticated: ErrorRow(401, INVALID, "invalid_api_key"),
    errors.NotAllowed: ErrorRow(403, INVALID, "not_allowed"),
    errors.ModelNotFound: ErrorRow(404, INVALID, "model_not_found"),
    errors.ImageNotFound: ErrorRow(404, INVALID, "picture_not_found"),
    errors.KeyNotFound: ErrorRow(404, INVALID, "key_not_found"),
    errors.TeamNotFound: ErrorRow(404, INVALID, "team_not_found"),
    errors.NotCached: ErrorRow(504, INVALID, "not_cached"),
    errors.IdempotencyKeyReused: ErrorRow(422, INVALID, "idempotency_key_reused"),
    errors.IdempotencyKeyInUse: ErrorRow(409, INVALID, "idempotency_key_in_use", retry=True),
    errors.ResultExpired: ErrorRow(410, INVALID, "result_not_kept"),
    errors.LoopDetected: ErrorRow(508, SERVER, "loop_detected"),
    errors.OutcomeUnknown: ErrorRow(503, SERVER, "purchase_unconfirmed", retry=True),
    errors.LimitExceeded: ErrorRow(429, "requests", "rate_limit_exceeded", retry=True),
    errors.StoreUnavailable: ErrorRow(503, SERVER, "storage_unavailable"),
    errors.Overloaded: ErrorRow(503, SERVER, "gateway_overloaded", retry=True),
    errors.StateUnavailable: ErrorRow(503, SERVER, "state_unavailable", retry=True),
    errors.LedgerUnavailable: ErrorRow(503, SERVER, "ledger_unavailable", retry=True),
}

BUDGET_EXHAUSTED = ErrorRow(429, "insufficient_quota", "insufficient_quota")
MAYBE_BILLED = (
    "It may have to be paid for, and is booked. It was not tried again. For a while the same request gets this answer; "
    "Cache-Control: no-store or a new Idempotency-Key buys it again."
)
CONCURRENCY_RETRY_SECONDS = 2  # by then an image under way may be done

FAILURES: Mapping[FailureKind, ErrorRow] = {
    FailureKind.INVALID_REQUEST: ErrorRow(400, INVALID, "invalid_value"),
    FailureKind.MODERATION_BLOCKED: ErrorRow(400, "image_generation_user_error", "moderation_blocked"),
    FailureKind.MODEL_NOT_FOUND: ErrorRow(404, INVALID, "model_not_found"),
    FailureKind.NOT_PERMITTED: ErrorRow(403, INVALID, "not_permitted"),
    FailureKind.AUTH_FAILED: ErrorRow(502, SERVER, "upstream_auth_error"),
    FailureKind.FORBIDDEN: ErrorRow(502, SERVER, "upstream_auth_error"),
    FailureKind.RATE_LIMITED: ErrorRow(429, "requests", "rate_limit_exceeded", retry=True),
    FailureKind.QUOTA_EXHAUSTED: ErrorRow(429, "insufficient_quota", "insufficient_quota"),
    FailureKind.OVERLOADED: ErrorRow(503, SERVER, "server_is_overloaded", retry=True),
    FailureKind.SERVER_ERROR: ErrorRow(502, SERVER, "upstream_error", retry=True),
    FailureKind.UNREACHABLE: ErrorRow(502, SERVER, "upstream_unreachable", retry=True),
    FailureKind.BUSY: ErrorRow(503, SERVER, "gateway_busy", retry=True),
    FailureKind.SET_ASIDE: ErrorRow(503, SERVER, "backend_set_aside", retry=True),
    FailureKind.TIMED_OUT: ErrorRow(504, SERVER, "upstream_timeout"),
    FailureKind.BROKEN_REPLY: ErrorRow(502, SERVER, "upstream_broken_reply"),
}

VENDOR_CODE_KINDS = frozenset(
    {FailureKind.INVALID_REQUEST, FailureKind.NOT_PERMITTED, FailureKind.MODERATION_BLOCKED, FailureKind.RATE_LIMITED},
)
"""Kinds whose vendor code is passed on, because it is more exact than the gateway's and callers match on it."""

STATUSES: Mapping[int, str] = {
    400: "invalid_request",
    401: "invalid_api_key",
    404: "unknown_path",
    405: "method_not_allowed",
    413: "request_too_large",
}

ENDPOINTS_TEXT = (
    "This gateway offers POST /v1/images/generations, POST /v1/images/edits, POST /v1/files, GET /v1/files, "
    "GET /v1/models, GET /v1/models/{id} and GET /v1/usage; see /docs."
)


class ErrorBody(msgspec.Struct, omit_defaults=True):
    """An error. `param` names the field, `code` is stable, `message` is for people.

    A refusal by a limit adds its name, its size and its used part, in US dollars or as a count. `resets_at` is the time
    at which all of it is available again. `may_be_billed` is true where the vendor may charge for the failed request.
    """

    message: str
    type: str
    param: str | None
    code: str | None
    moderation_details: Mapping[str, object] | None = None
    may_be_billed: bool | None = None
    limit_source: str | None = None
    limit: float | int | None = None
    spent: float | int | None = None
    resets_at: str | None = None


class ErrorReply(msgspec.Struct):
    """The body of every error response."""

    error: ErrorBody


def render(row: ErrorRow, body: ErrorBody, retry_after: float | None = None) -> Response[bytes]:
    """Build the response of an error. `retry_after` is in seconds, and is sent only if a retry may help."""
    headers = {"x-should-retry": "true" if row.retry else "false"}
    if retry_after is not None and row.retry:
        headers["retry-after"] = str(min(ceil(retry_after), MAX_RETRY_AFTER))
    if row.status == TOO_SLOW:  # the rest of the body is not read
        headers["connection"] = "close"
    if row.status == 401:  # noqa: PLR2004 (the one status that needs a challenge)
        headers["www-authenticate"] = "Bearer"
    content = msgspec.json.encode(ErrorReply(error=body))
    return Response(content, status_code=row.status, media_type="application/json", headers=headers)


def on_gateway_error(request: Http, error: GatewayError) -> Response[bytes]:
    """Answer an error of the gateway, by its row, and record it in the request's context."""
    # A failure of another request is marked as such, and then answered by its own row.
    if isinstance(error, FailureReplayed):
        request_context(request.scope).headers |= REPLAYED
    if isinstance(error, FailureShared):
        request_context(request.scope).headers |= JOINED
        request_context(request.scope).log(cache=JOINED["x-gateway-cache"])
    if isinstance(error, BackendFailed):
        return on_backend_failure(request, error.failure)
    if isinstance(error, LimitExceeded):
        return on_limit_exceeded(request, error)
    if isinstance(error, ReplicaStopped):
        return on_replica_stopped(request, error)
    row = ROWS[type(error)]
    code = error.code or row.code
    request_context(request.scope).log(error=code, cause=error.cause)
    body = ErrorBody(message=error.message, type=row.type, param=error.param, code=code)
    return render(row, body, UNAVAILABLE_RETRY_SECONDS if row.status == UNAVAILABLE else None)


def replica_stopped() -> ReplicaStopped:
    """Build the error of a request that outlasted the drain of its replica."""
    return ReplicaStopped("This replica of the gateway was stopped before the request was answered.")


def on_replica_stopped(request: Http, error: ReplicaStopped) -> Response[bytes]:
    """Answer a request that the replica ended. A retry is safe if no vendor was called."""
    row, context = ROWS[ReplicaStopped], request_context(request.scope)
    billed = context.progress.may_be_billed
    context.log(error=row.code)
    message = f"{error.message} {MAYBE_BILLED}" if billed else f"{error.message} Nothing was bought."
    body = ErrorBody(message=message, type=row.type, param=None, code=row.code, may_be_billed=billed or None)
    return render(replace(row, retry=not billed), body, UNAVAILABLE_RETRY_SECONDS)


def on_limit_exceeded(request: Http, error: LimitExceeded) -> Response[bytes]:
    """Answer a refusal by a limit. Waiting helps with a rate limit; a budget needs a person."""
    status = error.limit_status
    # Without a time to wait, the request is larger than the whole rate limit.
    never_fits = status.limit.measure in RATES and status.wait_seconds is None
    row = BUDGET_EXHAUSTED if is_budget(error) else replace(ROWS[LimitExceeded], retry=not never_fits)
    context = request_context(request.scope)
    context.log(error=row.code, limit=limit_name(status))
    context.headers |= rate_limit_headers([status])
    body = ErrorBody(
        message=error.message,
        type=row.type,
        param=None,
        code=row.code,
        limit_source=limit_name(status),
        limit=to_amount(status, status.limit.maximum),
        spent=to_amount(status, status.used),
        resets_at=reset_time(status, datetime.now(UTC)),
    )
    return render(row, body, status.wait_seconds or CONCURRENCY_RETRY_SECONDS)


def on_backend_failure(request: Http, failure: Failure) -> Response[bytes]:
    """Answer a failed backend call, by its kind."""
    row = FAILURES[failure.kind]
    code = failure.code if failure.code and failure.kind in VENDOR_CODE_KINDS else row.code
    request_context(request.scope).log(error=code)
    billed = failure.may_be_billed
    body = ErrorBody(
        message=f"{failure.message} {MAYBE_BILLED}" if billed else failure.message,
        type=row.type,
        param=failure.param,
        code=code,
        moderation_details=failure.moderation_details,
        may_be_billed=billed or None,
    )
    return render(replace(row, retry=row.retry and not billed and not failure.permanent), body, failure.retry_after)


def on_http_exception(request: Http, error: HTTPException) -> Response[bytes]:
    """Answer an error of the framework, such as an unknown path."""
    code = STATUSES.get(error.status_code, "invalid_request")
    request_context(request.scope).log(error=code)
    message = {
        404: f"There is nothing at {request.method} {request.scope['path'][:200]}. {ENDPOINTS_TEXT}",
        405: f"{request.method} is not allowed here. {ENDPOINTS_TEXT}",
    }.get(error.status_code, error.detail)
    row = ErrorRow(error.status_code, INVALID, code)
    reply = render(row, ErrorBody(message=message, type=row.type, param=None, code=code))
    allowed = (error.headers or {}).get("allow")
    if allowed:
        reply.headers["allow"] = allow_header(allowed.split(", "))
    return reply


def build_crash_handler(observer: Observer) -> Callable[[Http, Exception], Response[bytes]]:
    """Build the handler of unexpected errors. The caller gets the request id; the log gets the traceback, no values."""

    def on_crash(request: Http, error: Exception) -> Response[bytes]:
        context = request_context(request.scope)
        context.log(error="internal_error")
        observer.record(build_crash_event(context.request_id, error))
        message = f"The gateway failed. Its log has more under {context.request_id}."
        row = ErrorRow(500, SERVER, "internal_error")
        return render(row, ErrorBody(message=message, type=row.type, param=None, code=row.code))

    return on_crash
