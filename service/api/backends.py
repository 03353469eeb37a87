"""/admin/v1/backends: whether the backends are well, as the replica that answers sees it.

Rule: told from memory, so that it answers when nothing else does. Replicas hear of each other within a second, and not
at all while the store is away; each tells its own view.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec
from litestar import get

from service.api.desk import desk_of
from service.api.documents import errors_of
from service.api.edge import Http
from service.api.queries import check_known
from service.usecases.watch import BackendStanding

DIGITS = 1  # of seconds


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
    responses=errors_of(400, 401, 404, 500),
    response_description="The backends.",
)
async def list_backends(request: Http) -> BackendsReply:
    """Breakers, and limits of accounts that are used up, as this replica sees them."""
    check_known(request)
    return BackendsReply(object="list", data=[_backend(standing) for standing in desk_of(request).backends()])


def _backend(standing: BackendStanding) -> BackendReply:
    return BackendReply(
        object="backend",
        name=standing.backend,
        state=standing.state.value,
        since=round(standing.since, DIGITS),
        seconds=round(standing.seconds, DIGITS),
        reason=standing.reason.value if standing.reason else None,
        openings=standing.in_a_row,
        blocked={model: round(seconds, DIGITS) for model, seconds in standing.blocked.items()},
    )
