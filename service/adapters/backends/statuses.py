"""Which failure an HTTP status is: whose fault it is, and whether the vendor may want money for the call.

Rule: only an error in the API's form can be the caller's fault. A page, a redirect or any other form comes from what
stands in between, or from a wrong address, and is the operator's. A status is free only where a vendor, the CDN in
front of it or HTTP itself says that nothing was drawn; every other one may have been billed, and is not repeated. The
CDN has connected to nobody only where it speaks itself: it signs every reply that it passes on, so its signature alone
proves nothing about an error in the API's form. Facts and sources: `docs/vendors.md`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from service.domain.errors import FailureKind

REDIRECTION, REFUSAL, SERVER_ERRORS = 300, 400, 500
CDN_SERVER, CDN_MARK = "cloudflare", "cf-ray"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The failure that a status is; `permanent`: the same call would fail there again."""

    kind: FailureKind
    permanent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What a status is as an error in the API's form, in any other form, and from the CDN itself.

    What is None is as the one before.
    """

    said: Reading
    otherwise: Reading | None = None
    by_cdn: Reading | None = None


MISDIRECTED = Reading(kind=FailureKind.SERVER_ERROR, permanent=True)
INVALID = Reading(kind=FailureKind.INVALID_REQUEST)
NO_MODEL = Reading(kind=FailureKind.MODEL_NOT_FOUND)
UNREACHED = Reading(kind=FailureKind.UNREACHABLE)

OPERATORS = Row(said=MISDIRECTED)
CALLERS = Row(said=INVALID, otherwise=MISDIRECTED)
DOUBTFUL = Row(said=Reading(kind=FailureKind.BROKEN_REPLY))
LATE = Row(said=Reading(kind=FailureKind.TIMED_OUT))
UNDRAWN = Row(said=Reading(kind=FailureKind.SERVER_ERROR))
UNCONNECTED = Row(said=DOUBTFUL.said, by_cdn=UNREACHED)

STATUSES: Mapping[int, Row] = {
    303: DOUBTFUL,  # something was done, and stands elsewhere
    401: Row(said=Reading(kind=FailureKind.AUTH_FAILED)),
    402: Row(said=Reading(kind=FailureKind.QUOTA_EXHAUSTED)),
    403: Row(said=Reading(kind=FailureKind.FORBIDDEN)),
    404: Row(said=NO_MODEL, otherwise=MISDIRECTED),
    405: OPERATORS,
    406: OPERATORS,
    407: OPERATORS,
    408: LATE,
    409: DOUBTFUL,  # in conflict with what is being done
    411: OPERATORS,
    414: OPERATORS,
    417: OPERATORS,
    421: OPERATORS,
    425: OPERATORS,
    426: OPERATORS,
    429: Row(said=Reading(kind=FailureKind.RATE_LIMITED)),
    431: OPERATORS,
    499: DOUBTFUL,  # somebody hung up on whoever was drawing
    500: UNDRAWN,
    502: UNDRAWN,
    503: Row(said=Reading(kind=FailureKind.OVERLOADED)),
    504: LATE,
    508: Row(said=MISDIRECTED, otherwise=DOUBTFUL.said),  # another gateway met its own call
    520: LATE,  # the origin took the request, and what it said could not be understood
    521: UNCONNECTED,  # the origin refused the connection
    522: UNCONNECTED,  # no connection, or no byte of the request was acknowledged
    523: UNCONNECTED,  # no way to the origin
    524: LATE,  # the origin has the request, and has not answered yet
    525: UNCONNECTED,  # no TLS handshake with the origin
    526: UNCONNECTED,  # the certificate of the origin is not valid
    529: UNDRAWN,
    530: UNCONNECTED,  # the origin's name or tunnel is not known
}
"""What is known, whichever vendor it is. A vendor's own table goes first."""


def read_status(status: int, headers: Mapping[str, str], *, is_envelope: bool) -> Reading:
    """What a status means where no code says more. `headers` have lower-case names."""
    row = STATUSES.get(status) or _unknown(status)
    if is_envelope:
        return row.said
    return (row.by_cdn if _is_signed(headers) else None) or row.otherwise or row.said


def _unknown(status: int) -> Row:
    """What nobody documents is free only where HTTP says that it was refused."""
    if REDIRECTION <= status < REFUSAL:
        return OPERATORS
    return CALLERS if REFUSAL <= status < SERVER_ERRORS else DOUBTFUL


def _is_signed(headers: Mapping[str, str]) -> bool:
    """Did the reply come through the CDN?"""
    return CDN_MARK in headers or headers.get("server", "").strip().lower() == CDN_SERVER
