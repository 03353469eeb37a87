"""GET /v1/usage: the spend of the calling team, and the state of its limits.

Rule: a key sees only its own team. Sums come from the ledger, which has a call some moments after its end. The state of
the limits comes from the quota store, and includes calls under way. Money is in US dollars.

Fails with: `InvalidValue`, `UnknownParameter`, `LedgerUnavailable` or `StateUnavailable`.
"""

from datetime import datetime
from typing import Any, Literal

import msgspec
from litestar import get

from service.api.http.dependencies import caller_key, dependencies
from service.api.http.query_params import GroupBy, Since, Until, check_query_params, parse_group_by, read_time_range
from service.api.http.rate_limit_headers import reset_time, to_amount
from service.api.http.request_context import Http
from service.api.openapi.components import error_responses
from service.domain.ledger import all_limits
from service.domain.pricing import NANO
from service.domain.quota_limits import LimitStatus
from service.domain.time_ranges import from_micros
from service.usecases.money.report_usage import UsageReport
from service.usecases.ports.ledger import EntryFilter, UsageRow


class Sums(msgspec.Struct):
    """Sums of ledger entries. `uncertain_usd` is the part of the cost that is estimated or was never confirmed."""

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
    """The state of a limit. Money is in US dollars.

    `scope` is team, key:<id>, model:<id>, tier:<name> or key:<id>:tier:<name>.
    """

    scope: str
    measure: str
    limit: float | int
    used: float | int
    remaining: float | int
    resets_at: str


class UsageReply(msgspec.Struct):
    """Usage from `since` on and before `until`."""

    object: Literal["usage"]
    team: str | None
    since: str
    until: str
    group_by: list[str]
    data: list[GroupReply]
    total: Sums


class OwnUsageReply(UsageReply):
    """Usage of the calling team, with the limits of the calling key and its team."""

    limits: list[LimitReply]


@get(
    "/usage",
    operation_id="getUsage",
    tags=["Usage"],
    summary="Get the spend and the limits of your team",
    responses=error_responses(400, 401, 500, 503),
    response_description="Sums by group and in total, and the state of the limits.",
)
async def own_usage(request: Http, since: Since = None, until: Until = None, group_by: GroupBy = None) -> OwnUsageReply:
    """Return the spend and the number of images of the calling team, and every limit of the calling key."""
    check_query_params(request, "since", "until", "group_by")
    deps, key = dependencies(request), caller_key(request)
    entry_filter, groups = read_time_range(deps, since, until, key.team.name), parse_group_by(group_by)
    usage = await deps.report_usage.report(entry_filter, groups)
    statuses = await deps.read_limits.read(key.team.name, all_limits(key))
    return OwnUsageReply(
        **msgspec.structs.asdict(usage_reply(entry_filter, usage)),
        limits=[limit_reply(status, deps.now()) for status in statuses],
    )


def usage_reply(entry_filter: EntryFilter, usage: UsageReport) -> UsageReply:
    """Build the reply for a usage report."""
    return UsageReply(
        object="usage",
        team=entry_filter.team,
        since=format_micros(entry_filter.since),
        until=format_micros(entry_filter.until),
        group_by=list(usage.group_by),
        data=[
            GroupReply(**_sums_fields(row), group=dict(zip(usage.group_by, row.group, strict=True)))
            for row in (usage.rows if usage.group_by else ())
        ],
        total=Sums(**_sums_fields(usage.total)),
    )


def format_micros(at: int) -> str:
    """Format microseconds since 1970 as an exact date-time."""
    text = from_micros(at).isoformat(timespec="microseconds").removesuffix("+00:00")
    return f"{text.removesuffix('.000000')}Z"


def limit_reply(status: LimitStatus, now: datetime) -> LimitReply:
    """Build the reply for the state of a limit."""
    return LimitReply(
        scope=status.limit.scope,
        measure=status.limit.measure.value,
        limit=to_amount(status, status.limit.maximum),
        used=to_amount(status, status.used),
        remaining=to_amount(status, status.remaining),
        resets_at=reset_time(status, now),
    )


def _sums_fields(row: UsageRow) -> dict[str, Any]:
    return {
        "entries": row.entries,
        "images": row.images,
        "cost_usd": row.cost / NANO,
        "saved_usd": row.saved / NANO,
        "uncertain_usd": row.uncertain / NANO,
        "tokens_in": row.tokens_in,
        "tokens_out": row.tokens_out,
    }
