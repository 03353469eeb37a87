"""Turns everything that can go wrong into `{"error": {...}}` with the right status and advice to retry.

Rule: one row for every leaf of `domain/errors.py` and for every kind of failed call; a test proves it. The SDKs obey
`x-should-retry`, so it is false wherever a second try would fail again or might buy a second picture. Nothing that is
not written here or in a domain error reaches a caller.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import ceil

import msgspec
from litestar.exceptions import HTTPException
from litestar.response.base import Response

from service.api.edge import Http, line_of
from service.api.limits import amount, is_money, limit_headers, resets_at, source
from service.api.methods import allow
from service.domain import errors
from service.domain.errors import (
    CallFailed,
    CallJoined,
    CallReplayed,
    Failure,
    FailureKind,
    GatewayError,
    LimitExceeded,
)
from service.domain.limits import RATES
from service.usecases.background import crashed
from service.usecases.ports import Observer

AWAY, AWAY_SECONDS = 503, 2  # a part that is down is asked again soon
MOST_RETRY_AFTER = 60  # the SDKs ignore more
CLIENT_GONE = 499
TOO_SLOW = 408
REPLAYED = {"idempotent-replayed": "true"}
JOINED = {"x-gateway-cache": "joined"}


class ClientGone(errors.RequestError):
    """The caller hung up before the body was complete. Nobody reads the answer; logs show 499 rather than 500."""


class Ended(errors.GatewayError):
    """The replica went away before the request was answered."""


class MalformedRequest(errors.RequestError):
    """The bytes of a request are not HTTP, or could be read in two ways."""


class HeadTooLarge(errors.RequestError):
    """A request has too many bytes that are not its body."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one kind of error is over HTTP."""

    status: int
    type: str
    code: str | None
    retry: bool = False


INVALID = "invalid_request_error"
SERVER = "server_error"

ROWS: Mapping[type[GatewayError], Row] = {
    errors.MalformedBody: Row(400, INVALID, "invalid_json"),
    errors.UnknownParameter: Row(400, INVALID, "unknown_parameter"),
    errors.MissingParameter: Row(400, INVALID, "missing_required_parameter"),
    errors.InvalidValue: Row(400, INVALID, "invalid_value"),
    errors.UnreadableFile: Row(400, INVALID, "invalid_image"),
    errors.UnreachableLink: Row(400, INVALID, "invalid_image_url"),
    errors.TooLarge: Row(413, INVALID, "request_too_large"),
    errors.RangeNotSatisfiable: Row(416, INVALID, "range_not_satisfiable"),
    errors.SlowBody: Row(TOO_SLOW, INVALID, "request_timeout", retry=True),
    MalformedRequest: Row(400, INVALID, "invalid_request"),
    HeadTooLarge: Row(431, INVALID, "request_header_fields_too_large"),
    Ended: Row(503, SERVER, "gateway_shutting_down", retry=True),
    ClientGone: Row(CLIENT_GONE, INVALID, "client_closed_request"),
    errors.NotAuthenticated: Row(401, INVALID, "invalid_api_key"),
    errors.NotAllowed: Row(403, INVALID, "not_allowed"),
    errors.ModelNotFound: Row(404, INVALID, "model_not_found"),
    errors.PictureNotFound: Row(404, INVALID, "picture_not_found"),
    errors.KeyNotFound: Row(404, INVALID, "key_not_found"),
    errors.TeamNotFound: Row(404, INVALID, "team_not_found"),
    errors.NotCached: Row(504, INVALID, "not_cached"),
    errors.KeyReused: Row(422, INVALID, "idempotency_key_reused"),
    errors.KeyInUse: Row(409, INVALID, "idempotency_key_in_use", retry=True),
    errors.NotKeptAnyMore: Row(410, INVALID, "result_not_kept"),
    errors.LoopDetected: Row(508, SERVER, "loop_detected"),
    errors.FlightLost: Row(503, SERVER, "purchase_unconfirmed", retry=True),
    errors.LimitExceeded: Row(429, "requests", "rate_limit_exceeded", retry=True),
    errors.StoreUnavailable: Row(503, SERVER, "storage_unavailable"),
    errors.Overloaded: Row(503, SERVER, "gateway_overloaded", retry=True),
    errors.StateUnavailable: Row(503, SERVER, "state_unavailable", retry=True),
    errors.BooksUnavailable: Row(503, SERVER, "ledger_unavailable", retry=True),
}

