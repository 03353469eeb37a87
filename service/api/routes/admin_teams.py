"""/admin/v1/teams, /admin/v1/usage and /admin/v1/export: state and spend of the teams, and the ledger as a file.

Rule: settings, limits and ledger entries are shown side by side, each as its own source has it. An export is sent while
it is read. If it fails midway the connection breaks off, so that no caller takes a part for the whole file.

Fails with: `TeamNotFound`; `InvalidValue` and `MissingParameter` for wrong parameters; `LedgerUnavailable`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from litestar import get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import PathParameter, QueryParameter
from litestar.response import Stream

from service.api.http.dependencies import Dependencies, dependencies
from service.api.http.query_params import (
    GroupBy,
    Since,
    TeamFilter,
    Until,
    check_query_params,
    parse_group_by,
    read_time_range,
)
from service.api.http.request_context import Http
from service.api.openapi.components import error_responses
from service.api.routes.admin_keys import allowance_reply, key_reply, limits_reply
from service.api.routes.usage import LimitReply, Sums, UsageReply, limit_reply, usage_reply
from service.api.schemas.admin import KeyReply, LimitsReply
from service.domain.errors import InvalidValue, MissingParameter, TeamNotFound
from service.domain.ledger import all_limits
from service.domain.quota_limits import Limit
from service.domain.team_access import Key, Team
from service.domain.time_ranges import parse_time_bounds
from service.usecases.ports.ledger import EntryFilter


class TeamReply(msgspec.Struct):
    """The settings of a team. Empty `models`, `tiers` or `backends` mean all of them. Money is in US dollars."""

    object: Literal["team"]
    name: str
    models: list[str]
    tiers: list[str]
    backends: list[str]
    barred_backends: list[str]
    limits: LimitsReply
    limits_by_tier: Mapping[str, LimitsReply]
    limits_by_model: Mapping[str, LimitsReply]


class FileKeyReply(msgspec.Struct):
    """A key of teams.yaml."""

    id: str
    models: list[str]
    tiers: list[str]
    limits: LimitsReply
    limits_by_tier: Mapping[str, LimitsReply]


class TeamStateReply(TeamReply):
    """A team with its keys, the state of its limits, and its spend in the current UTC month."""

    standings: list[LimitReply]
    keys: list[KeyReply]
    keys_in_file: list[FileKeyReply]
    this_month: Sums


class TeamsReply(msgspec.Struct):
    """All teams."""

    object: Literal["list"]
    data: list[TeamReply]


@get(
    "/teams",
    operation_id="listTeams",
    summary="List the teams",
    responses=error_responses(400, 401, 404, 500),
    response_description="The teams.",
)
async def list_teams(request: Http) -> TeamsReply:
    """Return every team of teams.yaml, as it is in force now."""
    check_query_params(request)
    teams = dependencies(request).config.snapshot().teams
    return TeamsReply(object="list", data=[TeamReply(**_team_fields(teams[name])) for name in sorted(teams)])


@get(
    "/teams/{team:str}",
    operation_id="retrieveTeam",
    summary="Describe one team",
    responses=error_responses(400, 401, 404, 500, 503),
    response_description="The team.",
)
async def retrieve_team(
    request: Http, team: Annotated[str, PathParameter(description="A team of teams.yaml.")]
) -> TeamStateReply:
    """Return the settings, limits, keys and spend of a team."""
    check_query_params(request)
    deps = dependencies(request)
    config = deps.config.snapshot()
    configured = config.teams.get(team)
    if configured is None:
        raise TeamNotFound("There is no such team.", param="team")

    # The snapshot has issued keys as well. The keys of the file are the others.
    issued = await deps.issue_keys.list_keys(team)
    keys = [key for key in config.keys.values() if key.team.name == team]
    issued_ids = {key.id for key in issued}
    since, until = parse_time_bounds(None, None, deps.now())
    month = await deps.report_usage.report(EntryFilter(since=since, until=until, team=team))
    statuses = await deps.read_limits.read(team, _all_limits(configured, keys))
    return TeamStateReply(
        **_team_fields(configured),
        standings=[limit_reply(status, deps.now()) for status in statuses],
        keys=[key_reply(deps, key) for key in issued],
        keys_in_file=[FileKeyReply(id=key.id, **allowance_reply(key)) for key in keys if key.id not in issued_ids],
        this_month=usage_reply(EntryFilter(since=since, until=until, team=team), month).total,
    )


@get(
    "/usage",
    operation_id="getUsageOfTeams",
    summary="Get the spend of the teams",
    responses=error_responses(400, 401, 404, 500, 503),
    response_description="Sums by group and in total.",
)
async def teams_usage(
    request: Http, since: Since = None, until: Until = None, group_by: GroupBy = None, team: TeamFilter = None
) -> UsageReply:
    """Return the spend and the number of images of one team or of all."""
    check_query_params(request, "since", "until", "group_by", "team")
    deps = dependencies(request)
    entry_filter, groups = read_time_range(deps, since, until, team), parse_group_by(group_by)
    usage = await deps.report_usage.report(entry_filter, groups)
    if not usage.total.entries:
        await _check_team(deps, team)
    return usage_reply(entry_filter, usage)


@get(
    "/export",
    operation_id="exportUsage",
    summary="Download the ledger",
    responses={
        200: ResponseSpec(
            bytes,
            generate_examples=False,
            description="The file: CSV, Parquet, or FOCUS 1.2 in CSV.",
            media_type="application/octet-stream",
        ),
    }
    | error_responses(400, 401, 404, 500, 503),
)
async def export_usage(
    request: Http,
    file_format: Annotated[str, QueryParameter(name="format", description="csv, parquet or focus.")] = "",
    since: Since = None,
    until: Until = None,
    team: TeamFilter = None,
) -> Stream:
    """Return all ledger entries of a time range."""
    check_query_params(request, "format", "since", "until", "team")
    if not file_format:
        raise MissingParameter("Missing required parameter: 'format'.", param="format")
    deps = dependencies(request)
    entry_filter = read_time_range(deps, since, until, team)
    await _check_team(deps, team)
    export = await deps.export_usage.export(file_format, entry_filter)
    headers = {"content-disposition": f'attachment; filename="{export.name}"', "cache-control": "no-store"}
    return Stream(export.chunks, media_type=export.media_type, headers=headers)


async def _check_team(deps: Dependencies, team: str | None) -> None:
    """Raise `InvalidValue` unless the team exists, or has entries from before it left the settings."""
    if team is None or team in deps.config.snapshot().teams:
        return
    since, until = parse_time_bounds("1970-01-01", None, deps.now())
    if not (await deps.report_usage.report(EntryFilter(since=since, until=until, team=team))).total.entries:
        raise InvalidValue("There is no such team.", param="team")


def _all_limits(team: Team, keys: list[Key]) -> tuple[Limit, ...]:
    """Return the limits of a team and of its keys, each once."""
    no_key = Key(id="", team=team, digest="")
    return tuple(dict.fromkeys(limit for key in (no_key, *keys) for limit in all_limits(key)))


def _team_fields(team: Team) -> dict[str, Any]:
    return {
        "object": "team",
        "name": team.name,
        "models": sorted(team.models),
        "tiers": sorted(team.tiers),
        "backends": sorted(team.backends),
        "barred_backends": sorted(team.barred_backends),
        "limits": limits_reply(team.limits),
        "limits_by_tier": {name: limits_reply(limits) for name, limits in team.limits_by_tier.items()},
        "limits_by_model": {name: limits_reply(limits) for name, limits in team.limits_by_model.items()},
    }
