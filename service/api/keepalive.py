"""`x-gateway-keepalive`: may the answer begin before it is known?

Rule: the request says so, else its team's entry. An answer that has begun has the status 200, so a caller who wants
this has to look for an error in the body. What is neither true nor false is an `InvalidValue`.
"""

from collections.abc import Mapping

from service.domain.errors import InvalidValue
from service.domain.team_access import Team

HEADER = "x-gateway-keepalive"
BOOLEANS = {"true": True, "false": False}


def read_keepalive(headers: Mapping[str, str], team: Team) -> bool:
    """What the headers of a request say, whose names are in lower case."""
    header_value = headers.get(HEADER)
    if header_value is None:
        return team.keepalive
    if header_value.strip().lower() not in BOOLEANS:
        raise InvalidValue(f"{HEADER} is true or false; got '{header_value[:20]}'.", param=HEADER)
    return BOOLEANS[header_value.strip().lower()]
