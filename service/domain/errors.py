"""Every refusal and failure of the gateway, as one tree.

Rule: a module raises the leaf for its case; only `api/http/errors.py` maps a leaf to HTTP. Messages are for the caller.
They name the field and never contain a secret, a prompt or image bytes.

    GatewayError
    ├── RequestError              the caller can correct the request
    │   ├── MalformedBody
    │   ├── UnknownParameter
    │   ├── MissingParameter
    │   ├── InvalidValue
    │   ├── UnreadableFile
    │   ├── UnreachableLink
    │   ├── TooLarge
    │   ├── RangeNotSatisfiable
    │   └── BodyTimeout
    ├── AccessError
    │   ├── NotAuthenticated
    │   └── NotAllowed
    ├── NotFoundError
    │   ├── ModelNotFound
    │   ├── ImageNotFound
    │   ├── KeyNotFound
    │   └── TeamNotFound
    ├── NotCached                 the caller wants a cached result only, and there is none
    ├── ReplayError               an Idempotency-Key cannot be honoured
    │   ├── IdempotencyKeyReused  the key came with another request
    │   ├── IdempotencyKeyInUse   its request is under way, and the operator's setting is not to wait
    │   └── ResultExpired         its request was served, and the images are no longer stored
    ├── LoopDetected              the request has passed this gateway before
    ├── OutcomeUnknown            the outcome of an identical purchase is unknown
    ├── LimitExceeded             a limit of the team has no room; carries the limit's status
    ├── StoreUnavailable          images cannot be stored or read now
    ├── Overloaded                too many requests wait in this replica; nothing was begun
    ├── StateUnavailable          quotas and holds cannot be reached; no request is admitted
    ├── LedgerUnavailable         the ledger's database cannot be reached
    └── BackendFailed             a backend was called and did not deliver; carries the failure
        ├── FailureReplayed       for a repeated Idempotency-Key: the failure of its first request
        └── FailureShared         the call was made for an identical request
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from service.domain.quota_limits import LimitStatus


class FailureKind(StrEnum):
    """Reason why a backend did not deliver. `MAY_BE_BILLED` has the kinds that may have cost money."""

    INVALID_REQUEST = "invalid_request"
    MODERATION_BLOCKED = "moderation_blocked"
    MODEL_NOT_FOUND = "model_not_found"
    NOT_PERMITTED = "not_permitted"
    AUTH_FAILED = "auth_failed"
    FORBIDDEN = "forbidden"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXHAUSTED = "quota_exhausted"
    OVERLOADED = "overloaded"
    SERVER_ERROR = "server_error"
    UNREACHABLE = "unreachable"
    BUSY = "busy"
    SET_ASIDE = "set_aside"
    TIMED_OUT = "timed_out"
    BROKEN_REPLY = "broken_reply"


MAY_BE_BILLED = frozenset({FailureKind.TIMED_OUT, FailureKind.BROKEN_REPLY})
"""The request went out and no outcome came back. The gateway never sends such a call again by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A call without a complete result.

    Field names are written to Redis; older replicas read them.

    Attributes:
        message: Text for callers, without secrets and prompts.
        retry_after: Seconds.
        drawn: The call may be billed although its kind alone does not say so. Previews or some of several images had
            arrived, or the backend is another gateway that reports this.
        asked: The vendor was called. If not, the gateway refused the call itself.
        permanent: The call would fail there again until an operator has acted.
        cause: Text for the operator's log: errno, status, the vendor's own id of the request.
    """

    kind: FailureKind
    message: str
    code: str | None = None
    param: str | None = None
    retry_after: float | None = None
    moderation_details: Mapping[str, object] | None = None
    drawn: bool = False
    asked: bool = True
    permanent: bool = False
    cause: str | None = field(default=None, compare=False)

    @property
    def may_be_billed(self) -> bool:
        """Whether the call may cost money."""
        return self.drawn or self.kind in MAY_BE_BILLED


class GatewayError(Exception):
    """The root of all errors.

    Attributes:
        message: The text that the caller sees.
        param: The name of the field.
        code: A refinement of the class's own code.
        cause: A text for the operator's log alone.
    """

    def __init__(
        self, message: str, *, param: str | None = None, code: str | None = None, cause: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code
        self.cause = cause


class RequestError(GatewayError):
    """The request itself is at fault."""


class MalformedBody(RequestError):
    """The body is not what its content type says."""


class UnknownParameter(RequestError):
    """A field that this endpoint, model or backend does not know."""


class MissingParameter(RequestError):
    """A required field is absent."""


class InvalidValue(RequestError):
    """A known field has a value that cannot be honoured."""


class UnreadableFile(RequestError):
    """An uploaded or linked file is not a usable image."""


class UnreachableLink(RequestError):
    """A linked image may not be fetched, or could not be fetched."""


class TooLarge(RequestError):
    """A body, a part or a linked image exceeds its limit."""


class RangeNotSatisfiable(RequestError):
    """The requested part of an image does not exist."""


class BodyTimeout(RequestError):
    """The body did not arrive in time."""


class AccessError(GatewayError):
    """The caller may not do this."""


class NotAuthenticated(AccessError):
    """The request has no key, or an unknown one."""


class NotAllowed(AccessError):
    """The key's team may not use this model, tier or backend."""


class NotFoundError(GatewayError):
    """The requested thing does not exist."""


class ModelNotFound(NotFoundError):
    """The model is unknown, retired, or served by no enabled backend."""


class ImageNotFound(NotFoundError):
    """The image does not exist, or its link has expired or was altered."""


class KeyNotFound(NotFoundError):
    """No issued key has that id."""


class TeamNotFound(NotFoundError):
    """The settings have no team of that name."""


class StoreUnavailable(GatewayError):
    """The image store does not answer."""


class NotCached(GatewayError):
    """The caller forbids a purchase, and no cached result exists."""


class ReplayError(GatewayError):
    """A repeated request cannot be answered as the first one was."""


class IdempotencyKeyReused(ReplayError):
    """The Idempotency-Key came with another request before."""


class IdempotencyKeyInUse(ReplayError):
    """The request with this Idempotency-Key is still under way."""


class ResultExpired(ReplayError):
    """The result was bought and is no longer stored. The gateway does not buy it again."""


class LoopDetected(GatewayError):
    """The request has passed this gateway before, or too many gateways."""


class OutcomeUnknown(GatewayError):
    """The leader of an identical purchase went away after its backend was called. The gateway does not buy again."""


class LimitExceeded(GatewayError):
    """A limit has no room for the request. No hold was made."""

    def __init__(self, message: str, limit_status: LimitStatus) -> None:
        super().__init__(message)
        self.limit_status = limit_status


class Overloaded(GatewayError):
    """Too many requests wait for Redis. No hold was made."""


class StateUnavailable(GatewayError):
    """Redis with its quotas and holds does not answer, or its counters are not complete yet."""


class LedgerUnavailable(GatewayError):
    """The ledger's database does not answer."""


class BackendFailed(GatewayError):
    """A backend was called and did not deliver."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message, param=failure.param, code=failure.code)
        self.failure = failure


class FailureReplayed(BackendFailed):
    """The first request with this Idempotency-Key failed so. The gateway does not try again."""


class FailureShared(BackendFailed):
    """The call of an identical request failed, just now or a remembered time ago. This request called no backend."""