USED_UP = Row(429, "insufficient_quota", "insufficient_quota")
MAYBE_BILLED = (
    "It may have to be paid for, and is booked. It was not tried again. For a while the same request gets this answer; "
    "Cache-Control: no-store or a new Idempotency-Key buys it again."
)
CROWDED_SECONDS = 2  # until one of several pictures at a time may be done

FAILURES: Mapping[FailureKind, Row] = {
    FailureKind.INVALID_REQUEST: Row(400, INVALID, "invalid_value"),
    FailureKind.MODERATION_BLOCKED: Row(400, "image_generation_user_error", "moderation_blocked"),
    FailureKind.MODEL_NOT_FOUND: Row(404, INVALID, "model_not_found"),
    FailureKind.NOT_PERMITTED: Row(403, INVALID, "not_permitted"),
    FailureKind.AUTH_FAILED: Row(502, SERVER, "upstream_auth_error"),
    FailureKind.FORBIDDEN: Row(502, SERVER, "upstream_auth_error"),
    FailureKind.RATE_LIMITED: Row(429, "requests", "rate_limit_exceeded", retry=True),
    FailureKind.QUOTA_EXHAUSTED: Row(429, "insufficient_quota", "insufficient_quota"),
    FailureKind.OVERLOADED: Row(503, SERVER, "server_is_overloaded", retry=True),
    FailureKind.SERVER_ERROR: Row(502, SERVER, "upstream_error", retry=True),
    FailureKind.UNREACHABLE: Row(502, SERVER, "upstream_unreachable", retry=True),
    FailureKind.BUSY: Row(503, SERVER, "gateway_busy", retry=True),
    FailureKind.SET_ASIDE: Row(503, SERVER, "backend_set_aside", retry=True),
    FailureKind.TIMED_OUT: Row(504, SERVER, "upstream_timeout"),
    FailureKind.BROKEN_REPLY: Row(502, SERVER, "upstream_broken_reply"),
}

KEPT_CODES = frozenset(
    {FailureKind.INVALID_REQUEST, FailureKind.NOT_PERMITTED, FailureKind.MODERATION_BLOCKED, FailureKind.RATE_LIMITED},
)
"""Where the vendor's own code tells the caller more than ours, and callers match on it."""

STATUSES: Mapping[int, str] = {
    400: "invalid_request",
    401: "invalid_api_key",
    404: "unknown_path",
    405: "method_not_allowed",
    413: "request_too_large",
}

OFFERED = (
    "This gateway offers POST /v1/images/generations, POST /v1/images/edits, POST /v1/files, GET /v1/files, "
    "GET /v1/models, GET /v1/models/{id} and GET /v1/usage; see /docs."
)


