"""The gateway's own headers of an image request: `x-gateway-tags` and `x-gateway-keepalive`.

Rule: tags are `project=search,env=prod`, with names that the operator allows, so that no caller fills the ledger with
words. The header `x-gateway-keepalive` takes precedence over the entry of the team. A response with keepalive starts
with status 200, so its caller has to look for an error in the body.

Fails with: `InvalidValue`, which names the header.
"""

import re
from collections.abc import Collection, Mapping

from service.domain.errors import InvalidValue
from service.domain.team_access import Team

TAGS_HEADER = "x-gateway-tags"
TAG_VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,63}")
KEEPALIVE_HEADER = "x-gateway-keepalive"
BOOLEANS = {"true": True, "false": False}


def read_tags(header: str | None, allowed: Collection[str]) -> Mapping[str, str]:
    """Parse the tags of a request."""
    tags: dict[str, str] = {}
    for part in (header or "").split(","):
        if not part.strip():
            continue
        name, _, value = (pair.strip() for pair in part.partition("="))
        if name not in allowed:
            names = ", ".join(sorted(allowed)) or "none"
            raise InvalidValue(f"Tag '{name[:40]}' is not known here; allowed are {names}.", param=TAGS_HEADER)
        if not TAG_VALUE.fullmatch(value):
            raise InvalidValue(
                f"Tag '{name}' needs a value of 1 to 64 letters, digits and . _ / : @ -", param=TAGS_HEADER
            )
        if name in tags:
            raise InvalidValue(f"Tag '{name}' is given twice.", param=TAGS_HEADER)
        tags[name] = value
    return tags


def read_keepalive(headers: Mapping[str, str], team: Team) -> bool:
    """Return whether the response may start before its outcome is known. Names of `headers` are in lower case."""
    header_value = headers.get(KEEPALIVE_HEADER)
    if header_value is None:
        return team.keepalive
    if header_value.strip().lower() not in BOOLEANS:
        raise InvalidValue(f"{KEEPALIVE_HEADER} is true or false; got '{header_value[:20]}'.", param=KEEPALIVE_HEADER)
    return BOOLEANS[header_value.strip().lower()]
