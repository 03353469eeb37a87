"""Everything the gateway refuses or fails at, as one tree.

Rule: a module raises the leaf that says what went wrong; only `api/http/errors.py` knows what that means over HTTP.
Messages are for the caller: they name the field and never hold a secret, a prompt or picture bytes.

    GatewayError
    ├── RequestError              the caller can mend it
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
    ├── NotCached                 only what is kept was asked for, and nothing is
    ├── ReplayError               an Idempotency-Key cannot be honoured
    │   ├── IdempotencyKeyReused             it was another request's
    │   ├── IdempotencyKeyInUse              its request is under way, and the operator wants nobody to wait
    │   └── ResultExpired        its request was served, and the pictures are gone
    ├── LoopDetected              the request has passed this gateway before
    ├── OutcomeUnknown                nobody knows what became of a purchase of the very same
    ├── LimitExceeded             a limit of the team has no room; carries how it stands
    ├── StoreUnavailable          pictures cannot be kept or read just now
    ├── Overloaded                too many requests wait in this replica; nothing was begun
    ├── StateUnavailable          quotas and holds cannot be reached; nobody is admitted
    ├── LedgerUnavailable          the ledger of record cannot be reached
    └── BackendFailed                a backend was asked and did not deliver; carries the failure
        ├── FailureReplayed          and the caller hears it again, under the same Idempotency-Key
        └── FailureShared            and the call was another request's, which asked for the very same
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from service.domain.quota_limits import LimitStatus


class FailureKind(StrEnum):
    """Why a backend did not deliver. Whether money may have gone is in `MAY_BE_BILLED`."""

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
"""The request went out and no verdict came back: it is never sent a second time by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A call that brought no picture. `message` has been cleaned for callers; `retry_after` is in seconds.

    `drawn`: something may have to be paid for although the kind alone does not say so. Previews or some of several
    pictures had come, or the backend is another gateway that says so itself.
    `asked`: the vendor was called; if not, the gateway knew better. `permanent`: the same call would fail there again,
    until an operator has acted. `cause` is for the operator's log: errno, status, the vendor's own id of the request.
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
        """May money have gone?"""
        return self.drawn or self.kind in MAY_BE_BILLED


class GatewayError(Exception):
    """The root. `message` is shown to the caller, `param` names the field, `code` refines the class's own code.

    `cause` is for the operator's log alone.
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
    """An uploaded or linked file is not a picture that can be used."""


class UnreachableLink(RequestError):
    """A linked picture may not be, or could not be, fetched."""


class TooLarge(RequestError):
    """A body, a part or a linked picture exceeds its limit."""


class RangeNotSatisfiable(RequestError):
    """A part was asked for that a picture does not have."""


class BodyTimeout(RequestError):
    """The body did not arrive in time."""


class AccessError(GatewayError):
    """The caller may not do this."""


class NotAuthenticated(AccessError):
    """No key, or one that is not known."""


class NotAllowed(AccessError):
    """The key's team may not use this model, tier or backend."""


class NotFoundError(GatewayError):
    """The thing asked for is not there."""


class ModelNotFound(NotFoundError):
    """The model is unknown, retired, or no backend that is on serves it."""


class ImageNotFound(NotFoundError):
    """No such picture, or its link has expired or was tampered with."""


class KeyNotFound(NotFoundError):
    """No issued key has that id."""


class TeamNotFound(NotFoundError):
    """The settings have no team of that name."""


class StoreUnavailable(GatewayError):
    """The picture store does not answer."""


class NotCached(GatewayError):
    """The caller forbade to buy, and nothing is kept."""


class ReplayError(GatewayError):
    """A request came again and cannot be answered as the first time."""


class IdempotencyKeyReused(ReplayError):
    """The same Idempotency-Key came with another request."""


class IdempotencyKeyInUse(ReplayError):
    """The request with this Idempotency-Key is still under way."""


class ResultExpired(ReplayError):
    """What was bought is not kept any more, and it is not bought again."""


class LoopDetected(GatewayError):
    """The request came back to a gateway that it has passed, or has passed too many."""


class OutcomeUnknown(GatewayError):
    """Whoever bought the very same went away after the vendor was asked; it is not bought again."""


class LimitExceeded(GatewayError):
    """A limit has no room for the request. Nothing was held."""

    def __init__(self, message: str, limit_status: LimitStatus) -> None:
        super().__init__(message)
        self.limit_status = limit_status


class Overloaded(GatewayError):
    """Too many requests wait for the state. Nothing was held."""


class StateUnavailable(GatewayError):
    """The state of quotas and holds does not answer, or is not complete yet."""


class LedgerUnavailable(GatewayError):
    """The ledger of record does not answer."""


class BackendFailed(GatewayError):
    """A backend was asked and did not deliver."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message, param=failure.param, code=failure.code)
        self.failure = failure


class FailureReplayed(BackendFailed):
    """It failed the first time that the caller came with this Idempotency-Key, and is not tried again."""


class FailureShared(BackendFailed):
    """The call was made for an identical request, under way or remembered. This request called no backend."""
