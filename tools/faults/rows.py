"""The expected outcome of every fault: the table of docs/reliability.md as data.

Rule: a row is a vendor and two outcomes of one request: alone, and beside a healthy second backend. Each request is
followed by `MORE` of its kind: enough failures to open a breaker, if they count. The table has what is certain only: a
time is named by its cause.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from tests.simulators.openai import FAULTS
from tests.simulators.server import Answer
from tools.faults import hosts
from tools.faults.hosts import Stage, on

DEADLINE = 1.0  # seconds, of vendors that exceed it
AMPLE = 30.0  # seconds, of all other vendors
MORE = 5  # requests after the first; breakers open after five failures in a row
WAIT = 4.0  # how long a request waits for backends in all
MEGABYTE = 1_000_000


class Took(StrEnum):
    """Cause of the time that a request takes. All of them end within `AMPLE`."""

    NOTHING = "at once"
    PAUSE = "after 0.5 s"
    RETRY_AFTER = "after 1 s, as told"
    DEADLINE = "at the deadline, 1 s"
    TWICE = "at the second deadline, 2.5 s"


LEAST = {Took.NOTHING: 0.0, Took.PAUSE: 0.5, Took.RETRY_AFTER: 1.0, Took.DEADLINE: DEADLINE, Took.TWICE: 2.5}
"""Minimum seconds."""


class Booked(StrEnum):
    """Entry of a request in the ledger."""

    NOTHING = "nothing"
    COST = "its cost"
    QUOTE = "its quote, unconfirmed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Outcome of a request.

    `retry` is x-should-retry and `after` retry-after as the caller reads them. `served` is 1 or 2, the backend that
    drew. `attempts` are calls that the gateway counts, of which `whole` arrived whole at the first backend. The second
    backend got `second` calls. `may_be_billed` is a field of the error. `breaker` is the state of the first backend's
    breaker after this request, `later` after `MORE` more. `then` is the outcome of the last of those.
    """

    status: int
    code: str | None = None
    retry: str | None = None
    after: str | None = None
    took: Took = Took.NOTHING
    served: int | None = None
    attempts: int = 1
    whole: int = 1
    second: int = 0
    may_be_billed: bool = False
    booked: Booked = Booked.NOTHING
    breaker: str = "closed"
    later: str = "closed"
    then: str = "200"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault. `deadline` is the backend's, in seconds; the gateway grows by less than `max_bytes`."""

    name: str
    text: str
    stage: Stage
    alone: Outcome
    beside: Outcome
    deadline: float = AMPLE
    max_bytes: int | None = None


ASIDE = "503 backend_set_aside"
SERVED = Outcome(status=200, served=1, booked=Booked.COST)
RESCUED = Outcome(status=200, served=2, attempts=2, second=1, booked=Booked.COST)


def refused(code: str, status: int = 502) -> tuple[Outcome, Outcome]:
    """Certainly not billed: one retry after a pause, or the next backend. The breaker opens in the end."""
    alone = Outcome(status=status, code=code, retry="true", took=Took.PAUSE, attempts=2, whole=2, then=ASIDE)
    return replace(alone, later="open"), replace(RESCUED, later="open")


def unreached(took: Took = Took.PAUSE, rescue: Took = Took.NOTHING) -> tuple[Outcome, Outcome]:
    """No request arrived."""
    alone, beside = refused("upstream_unreachable")
    return replace(alone, took=took, whole=0), replace(beside, took=rescue, whole=0)


def doubtful(code: str, status: int, took: Took) -> tuple[Outcome, Outcome]:
    """Possibly billed: neither a retry nor another backend. The next requests go elsewhere."""
    alone = Outcome(
        status=status,
        code=code,
        retry="false",
        took=took,
        may_be_billed=True,
        booked=Booked.QUOTE,
        later="open",
        then=ASIDE,
    )
    return alone, replace(alone, then="200")


def account(code: str, status: int) -> tuple[Outcome, Outcome]:
    """The vendor refuses the account: one call, and none until an operator acts."""
    alone = Outcome(status=status, code=code, retry="false", breaker="open", later="open", then=f"{status} {code}")
    return alone, replace(RESCUED, breaker="open", later="open")


def misdirected() -> tuple[Outcome, Outcome]:
    """Refused in a form that is not the API's: one call, then the next backend if there is one.

    No breaker counts it.
    """
    alone = Outcome(status=502, code="upstream_error", retry="false", then="502 upstream_error")
    return alone, RESCUED


def callers(code: str) -> tuple[Outcome, Outcome]:
    """The caller's fault: no other backend is called, and no breaker counts it."""
    both = Outcome(status=400, code=code, retry="false", then=f"400 {code}")
    return both, both


def fault(
    name: str,
    text: str,
    stage: Stage,
    comes: tuple[Outcome, Outcome],
    deadline: float = AMPLE,
    max_bytes: int | None = None,
) -> Fault:
    alone, beside = comes
    return Fault(name=name, text=text, stage=stage, alone=alone, beside=beside, deadline=deadline, max_bytes=max_bytes)


