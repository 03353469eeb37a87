"""/admin/v1/backends: the state of the backends, as the answering replica sees it.

Rule: the reply comes from memory, so that it needs no store. The shared part of the state reaches the other replicas
within a second, and not while Redis is down.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec
from litestar import get

from service.api.http.dependencies import dependencies
from service.api.http.query_params import check_query_params
from service.api.http.request_context import Http
from service.api.openapi.components import error_responses
from service.usecases.upstream.backend_health import BackendStatus

TIME_DIGITS = 1  # of seconds


class BackendReply(msgspec.Struct):
    """The state of a backend. Times are in seconds.

    An open circuit breaker lets no request through for `seconds`; a half-open one lets a single request through at a
    time. `since` is the time since its last opening or closing, and `reason` the failure that opened it. `openings` is
    the number of openings since it was last closed. `blocked` has the vendor's names of models whose limit of the
    account is used up, each with its remaining time.
    """

    object: Literal["backend"]
    name: str
    state: Literal["closed", "open", "half_open"]
    since: float
    seconds: float
    reason: str | None
    openings: int
    blocked: Mapping[str, float]


class BackendsReply(msgspec.Struct):
    """All backends that are enabled and have an account."""

    object: Literal["list"]
    data: list[BackendReply]


@get(
    "/backends",
    operation_id="listBackends",
    summary="Get the state of the backends",
    responses=error_responses(400, 401, 404, 500),
    response_description="The backends.",
)
async def list_backends(request: Http) -> BackendsReply:
    """Return circuit breakers and used-up limits of accounts, as this replica sees them."""
    check_query_params(request)
    return BackendsReply(
        object="list", data=[_to_backend_reply(status) for status in dependencies(request).admission.status()]
    )


def _to_backend_reply(status: BackendStatus) -> BackendReply:
    return BackendReply(
        object="backend",
        name=status.backend,
        state=status.state.value,
        since=round(status.since_seconds, TIME_DIGITS),
        seconds=round(status.open_seconds, TIME_DIGITS),
        reason=status.reason.value if status.reason else None,
        openings=status.openings,
        blocked={model: round(seconds, TIME_DIGITS) for model, seconds in status.blocked.items()},
    )
