"""GET /v1/usage: what the calling team has used and what is left of its limits.

Rule: a key sees its own team and nobody else. Sums come from the ledger of record, which follows a call by moments; how
the limits stand comes from where they are held, and counts what is still under way. Money is US dollars.
"""

from datetime import datetime
from typing import Any, Literal

import msgspec
from litestar import get

from service.api.desk import desk_of, key_of
from service.api.documents import errors_of
from service.api.edge import Http
from service.api.limits import amount, resets_at
from service.api.queries import GroupBy, Since, Until, check_known, groups_of, span_of
from service.domain.ledger import all_limits
from service.domain.limits import Standing
from service.domain.pricing import NANO
from service.domain.spans import moment
from service.usecases.accounts import Span, UsageRow
from service.usecases.report_usage import Usage


class Sums(msgspec.Struct):
    """What came together. `uncertain_usd` is the part of the cost that is estimated or was never confirmed."""

    entries: int
    images: int
    cost_usd: float
    saved_usd: float
    uncertain_usd: float
    tokens_in: int
    tokens_out: int


class GroupReply(Sums):
    """The sums of one group; `group` has a value, or null, for each name of `group_by`."""

    group: dict[str, str | None]


class LimitReply(msgspec.Struct):
    """How a limit stands. Money is US dollars.

    `scope` is team, key:<id>, model:<id>, tier:<name> or key:<id>:tier:<name>.
    """

    scope: str
    measure: str
    limit: float | int
    used: float | int
    remaining: float | int
    resets_at: str


class UsageReply(msgspec.Struct):
    """What was used from `since` on and before `until`."""

    object: Literal["usage"]
    team: str | None
    since: str
    until: str
    group_by: list[str]
    data: list[GroupReply]
    total: Sums


class OwnUsageReply(UsageReply):
    """The same with the limits of the calling key and its team."""

    limits: list[LimitReply]


@get(
    "/usage",
    operation_id="getUsage",
    tags=["Usage"],
    summary="Say what your team has used and what is left",
    responses=errors_of(400, 401, 500, 503),
    response_description="Sums by group and in total, and how the limits stand.",
)
async def own_usage(request: Http, since: Since = None, until: Until = None, group_by: GroupBy = None) -> OwnUsageReply:
    """Spend and pictures of the calling team, and every limit that holds for the calling key."""
    check_known(request, "since", "until", "group_by")
    desk, key = desk_of(request), key_of(request)
    span, by = span_of(desk, since, until, key.team.name), groups_of(group_by)
    usage = await desk.report(span, by)
    standings = await desk.standings(key.team.name, all_limits(key))
    return OwnUsageReply(
        **msgspec.structs.asdict(usage_reply(span, usage)),
        limits=[limit_reply(standing, desk.now()) for standing in standings],
    )


def usage_reply(span: Span, usage: Usage) -> UsageReply:
    """A use case's answer as callers read it."""
    return UsageReply(
        object="usage",
        team=span.team,
        since=shown(span.since),
        until=shown(span.until),
        group_by=list(usage.by),
        data=[
            GroupReply(**_sums(row), group=dict(zip(usage.by, row.group, strict=True)))
            for row in (usage.rows if usage.by else ())
        ],
        total=Sums(**_sums(usage.total)),
    )


def shown(at: int) -> str:
    """Microseconds since 1970 as a date-time, exactly."""
    text = moment(at).isoformat(timespec="microseconds").removesuffix("+00:00")
    return f"{text.removesuffix('.000000')}Z"


def limit_reply(standing: Standing, now: datetime) -> LimitReply:
    """A limit as callers read it."""
    return LimitReply(
        scope=standing.limit.scope,
        measure=standing.limit.measure.value,
        limit=amount(standing, standing.limit.most),
        used=amount(standing, standing.used),
        remaining=amount(standing, standing.remaining),
        resets_at=resets_at(standing, now),
    )


def _sums(row: UsageRow) -> dict[str, Any]:
    return {
        "entries": row.entries,
        "images": row.images,
        "cost_usd": row.cost / NANO,
        "saved_usd": row.saved / NANO,
        "uncertain_usd": row.uncertain / NANO,
        "tokens_in": row.tokens_in,
        "tokens_out": row.tokens_out,
    }
