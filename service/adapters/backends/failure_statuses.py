"""Failures by HTTP status: the party at fault, and whether the vendor may bill the call.

Rule: only an error in the API's form can be the caller's fault. A page, a redirect or any other form comes from a proxy
or from a wrong address, and is the operator's fault. A status is free only if a vendor, its CDN or HTTP itself says
that no image was generated. A call with any other status may have been billed, and is not repeated. The CDN signs every
reply that it passes on. So its signature proves nothing about an error in the API's form: only a page of its own shows
that the CDN had no connection. Facts and sources: `docs/vendors.md`.

Fails with: `DOUBTFUL` for a status without a row, unless HTTP says that the request was refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from service.domain.errors import FailureKind

REDIRECTION, REFUSAL, SERVER_ERRORS = 300, 400, 500
CDN_SERVER, CDN_HEADER = "cloudflare", "cf-ray"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusFailure:
    """The failure of a status. `permanent`: an identical call would fail too."""

    kind: FailureKind
    permanent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRow:
    """The failures of one status, by the form of the reply. A None is replaced by `as_api_error`.

    Attributes:
        as_api_error: The reply is an error in the API's form.
        as_other_form: The reply has any other form.
        from_cdn: The reply has any other form and is the CDN's.
    """

    as_api_error: StatusFailure
    as_other_form: StatusFailure | None = None
    from_cdn: StatusFailure | None = None


WRONG_ADDRESS = StatusFailure(kind=FailureKind.SERVER_ERROR, permanent=True)
INVALID = StatusFailure(kind=FailureKind.INVALID_REQUEST)
NO_MODEL = StatusFailure(kind=FailureKind.MODEL_NOT_FOUND)
UNREACHABLE = StatusFailure(kind=FailureKind.UNREACHABLE)

OPERATOR_FAULT = StatusRow(as_api_error=WRONG_ADDRESS)
CALLER_FAULT = StatusRow(as_api_error=INVALID, as_other_form=WRONG_ADDRESS)
DOUBTFUL = StatusRow(as_api_error=StatusFailure(kind=FailureKind.BROKEN_REPLY))
TIMED_OUT = StatusRow(as_api_error=StatusFailure(kind=FailureKind.TIMED_OUT))
FREE_SERVER_ERROR = StatusRow(as_api_error=StatusFailure(kind=FailureKind.SERVER_ERROR))
CDN_UNREACHABLE = StatusRow(as_api_error=DOUBTFUL.as_api_error, from_cdn=UNREACHABLE)

STATUSES: Mapping[int, StatusRow] = {
    303: DOUBTFUL,  # the request was carried out; its result has another address
    401: StatusRow(as_api_error=StatusFailure(kind=FailureKind.AUTH_FAILED)),
    402: StatusRow(as_api_error=StatusFailure(kind=FailureKind.QUOTA_EXHAUSTED)),
    403: StatusRow(as_api_error=StatusFailure(kind=FailureKind.FORBIDDEN)),
    404: StatusRow(as_api_error=NO_MODEL, as_other_form=WRONG_ADDRESS),
    405: OPERATOR_FAULT,
    406: OPERATOR_FAULT,
    407: OPERATOR_FAULT,
    408: TIMED_OUT,
    409: DOUBTFUL,  # in conflict with a request under way
    411: OPERATOR_FAULT,
    414: OPERATOR_FAULT,
    417: OPERATOR_FAULT,
    421: OPERATOR_FAULT,
    425: OPERATOR_FAULT,
    426: OPERATOR_FAULT,
    429: StatusRow(as_api_error=StatusFailure(kind=FailureKind.RATE_LIMITED)),
    431: OPERATOR_FAULT,
    499: DOUBTFUL,  # a proxy closed the connection to the vendor during the call
    500: FREE_SERVER_ERROR,
    502: FREE_SERVER_ERROR,
    503: StatusRow(as_api_error=StatusFailure(kind=FailureKind.OVERLOADED)),
    504: TIMED_OUT,
    508: StatusRow(as_api_error=WRONG_ADDRESS, as_other_form=DOUBTFUL.as_api_error),  # a gateway received its own call
    520: TIMED_OUT,  # the origin took the request; its answer could not be read
    521: CDN_UNREACHABLE,  # the origin refused the connection
    522: CDN_UNREACHABLE,  # no connection, or no byte of the request was acknowledged
    523: CDN_UNREACHABLE,  # no route to the origin
    524: TIMED_OUT,  # the origin has the request and did not answer in time
    525: CDN_UNREACHABLE,  # no TLS handshake with the origin
    526: CDN_UNREACHABLE,  # the certificate of the origin is not valid
    529: FREE_SERVER_ERROR,
    530: CDN_UNREACHABLE,  # the origin's name or tunnel is not known
}
"""Statuses of all vendors. A vendor's own table goes first."""


def read_status(status: int, headers: Mapping[str, str], *, is_envelope: bool) -> StatusFailure:
    """Return the failure of a status without a known code. `headers` have lower-case names."""
    row = STATUSES.get(status) or _unknown_status(status)
    if is_envelope:
        return row.as_api_error
    return (row.from_cdn if _is_from_cdn(headers) else None) or row.as_other_form or row.as_api_error


def _unknown_status(status: int) -> StatusRow:
    """Return the row of a status without documentation. Only a refusal by HTTP is free."""
    if REDIRECTION <= status < REFUSAL:
        return OPERATOR_FAULT
    return CALLER_FAULT if REFUSAL <= status < SERVER_ERRORS else DOUBTFUL


def _is_from_cdn(headers: Mapping[str, str]) -> bool:
    """Return whether the reply came through the CDN."""
    return CDN_HEADER in headers or headers.get("server", "").strip().lower() == CDN_SERVER