BROKEN = doubtful("upstream_broken_reply", 502, Took.NOTHING)
LATE = doubtful("upstream_timeout", 504, Took.DEADLINE)
CDN_LATE = doubtful("upstream_timeout", 504, Took.NOTHING)
WELL = (SERVED, SERVED)
HALF = hosts.image_document()[: len(hosts.image_document()) // 2]
ANNOUNCED = hosts.head(f"content-length: {len(hosts.image_document())}")
PAGE = b"<html><body><h1>error</h1></body></html>"
CDN = {"server": "cloudflare", "cf-ray": "8f00baaa-AMS"}
LIMITED = Answer(status=429, body=FAULTS["rate_limit_images"].body)
STORM = (
    Outcome(
        status=429,
        code="rate_limit_exceeded",
        retry="true",
        after="1",
        took=Took.RETRY_AFTER,
        attempts=2,
        whole=2,
        then="429 rate_limit_exceeded",
    ),
    RESCUED,
)
ONCE = (replace(SERVED, took=Took.RETRY_AFTER, attempts=2, whole=2), RESCUED)
TOO_LITTLE = (replace(BROKEN[0], later="closed", then="200"), replace(BROKEN[1], later="closed", then="200"))

FAULTS_OF_VENDORS: Sequence[Fault] = (
    fault("well", "is well", on(hosts.well), WELL),
    fault("refused", "refuses connections", hosts.closed_port, unreached()),
    fault("nameless", "its name is not known (DNS)", hosts.no_such_name, unreached()),
    fault("stranger", "TLS: a certificate of nobody", hosts.wrong_certificate, unreached()),
    fault(
        "mute",
        "TLS: a handshake that never comes",
        hosts.mute_handshake,
        unreached(Took.TWICE, Took.DEADLINE),
        deadline=DEADLINE,
    ),
    fault("slow-headers", "headers later than the deadline", on(hosts.stops_after(b"")), LATE, deadline=DEADLINE),
    fault(
        "slow-body",
        "a body of a byte now and then",
        on(hosts.drips(ANNOUNCED, hosts.image_document())),
        LATE,
        deadline=DEADLINE,
    ),
    fault("stalls", "half a body, and silence", on(hosts.stops_after(ANNOUNCED + HALF)), LATE, deadline=DEADLINE),
    fault(
        "deaf",
        "half-open: takes connections and is gone",
        hosts.deaf,
        (replace(LATE[0], whole=0), replace(LATE[1], whole=0)),
        deadline=DEADLINE,
    ),
    fault("half-closes", "half-open: closes its half", on(hosts.half_closes), BROKEN),
    fault("cut-after-headers", "cut after the headers", on(hosts.says(ANNOUNCED)), BROKEN),
    fault("cut-in-body", "cut in mid body (reset)", on(hosts.resets), BROKEN),
    fault("cut-json", "half a document, sent as a whole", on(hosts.sends(HALF)), BROKEN),
    fault("too-long", "a content-length that is too long", on(hosts.says(ANNOUNCED + HALF)), BROKEN),
    fault(
        "too-short",
        "a content-length that is too short, once",
        on(hosts.first(hosts.says_too_little, hosts.well)),
        TOO_LITTLE,
    ),
    fault("html-502", "502 with a page", on(hosts.answers(FAULTS["bad_gateway_page"])), refused("upstream_error")),
    fault("json-500", "500 with an error", on(hosts.answers(FAULTS["server_error"])), refused("upstream_error")),
    fault(
        "cdn-524", "524: a CDN waited in vain", on(hosts.answers(Answer(status=524, body=PAGE, headers=CDN))), CDN_LATE
    ),
    fault("cdn-520", "520: a CDN did not understand", on(hosts.answers(Answer(status=520, body=PAGE))), CDN_LATE),
    fault(
        "cdn-521",
        "521, signed by the CDN",
        on(hosts.answers(Answer(status=521, body=PAGE, headers=CDN))),
        refused("upstream_unreachable"),
    ),
    fault("odd-521", "521, signed by nobody", on(hosts.answers(Answer(status=521, body=PAGE))), BROKEN),
    fault("odd-599", "599, which nobody documents", on(hosts.answers(Answer(status=599, body=PAGE))), BROKEN),
    fault(
        "overloaded",
        "503 overloaded",
        on(hosts.answers(FAULTS["server_is_overloaded"])),
        refused("server_is_overloaded", 503),
    ),
    fault(
        "limited-once",
        "429 with retry-after, once",
        on(hosts.first(hosts.answers(LIMITED, retry_after="1"), hosts.well)),
        ONCE,
    ),
    fault("limited", "429 with retry-after, always", on(hosts.answers(LIMITED, retry_after="1")), STORM),
    fault(
        "spent",
        "429 insufficient_quota",
        on(hosts.answers(FAULTS["insufficient_quota"])),
        account("insufficient_quota", 429),
    ),
    fault(
        "revoked", "401 key revoked", on(hosts.answers(FAULTS["invalid_api_key"])), account("upstream_auth_error", 502)
    ),
    fault(
        "moderated",
        "400 moderation_blocked",
        on(hosts.answers(FAULTS["moderation_blocked"])),
        callers("moderation_blocked"),
    ),
    fault("invalid", "400 invalid_value", on(hosts.answers(FAULTS["invalid_size"])), callers("invalid_value")),
    fault("moved", "301 to elsewhere", on(hosts.answers(Answer(status=301, body=PAGE))), misdirected()),
    fault("nowhere", "404 with a page", on(hosts.answers(Answer(status=404, body=PAGE))), misdirected()),
    fault("too-large", "413 with a page", on(hosts.answers(Answer(status=413, body=PAGE))), misdirected()),
    fault("queued", "202 without a picture", on(hosts.answers(Answer(status=202, body=b"{}"))), BROKEN),
    fault("empty", "204", on(hosts.says(hosts.head(status=204))), BROKEN),
    fault("conflict", "409", on(hosts.answers(Answer(status=409, body=PAGE))), BROKEN),
    fault("large", "a good reply of 40 MB", on(hosts.large), WELL, max_bytes=100 * MEGABYTE),
    fault("bomb", "a gzip bomb: 0.5 MB that unfold into 500", on(hosts.bomb), BROKEN, max_bytes=50 * MEGABYTE),
    fault("endless", "a body without end, at full speed", on(hosts.pours), BROKEN, max_bytes=600 * MEGABYTE),
)
"""In the order of the document. Those about memory come last, one at a time."""
