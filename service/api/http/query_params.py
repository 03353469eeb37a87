"""What may stand behind the question mark, and how a span and groups are read from it.

Rule: no parameter is dropped in silence. One that an endpoint does not know is `UnknownParameter`, one that is given
twice or cannot be read is `InvalidValue`; both name it.
"""

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
    QueryParameter(description="A date (its first instant in UTC) or an RFC 3339 date-time; without it, the month's."),
]
Until = Annotated[str | None, QueryParameter(description="The end, which does not belong to it; without it, now.")]
GroupBy = Annotated[
    str | None,
    QueryParameter(description=f"Names separated by commas: {', '.join(sorted(GROUPS))} or tag:<name>."),
]
TeamFilter = Annotated[str | None, QueryParameter(description="One team; without it, all of them.")]


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


def read_time_range(deps: Dependencies, since: str | None, until: str | None, team: str | None) -> EntryFilter:
    """The span that was asked for."""
    start, end = parse_time_bounds(since, until, deps.now())
    return EntryFilter(since=start, until=end, team=team)


def parse_group_by(group_by: str | None) -> tuple[str, ...]:
    """The groups that were asked for."""
    return parse_groups(group_by, GROUPS)
