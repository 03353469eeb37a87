"""Query parameters: the check that all are known, and the time range and groups of usage queries.

Rule: no parameter is ignored.

Fails with: `UnknownParameter` for a parameter that the endpoint does not know; `InvalidValue` for a repeated or
unreadable one. Both name the parameter.
"""

import re
from typing import Annotated

from litestar.params import QueryParameter

from service.api.http.dependencies import Dependencies
from service.api.http.path_aliases import AZURE_VERSION_PARAM, is_azure_path
from service.api.http.request_context import Http
from service.domain.errors import InvalidValue, UnknownParameter
from service.domain.time_ranges import MAX_SHOWN, parse_groups, parse_time_bounds
from service.usecases.ports.ledger import GROUPS, EntryFilter

Since = Annotated[
    str | None,
    QueryParameter(
        description="Start: a date (its first instant in UTC) or an RFC 3339 date-time; default: start of the month."
    ),
]
Until = Annotated[str | None, QueryParameter(description="End, which is excluded; default: now.")]
GroupBy = Annotated[
    str | None,
    QueryParameter(description=f"Names separated by commas: {', '.join(sorted(GROUPS))} or tag:<name>."),
]
TeamFilter = Annotated[str | None, QueryParameter(description="Name of one team; default: all teams.")]


def check_query_params(request: Http, *known: str) -> None:
    """Raise unless every parameter is known and given once. Azure's SDKs name a version of the API as well."""
    names = [name for name, _ in request.query_params.multi_items()]
    if is_azure_path(request.scope["raw_path"]):
        names = [name for name in names if name != AZURE_VERSION_PARAM]
    for name in names:
        if name not in known:
            allowed = ", ".join(known) or "none"
            raise UnknownParameter(
                f"Unknown parameter: '{name[:MAX_SHOWN]}'; known are {allowed}.", param=name[:MAX_SHOWN]
            )
        if names.count(name) > 1:
            raise InvalidValue(f"'{name}' is given more than once.", param=name)


def parse_limit(limit: str, maximum: int) -> int:
    """Parse the maximum number of items of a list."""
    is_number = re.fullmatch(rf"[0-9]{{1,{len(str(maximum))}}}", limit)
    if not (is_number and 0 < int(limit) <= maximum):
        raise InvalidValue(f"limit is a number from 1 to {maximum}.", param="limit")
    return int(limit)


def read_time_range(deps: Dependencies, since: str | None, until: str | None, team: str | None) -> EntryFilter:
    """Parse the time range and the team of a usage query."""
    start, end = parse_time_bounds(since, until, deps.now())
    return EntryFilter(since=start, until=end, team=team)


def parse_group_by(group_by: str | None) -> tuple[str, ...]:
    """Parse the groups of a usage query."""
    return parse_groups(group_by, GROUPS)