class ErrorBody(msgspec.Struct, omit_defaults=True):
    """What went wrong. `param` names the field, `code` is stable, `message` is for people.

    A limit that is used up adds which it is, how much of it there is and was used (US dollars, or a count), and when
    all of it is there again. `may_be_billed` is there, and true, where the vendor may want money for what failed.
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
    """The body of every reply that is not a success."""

    error: ErrorBody


def render(row: Row, body: ErrorBody, retry_after: float | None = None) -> Response[bytes]:
    """The reply for an error."""
    headers = {"x-should-retry": "true" if row.retry else "false"}
    if retry_after is not None and row.retry:
        headers["retry-after"] = str(min(ceil(retry_after), MOST_RETRY_AFTER))
    if row.status == TOO_SLOW:  # what follows is not waited for
        headers["connection"] = "close"
    if row.status == 401:  # noqa: PLR2004 (the one status that needs a challenge)
        headers["www-authenticate"] = "Bearer"
    content = msgspec.json.encode(ErrorReply(error=body))
    return Response(content, status_code=row.status, media_type="application/json", headers=headers)


def on_gateway_error(request: Http, error: GatewayError) -> Response[bytes]:
    """An error of ours, by its row."""
    if isinstance(error, CallReplayed):
        line_of(request.scope).headers |= REPLAYED
    if isinstance(error, CallJoined):
        line_of(request.scope).headers |= JOINED
        line_of(request.scope).note(cache=JOINED["x-gateway-cache"])
    if isinstance(error, CallFailed):
        return on_failure(request, error.failure)
    if isinstance(error, LimitExceeded):
        return on_limit(request, error)
    if isinstance(error, Ended):
        return on_end(request, error)
    row = ROWS[type(error)]
    code = error.code or row.code
    line_of(request.scope).note(error=code, cause=error.cause)
    body = ErrorBody(message=error.message, type=row.type, param=error.param, code=code)
    return render(row, body, AWAY_SECONDS if row.status == AWAY else None)


def ended() -> Ended:
    """The refusal of a request that took longer than the replica could wait."""
    return Ended("This replica of the gateway was stopped before the request was answered.")


def on_end(request: Http, error: Ended) -> Response[bytes]:
    """A request that was ended: it may be sent again where no vendor can have been asked."""
    row, line = ROWS[Ended], line_of(request.scope)
    billed = line.progress.may_be_billed
    line.note(error=row.code)
    message = f"{error.message} {MAYBE_BILLED}" if billed else f"{error.message} Nothing was bought."
    body = ErrorBody(message=message, type=row.type, param=None, code=row.code, may_be_billed=billed or None)
    return render(replace(row, retry=not billed), body, AWAY_SECONDS)


def on_limit(request: Http, error: LimitExceeded) -> Response[bytes]:
    """A limit without room: waiting helps where it is a rate, a budget needs a person."""
    standing = error.standing
    never = standing.limit.measure in RATES and standing.wait is None
    row = USED_UP if is_money(error) else replace(ROWS[LimitExceeded], retry=not never)
    line = line_of(request.scope)
    line.note(error=row.code, limit=source(standing))
    line.headers |= limit_headers([standing])
    body = ErrorBody(
        message=error.message,
        type=row.type,
        param=None,
        code=row.code,
        limit_source=source(standing),
        limit=amount(standing, standing.limit.most),
        spent=amount(standing, standing.used),
        resets_at=resets_at(standing, datetime.now(UTC)),
    )
    return render(row, body, standing.wait or CROWDED_SECONDS)


def on_failure(request: Http, failure: Failure) -> Response[bytes]:
    """A call that failed, by its kind."""
    row = FAILURES[failure.kind]
    code = failure.code if failure.code and failure.kind in KEPT_CODES else row.code
    line_of(request.scope).note(error=code)
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
    """What the framework refuses before a handler is reached."""
    code = STATUSES.get(error.status_code, "invalid_request")
    line_of(request.scope).note(error=code)
    message = {
        404: f"There is nothing at {request.method} {request.scope['path'][:200]}. {OFFERED}",
        405: f"{request.method} is not allowed here. {OFFERED}",
    }.get(error.status_code, error.detail)
    row = Row(error.status_code, INVALID, code)
    reply = render(row, ErrorBody(message=message, type=row.type, param=None, code=code))
    allowed = (error.headers or {}).get("allow")
    if allowed:
        reply.headers["allow"] = allow(allowed.split(", "))
    return reply


def crash_reporter(observe: Observer) -> Callable[[Http, Exception], Response[bytes]]:
    """What remains is a mistake of ours: the caller gets an id, the log gets places in the code but no values."""

    def on_crash(request: Http, error: Exception) -> Response[bytes]:
        line = line_of(request.scope)
        line.note(error="internal_error")
        observe(crashed(line.request_id, error))
        message = f"The gateway failed. Its log has more under {line.request_id}."
        row = Row(500, SERVER, "internal_error")
        return render(row, ErrorBody(message=message, type=row.type, param=None, code=row.code))

    return on_crash
