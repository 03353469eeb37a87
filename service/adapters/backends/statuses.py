"""Which failure an HTTP status is, and so whether the vendor may want money for the call.

Rule: a status is free only where a vendor or the CDN in front of it documents that nothing was drawn. Every other
status from 500 up may have been billed, and is not repeated. The CDN has connected to nobody only where it speaks
itself: it signs every reply that it passes on, so its signature alone proves nothing about an error in the API's form.
Facts and sources: `docs/vendors.md`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from service.domain.errors import FailureKind

SERVER_ERRORS = 500
CDN_SERVER, CDN_MARK = "cloudflare", "cf-ray"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The failure that a status is. `from_cdn` replaces it where the CDN itself answered."""

    kind: FailureKind
    from_cdn: FailureKind | None = None


DOUBTFUL = Reading(kind=FailureKind.BROKEN_REPLY)
LATE = Reading(kind=FailureKind.TIMED_OUT)
UNDRAWN = Reading(kind=FailureKind.SERVER_ERROR)
UNCONNECTED = Reading(kind=FailureKind.BROKEN_REPLY, from_cdn=FailureKind.UNREACHABLE)
REFUSED = Reading(kind=FailureKind.INVALID_REQUEST)

STATUSES: Mapping[int, Reading] = {
    401: Reading(kind=FailureKind.AUTH_FAILED),
    403: Reading(kind=FailureKind.FORBIDDEN),
    404: Reading(kind=FailureKind.MODEL_NOT_FOUND),
    408: LATE,
    429: Reading(kind=FailureKind.RATE_LIMITED),
    500: UNDRAWN,
    502: UNDRAWN,
    503: Reading(kind=FailureKind.OVERLOADED),
    504: LATE,
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


def reading_of(status: int) -> Reading:
    """What is known of a status; what is not known may have been billed from 500 up."""
    return STATUSES.get(status) or (DOUBTFUL if status >= SERVER_ERRORS else REFUSED)


def kind_of(status: int, *, by_cdn: bool) -> FailureKind:
    """The failure that a status is, where no code says more."""
    reading = reading_of(status)
    return reading.from_cdn if by_cdn and reading.from_cdn else reading.kind


def signed_by_cdn(headers: Mapping[str, str]) -> bool:
    """Did the reply come through the CDN? `headers` have lower-case names."""
    return CDN_MARK in headers or headers.get("server", "").strip().lower() == CDN_SERVER
