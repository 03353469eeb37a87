"""/admin/v1/backends: whether the backends are well, as the replica that answers sees it.

Rule: told from memory, so that it answers when nothing else does. Replicas hear of each other within a second, and not
at all while the store is away; each tells its own view.
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
    """How a backend stands. Times are in seconds.

    An open breaker lets nobody through for `seconds`, a half-open one a single request at a time, which finds out.
    `since` is how long ago it was last opened or closed, `reason` the failure that opened it, `openings` how often it
    was opened without having been closed in between. `blocked` are models, as the vendor names them, for which a limit
    of the account is used up, and for how long.
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
    """All backends that are on and have an account."""

    object: Literal["list"]
    data: list[BackendReply]


@get(
    "/backends",
    operation_id="listBackends",
    summary="Say whether the backends are well",
    responses=error_responses(400, 401, 404, 500),
    response_description="The backends.",
)
async def list_backends(request: Http) -> BackendsReply:
    """Breakers, and limits of accounts that are used up, as this replica sees them."""
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
